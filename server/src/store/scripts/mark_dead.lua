-- mark_dead: declares every member dead whose lease is over. Only one that has itself renewed without a break for
-- a lease and half a second may: after an outage of the broker all leases are over, and nobody may bury the rest.
local me, refusal = speaker()
if not me then return {refusal, NOW} end
if NOW - me.since < LEASE + 500 then return {'EARLY', NOW} end
local buried = 0
for _, id in ipairs(call('SMEMBERS', BASE .. 's')) do
  local f = call('HMGET', BASE .. 'i:' .. id, 'state', 'lease')
  if f[1] == 'a' and tonumber(f[2]) < NOW then
    call('HSET', BASE .. 'i:' .. id, 'state', 'd', 'ready', 0)
    buried = buried + 1
  end
end
if buried > 0 then new_view() end
return {'OK', NOW, buried}
