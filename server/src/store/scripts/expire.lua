-- expire (steward): ends at most 64 registrations whose lifetime is over. ARGV[12]: the time (ms) as the caller reckons:
-- if it is later, the clock may have been set forward and nobody has noticed yet. Answers in how many ms the next
-- lifetime ends, -1 if none does.
local REACHED = math.min(NOW, tonumber(ARGV[12]))
local first = call('ZRANGE', BASE .. 'x', 0, 0, 'WITHSCORES')[2]
if not first then return {'OK', 0, NOW, -1} end
if tonumber(first) >= REACHED then return {'OK', 0, NOW, first - REACHED + 1} end
local due = call('ZRANGEBYSCORE', BASE .. 'x', '-inf', '(' .. ('%.0f'):format(REACHED), 'LIMIT', 0, 64)
step()
local bury_registration = on_demand().bury_registration
for _, endpoint in ipairs(due) do
  if not bury_registration(endpoint, 'expired') then call('ZREM', BASE .. 'x', endpoint) end
end
first = call('ZRANGE', BASE .. 'x', 0, 0, 'WITHSCORES')[2]
table.insert(reply, 4, first and math.max(first - REACHED + 1, 0) or -1)
return reply
