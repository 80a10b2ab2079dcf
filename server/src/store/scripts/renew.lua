-- renew: a heartbeat to the member's own channel, and a longer lease for one that has read its last ones there.
-- ARGV[5..]: the newest heartbeat it has read ('0': none since its subscription began), the view that it knows,
-- 1 if it does not want partitions (its subscription is new or it is about to leave), for how long (ms) no
-- registration is to expire as far as it knows by its own clock, and the number of its pair of connections.
local me, refusal = speaker()
if not me then return {refusal, NOW} end
local heard, known, unready = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local c = call('HMGET', KEYS[1], 'view', 'gen', 'renewed', 'keep')
-- The caller knows of changes that the broker has forgotten.
if tonumber(known) > tonumber(c[1] or 0) then return {'UNKNOWN', NOW} end
local member = BASE .. 'i:' .. ID
local back = follow_clock(c[3])
if me.heard > 0 then me.heard = me.heard - back end
call('PUBLISH', PREFIX .. 'lwm2m:i:' .. ID .. '#' .. ARGV[2], 'H\n' .. NOW .. '\n' .. ARGV[9])

local earliest, others_ready, eldest = 0, false, nil
for _, id in ipairs(call('SMEMBERS', BASE .. 's')) do
  if id ~= ID then
    local f = call('HMGET', BASE .. 'i:' .. id, 'state', 'lease', 'ready', 'heard')
    if f[1] == 'a' then
      local lease = tonumber(f[2])
      if lease > NOW + LEASE then
        -- Granted before the broker's clock was set back: no lease is longer than a lease.
        lease = NOW + LEASE
        call('HSET', BASE .. 'i:' .. id, 'lease', lease)
      end
      if earliest == 0 or lease < earliest then earliest = lease end
      if f[3] == '1' and lease >= NOW then others_ready = true end
      local since = tonumber(f[4])
      if since > 0 and lease >= NOW and (not eldest or since < eldest) then eldest = since end
    end
  end
end

local deaf = heard == 0 or NOW - heard > LEASE / 2
if not deaf then
  me.lease = NOW + LEASE
  call('HSET', member, 'lease', me.lease)
end
if unready == '1' or heard == 0 then
  -- What was published while it did not listen is missing in its memory: somebody else has to take its partitions.
  call('HSET', member, 'heard', 0)
  if me.ready == '1' then
    call('HSET', member, 'ready', 0)
    new_view()
  end
elseif not deaf then
  if me.heard == 0 then
    me.heard = NOW
    call('HSET', member, 'heard', NOW)
  end
  -- Where nobody is ready, those who have listened longest remember most: the others let them go first.
  local first = not others_ready and not (eldest and eldest < me.heard)
  if me.ready ~= '1' and (first or NOW - me.heard >= 2 * LEASE + 1000) then
    call('HSET', member, 'ready', 1)
    new_view()
  end
end
local keep = suspend_expiry(c[3], c[4], tonumber(ARGV[8]))
return {deaf and 'DEAF' or 'OK', NOW, string.format('%.0f', me.lease), c[2], earliest ~= 0 and earliest - NOW,
  call('HGET', KEYS[1], 'view') ~= known and view_text() or '', keep}
