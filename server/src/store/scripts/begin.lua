-- begin (holder): right before the first datagram of what may be sent only once. ARGV[11]: token.
local name = call('HGET', BASE .. 'o', ARGV[11])
local t = name and load_ticket(name)
if not t or t.holder ~= ME or t.token ~= ARGV[11] then return answer('GONE') end
step()
call('HSET', BASE .. 't:' .. name, 'st', 's')
return answer('OK')
