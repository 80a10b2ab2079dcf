-- The generation of the partition, for the scripts that any member may call.
local generation = call('HGET', KEYS[1], 'gen')
