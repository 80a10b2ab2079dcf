-- The generation of the partition, and who is its steward, for the scripts that only that one may call.
local generation, steward, term = unpack(call('HMGET', KEYS[1], 'gen', 'st', 'term'))
