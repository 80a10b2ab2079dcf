-- sweep (steward): ends what is overdue, moves what dead instances held, tells holders again what they may have
-- missed, forgets outcomes beyond the cap. ARGV[12]: the cap. Answers in how many ms the next look is worth its price,
-- -1 if nothing waits.
local changed = {}
local function due(name, t)
  finish_ticket(name, t, error_body('TIMEOUT', 'no outcome within the timeout of the request', unsent(t) and 'false' or 'true'))
  changed[#changed + 1] = endpoint_of(name)
end

-- What is with an instance wants the very next of the looks that come twice a second; all else has its time.
local function wait()
  if call('HLEN', BASE .. 'o') > 0 then return 250 end
  local first = call('ZRANGE', BASE .. 'd', 0, 0, 'WITHSCORES')[2]
  local earliest = first and math.max(first - NOW, 0) or -1
  for _, list in ipairs({'z', 'y'}) do
    local name = call('LINDEX', BASE .. list, 0)
    if name then
      local over = call('LLEN', BASE .. list) > tonumber(ARGV[12])
      local left = over and 0 or math.max(call('PTTL', BASE .. 'u:' .. name), 0) + 1
      if earliest < 0 or left < earliest then earliest = left end
    end
  end
  return earliest
end

local overdue = call('ZRANGEBYSCORE', BASE .. 'd', '-inf', NOW, 'LIMIT', 0, 64)
local held = call('HGETALL', BASE .. 'o')
local ended = call('LLEN', BASE .. 'z') + call('LLEN', BASE .. 'y')
if #overdue == 0 and #held == 0 and ended == 0 then return {'OK', 0, NOW, wait()} end
step()
for _, name in ipairs(overdue) do
  local t = load_ticket(name)
  if t then due(name, t) else call('ZREM', BASE .. 'd', name) end
end
for i = 1, #held, 2 do
  local name = held[i + 1]
  local t = load_ticket(name)
  if not t then
    call('HDEL', BASE .. 'o', held[i])
  elseif dead(t.holder) then
    if t.class == 'n' and t.state == 's' then
      finish_ticket(name, t, error_body('OUTCOME_UNKNOWN',
        'the instance that may have sent the request died before it heard the answer', 'true'))
      changed[#changed + 1] = endpoint_of(name)
    else
      dispatch(name, t)
    end
  elseif NOW - t.told >= 1000 then
    tell_again(name, t)
  end
end
for _, endpoint in ipairs(changed) do next_turn(endpoint) end
-- Both lists of ended tickets (outcomes, refusals) are in the order of their ends: what is forgotten stands in front.
for _, list in ipairs({'z', 'y'}) do
  for _ = 1, 512 do
    local name = call('LINDEX', BASE .. list, 0)
    if not name then break end
    local over = call('LLEN', BASE .. list) > tonumber(ARGV[12])
    if not over and call('EXISTS', BASE .. 'u:' .. name) == 1 then break end
    call('LPOP', BASE .. list)
    call('DEL', BASE .. 'u:' .. name)
  end
end
table.insert(reply, 4, wait())
return answer('OK')
