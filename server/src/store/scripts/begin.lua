-- begin (holder): right before the first datagram of what may be sent only once. ARGV[11]: token.
local name = call('HGET', BASE .. 'o', ARGV[11])
local t = name and call('HMGET', BASE .. 't:' .. name, 'h', 'tk')
if not t or t[1] ~= ME or t[2] ~= ARGV[11] then return step('GONE') end
step()
call('HSET', BASE .. 't:' .. name, 'st', 's')
return reply
