-- expire (steward): ends at most 64 registrations whose lifetime is over. `reckoned` is the time (ms) as the caller sees it:
-- if it is later, the clock may have been set forward and nobody has noticed yet. Answers in how many ms the next
-- lifetime may end, -1 if none does.
local refusal = speak_as_steward(c, term)
if refusal then return refusal end
local expiry, reached = c.base .. Key.EXPIRY, math.min(c.now, tonumber(reckoned))
local first = call('ZRANGE', expiry, 0, 0, 'WITHSCORES')[2]
if not first then return {'OK', 0, c.now, -1} end
if tonumber(first) >= reached then return {'OK', 0, c.now, first - reached + 1} end
count(c)
local due = call('ZRANGEBYSCORE', expiry, '-inf', '(' .. ('%.0f'):format(reached), 'LIMIT', 0, 64)
for _, endpoint in ipairs(due) do
  local f = attempt('HMGET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.ID, Endpoint.LAST_UPDATE, Endpoint.LIFETIME)
  local last_update, lifetime = tonumber(f[2] or nil), tonumber(f[3] or nil)
  if last_update and lifetime and last_update + lifetime * 1000 >= reached then
    -- There was an Update.
    call('ZADD', expiry, last_update + lifetime * 1000, endpoint)
  elseif last_update and lifetime and f[1] then
    rarely().bury_registration(c, endpoint, 'expired')
  else
    call('ZREM', expiry, endpoint)
  end
end
first = call('ZRANGE', expiry, 0, 0, 'WITHSCORES')[2]
table.insert(c.reply, 4, first and math.max(first - reached + 1, 0) or -1)
return c.reply
