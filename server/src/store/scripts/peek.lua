-- peek: what the open ticket of a token asked for, for an instance that got its answer as a stray. ARGV[11]: token.
local name = call('HGET', BASE .. 'o', ARGV[11])
local t = name and load_ticket(name)
if not t then return {'GONE', 0, NOW} end
return {'OK', 0, NOW, t.request}
