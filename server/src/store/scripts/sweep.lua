-- sweep (steward): ends what is overdue, moves what dead instances held, tells holders again what they may have missed,
-- forgets outcomes whose time is over or that are beyond the cap. Answers in how many ms the next look is worth its price
-- (-1 if nothing waits), and how many tickets are open.
local refusal = speak_as_steward(c, term)
if refusal then return refusal end
c.nonce, c.view = nonce, view
local deadlines, exchanges = c.base .. Key.DEADLINES, c.base .. Key.EXCHANGES

local wait = -1
local function look_in(left)
  if left >= 0 and (wait < 0 or left < wait) then wait = left end
end

local changed = {}
for _, name in ipairs(call('ZRANGEBYSCORE', deadlines, '-inf', c.now, 'LIMIT', 0, 64)) do
  count_once(c)
  if rarely().end_overdue(c, name) then changed[#changed + 1] = endpoint_of(name) end
end

local held = call('HGETALL', exchanges)
for i = 1, #held, 2 do
  local holder, first, told, name = entry_parts(held[i + 1])
  if not holder then
    count_once(c)
    call('HDEL', exchanges, held[i])
  elseif dead(c, holder) then
    count_once(c)
    if rarely().take_from_dead(c, held[i], name) then changed[#changed + 1] = endpoint_of(name) end
  else
    -- A message to the holder may have got lost; ever less likely, so it is told ever more seldom.
    local age = math.abs(c.now - told)
    local due = math.max(Time.TELL_AGAIN, told - first)
    if age >= due then
      count_once(c)
      rarely().tell_holder_again(c, held[i], name)
      due, age = due * 2, 0
    end
    look_in(math.min(due - age, Time.TELL_AGAIN))
  end
end
for _, endpoint in ipairs(changed) do rarely().next_turn(c, endpoint) end

-- Ended tickets stand behind the open ones, in the order of their oblivion.
local old = call('ZRANGEBYSCORE', deadlines, '(' .. Time.ENDED, '(' .. ('%.0f'):format(Time.ENDED + c.now),
  'LIMIT', 0, 256)
local ended = call('ZCOUNT', deadlines, '(' .. Time.ENDED, '+inf') - #old
local beyond = math.min(ended - retained, 256)
if beyond > 0 then
  local excess = call('ZRANGEBYSCORE', deadlines, ('%.0f'):format(Time.ENDED + c.now), '+inf', 'LIMIT', 0, beyond)
  for _, name in ipairs(excess) do old[#old + 1] = name end
end
if #old > 0 then
  count_once(c)
  for _, name in ipairs(old) do
    call('DEL', c.base .. Key.TICKET .. name)
    call('ZREM', deadlines, name)
  end
end
if #old >= 256 then look_in(0) end
-- What has just been handed on is looked after like what was there.
if c.reply[2] ~= 0 then look_in(Time.TELL_AGAIN) end

local first = call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
if first then look_in(math.max((tonumber(first) > Time.ENDED and first - Time.ENDED or first) - c.now, 0)) end
table.insert(c.reply, 4, wait)
table.insert(c.reply, 5, call('ZCOUNT', deadlines, '-inf', Time.ENDED))
return c.reply
