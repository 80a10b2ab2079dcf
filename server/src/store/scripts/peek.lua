-- peek: what the open ticket of a token asked for, with which message ID and of which address, for an instance that got its
-- answer as a stray. ARGV[11]: token.
local name = call('HGET', BASE .. 'o', ARGV[11])
local t = name and call('HMGET', BASE .. 't:' .. name, 'rq', 'mi')
if not t or not t[1] then return {'GONE', 0, NOW} end
local e = call('HMGET', BASE .. 'e:' .. endpoint_of(name), 'a', 'po')
return {'OK', 0, NOW, t[1], t[2], e[1] or '', e[2] or ''}
