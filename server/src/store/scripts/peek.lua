-- peek: what the open ticket of a token asked for, for an instance that got its answer as a stray. ARGV[11]: token.
local name = call('HGET', BASE .. 'o', ARGV[11])
local request = name and call('HGET', BASE .. 't:' .. name, 'rq')
if not request then return {'GONE', 0, NOW} end
return {'OK', 0, NOW, request}
