-- join: a new incarnation of an id. ARGV[2] is the last one that the process itself was, which a broker that lost its
-- memory does not know; 0: none. ARGV[5..]: nonce of the process, dialect, number of partitions, the highest
-- generation that the process knows of (0: none). A living incarnation of another process is left alone.
local nonce, dialect, partitions, known = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local c = call('HMGET', KEYS[1], 'gen', 'partitions', 'dialect', 'renewed', 'keep')
if c[2] and c[2] ~= partitions then return {'PARTITIONS', NOW, c[2]} end
if c[3] and c[3] ~= dialect then return {'DIALECT', NOW, c[3]} end
local member = BASE .. 'i:' .. ID
local f = call('HMGET', member, 'inc', 'state', 'lease', 'nonce')
if f[2] == 'a' and f[4] ~= nonce and tonumber(f[3]) >= NOW then
  -- One granted before the broker's clock was set back: no lease is longer than a lease.
  local lease = math.min(tonumber(f[3]), NOW + LEASE)
  call('HSET', member, 'lease', lease)
  return {'HELD', NOW, lease - NOW, string.format('%.0f', lease)}
end
if not f[1] and call('SCARD', BASE .. 's') >= 256 then return {'FULL', NOW} end
local generation = tonumber(c[1] or 0)
if generation == 0 or generation < known then
  -- A generation never falls, whatever the broker's clock: its scripts refuse those of earlier ones.
  generation = math.max(NOW, known + 1)
  call('HSET', KEYS[1], 'gen', string.format('%.0f', generation), 'partitions', partitions, 'dialect', dialect)
end
follow_clock(c[4])
call('SADD', BASE .. 's', ID)
local incarnation = math.max(f[1] or 0, ARGV[2]) + 1
local tag = string.format('%04x', call('HINCRBY', KEYS[1], 'tags', 1) % 65536)
call('HSET', member, 'inc', incarnation, 'tag', tag, 'state', 'a', 'lease', NOW + LEASE, 'since', NOW, 'heard', 0,
  'ready', 0, 'nonce', nonce)
local keep = suspend_expiry(c[4], c[5], 0)
new_view()
return {'OK', NOW, incarnation, tag, string.format('%.0f', NOW + LEASE), string.format('%.0f', generation),
  view_text(), keep}
