-- join: a new incarnation of an id. `incarnation` is the last one that the process itself was, which a broker that lost its
-- memory does not know; 0: none. `known` is the highest generation that the process knows of (0: none). A living
-- incarnation of another process is left alone.
read_clock(c)
local now = c.now
local f = call('HMGET', c.key, Cluster.GENERATION, Cluster.PARTITIONS, Cluster.DIALECT, Cluster.RENEWED, Cluster.KEEP,
  Cluster.LAYOUT, Cluster.LEASE, Cluster.NSTART, Cluster.RETENTION)
local generation, renewed, keep = tonumber(f[1] or 0), f[4], f[5]
if f[1] and (f[6] or '1') ~= layout then return {'LAYOUT', now, f[6] or '1'} end
if f[2] and f[2] ~= partitions then return {'PARTITIONS', now, f[2]} end
if f[3] and f[3] ~= dialect then return {'DIALECT', now, f[3]} end
-- What all members must agree on belongs to those who are there; who finds nobody alive decides anew.
local own = {lease = ('%.0f'):format(c.lease), nstart = nstart, retention = retention}
local stored = {lease = f[7], nstart = f[8], retention = f[9]}
for _, name in ipairs({'lease', 'nstart', 'retention'}) do
  if stored[name] and stored[name] ~= own[name] and somebody_lives(c) then return {'PARAMETER', now, name, stored[name]} end
end
local member = c.base .. Key.MEMBER .. c.id
f = call('HMGET', member, Member.INCARNATION, Member.STATE, Member.LEASE, Member.NONCE)
if f[2] == Member.ALIVE and f[4] ~= nonce and tonumber(f[3]) >= now then
  -- One granted before the broker's clock was set back: no lease is longer than a lease.
  local lease = math.min(tonumber(f[3]), now + c.lease)
  call('HSET', member, Member.LEASE, lease)
  return {'HELD', now, lease - now, lease}
end
if not f[1] and call('SCARD', c.base .. Key.IDS) >= 256 then return {'FULL', now} end
if generation == 0 or generation < tonumber(known) then
  -- A generation never falls, whatever the broker's clock: its scripts refuse those of earlier ones.
  generation = math.max(now, known + 1)
  call('HSET', c.key, Cluster.GENERATION, ('%.0f'):format(generation), Cluster.PARTITIONS, partitions, Cluster.DIALECT,
    dialect)
end
call('HSET', c.key, Cluster.LAYOUT, layout, Cluster.LEASE, own.lease, Cluster.NSTART, nstart, Cluster.RETENTION, retention)
follow_clock(c, renewed)
call('SADD', c.base .. Key.IDS, c.id)
local incarnation = math.max(f[1] or 0, c.incarnation) + 1
local tag = ('%04x'):format(call('HINCRBY', c.key, Cluster.TAGS, 1) % 65536)
call('HSET', member, Member.INCARNATION, incarnation, Member.TAG, tag, Member.STATE, Member.ALIVE, Member.LEASE,
  now + c.lease, Member.SINCE, now, Member.HEARD, 0, Member.READY, 0, Member.NONCE, nonce)
local left = suspend_expiry(c, renewed, keep, 0)
new_view(c)
return {'OK', now, incarnation, tag, now + c.lease, generation, view_text(c), left}
