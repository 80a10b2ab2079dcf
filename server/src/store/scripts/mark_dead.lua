-- mark_dead: declares every member dead whose lease is over. Only one that has itself renewed without a break for
-- a lease and half a second may: after an outage of the broker all leases are over, and nobody may bury the rest.
local me, refusal = speaker(c)
if not me then return {refusal, c.now} end
if c.now - me.since < c.lease + 500 then return {'EARLY', c.now} end
local buried = 0
for _, id in ipairs(call('SMEMBERS', c.base .. Key.IDS)) do
  local f = call('HMGET', c.base .. Key.MEMBER .. id, Member.STATE, Member.LEASE)
  if f[1] == Member.ALIVE and tonumber(f[2]) < c.now then
    call('HSET', c.base .. Key.MEMBER .. id, Member.STATE, Member.DEAD, Member.READY, 0)
    buried = buried + 1
  end
end
if buried > 0 then new_view(c) end
return {'OK', c.now}
