-- expire (steward): ends at most 64 registrations whose lifetime is over. ARGV[12]: the time (ms) as the caller reckons:
-- if it is later, the clock may have been set forward and nobody has noticed yet. Answers in how many ms the next
-- lifetime ends, -1 if none does.
local REACHED = math.min(NOW, tonumber(ARGV[12]))
local function wait()
  local first = call('ZRANGE', BASE .. 'x', 0, 0, 'WITHSCORES')
  return first[2] and math.max(first[2] - REACHED + 1, 0) or -1
end
local due = call('ZRANGEBYSCORE', BASE .. 'x', '-inf', '(' .. string.format('%.0f', REACHED), 'LIMIT', 0, 64)
if #due == 0 then return {'OK', 0, NOW, wait()} end
step()
for _, endpoint in ipairs(due) do
  local e = load_endpoint(endpoint)
  if e.id then bury_registration(endpoint, e, 'expired') else call('ZREM', BASE .. 'x', endpoint) end
end
table.insert(reply, 4, wait())
return answer('OK')
