-- sweep (steward): ends what is overdue, moves what dead instances held, tells holders again what they may have
-- missed, forgets outcomes beyond the cap. ARGV[12]: the cap. Answers in how many ms the next look is worth its price,
-- -1 if nothing waits.
local changed = {}
local function due(name, t)
  finish_ticket(name, t, error_body('TIMEOUT', 'no outcome within the timeout of the request', unsent(t) and 'false' or 'true'))
  changed[#changed + 1] = endpoint_of(name)
end

-- Of a list of ended tickets, which is in the order of their ends, what is forgotten stands in front: takes it away.
-- Returns in how many ms the next will be forgotten, -1 if there is none.
local function forget(list)
  for _ = 1, 512 do
    local name = call('LINDEX', BASE .. list, 0)
    if not name then return -1 end
    local left = call('PTTL', BASE .. 'u:' .. name)
    local over = call('LLEN', BASE .. list) > tonumber(ARGV[12])
    if not over and left ~= -2 then return math.max(left, 0) + 1 end
    if reply[2] == 0 then step() end
    call('LPOP', BASE .. list)
    call('DEL', BASE .. 'u:' .. name)
  end
  return 0
end

local function first_deadline()
  local first = call('ZRANGE', BASE .. 'd', 0, 0, 'WITHSCORES')[2]
  return first and math.max(first - NOW, 0) or -1
end

local deadline, overdue = first_deadline(), {}
if deadline == 0 then overdue = call('ZRANGEBYSCORE', BASE .. 'd', '-inf', NOW, 'LIMIT', 0, 64) end
local held = call('HGETALL', BASE .. 'o')
if #overdue > 0 or #held > 0 then step() end
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
local outcomes, refusals = forget('z'), forget('y')
-- What is with an instance wants the very next of the looks that come twice a second; all else has its time.
local wait = -1
if reply[2] > 0 and call('HLEN', BASE .. 'o') > 0 then
  wait = 250
else
  if reply[2] > 0 then deadline = first_deadline() end
  for _, left in ipairs({deadline, outcomes, refusals}) do
    if left >= 0 and (wait < 0 or left < wait) then wait = left end
  end
end
if reply[2] == 0 then return {'OK', 0, NOW, wait} end
table.insert(reply, 4, wait)
return answer('OK')
