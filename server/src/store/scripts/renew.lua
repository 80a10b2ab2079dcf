-- renew: a heartbeat to the member's own channel, and a longer lease for one that has read its last ones there.
-- `heard`: the newest heartbeat it has read (0: none since its subscription began). `known`: the view that it knows.
-- `unready`: 1 if it does not want partitions (its subscription is new or it is about to leave). `kept`: for how long (ms)
-- no registration is to expire as far as it knows by its own clock. `pair`: the number of its pair of connections.
local me, refusal = speaker(c)
if not me then return {refusal, c.now} end
local now, lease_ms = c.now, c.lease
local newest = tonumber(heard)
local f = call('HMGET', c.key, Cluster.VIEW, Cluster.GENERATION, Cluster.RENEWED, Cluster.KEEP)
local version, generation, renewed, keep = f[1], f[2], f[3], f[4]
-- The caller knows of changes that the broker has forgotten.
if tonumber(known) > tonumber(version or 0) then return {'UNKNOWN', now} end
local member = c.base .. Key.MEMBER .. c.id
local back = follow_clock(c, renewed)
if me.heard > 0 then me.heard = me.heard - back end
call('PUBLISH', c.prefix .. Channel.MEMBER .. c.id .. '#' .. c.incarnation,
  Order.HEARTBEAT .. '\n' .. ('%.0f'):format(now) .. '\n' .. pair)

local earliest, others_ready, eldest = 0, false, nil
for _, id in ipairs(call('SMEMBERS', c.base .. Key.IDS)) do
  if id ~= c.id then
    local f = call('HMGET', c.base .. Key.MEMBER .. id, Member.STATE, Member.LEASE, Member.READY, Member.HEARD)
    if f[1] == Member.ALIVE then
      local lease = tonumber(f[2])
      if lease > now + lease_ms then
        -- Granted before the broker's clock was set back: no lease is longer than a lease.
        lease = now + lease_ms
        call('HSET', c.base .. Key.MEMBER .. id, Member.LEASE, lease)
      end
      if earliest == 0 or lease < earliest then earliest = lease end
      if f[3] == '1' and lease >= now then others_ready = true end
      local since = tonumber(f[4])
      if since > 0 and lease >= now and (not eldest or since < eldest) then eldest = since end
    end
  end
end

local deaf = newest == 0 or now - newest > lease_ms / 2
if not deaf then
  me.lease = now + lease_ms
  call('HSET', member, Member.LEASE, me.lease)
end
if unready == '1' or newest == 0 then
  -- What was published while it did not listen is missing in its memory: somebody else has to take its partitions.
  call('HSET', member, Member.HEARD, 0)
  if me.ready == '1' then
    call('HSET', member, Member.READY, 0)
    new_view(c)
  end
elseif not deaf then
  if me.heard == 0 then
    me.heard = now
    call('HSET', member, Member.HEARD, now)
  end
  -- Where nobody is ready, those who have listened longest remember most: the others let them go first.
  local first = not others_ready and not (eldest and eldest < me.heard)
  if me.ready ~= '1' and (first or now - me.heard >= 2 * lease_ms + Time.HORIZON_BEYOND_LEASES) then
    call('HSET', member, Member.READY, 1)
    new_view(c)
  end
end
local left = suspend_expiry(c, renewed, keep, tonumber(kept))
local seen = call('HGET', c.key, Cluster.VIEW) == known
return {deaf and 'DEAF' or 'OK', now, me.lease, generation or '', earliest ~= 0 and earliest - now,
  seen and '' or view_text(c), left}
