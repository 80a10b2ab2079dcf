-- join: a new incarnation of an id. ARGV[5..]: nonce of the process, dialect, number of partitions, a generation
-- for a broker that has none. A living incarnation of another process is left alone.
local nonce, dialect, partitions = ARGV[5], ARGV[6], ARGV[7]
local c = call('HMGET', KEYS[1], 'gen', 'partitions', 'dialect', 'renewed', 'keep')
if c[2] and c[2] ~= partitions then return {'PARTITIONS', NOW, c[2]} end
if c[3] and c[3] ~= dialect then return {'DIALECT', NOW, c[3]} end
local member = BASE .. 'i:' .. ID
local f = call('HMGET', member, 'inc', 'state', 'lease', 'nonce')
if f[2] == 'a' and f[4] ~= nonce and tonumber(f[3]) >= NOW then
  return {'HELD', NOW, tonumber(f[3]) - NOW, f[3]}
end
if not f[1] and call('SCARD', BASE .. 's') >= 256 then return {'FULL', NOW} end
if not c[1] then
  call('HSET', KEYS[1], 'gen', string.format('%.0f', NOW), 'partitions', partitions, 'dialect', dialect)
end
call('SADD', BASE .. 's', ID)
local incarnation = call('HINCRBY', member, 'inc', 1)
local tag = string.format('%04x', call('HINCRBY', KEYS[1], 'tags', 1) % 65536)
call('HSET', member, 'tag', tag, 'state', 'a', 'lease', NOW + LEASE, 'since', NOW, 'heard', 0, 'ready', 0,
  'nonce', nonce)
local keep = suspend_expiry(c[4], c[5], 0)
new_view()
return {'OK', NOW, incarnation, tag, string.format('%.0f', NOW + LEASE), call('HGET', KEYS[1], 'gen'), view_text(), keep}
