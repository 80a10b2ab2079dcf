-- sweep (steward): ends what is overdue, moves what dead instances held, tells holders again what they may have
-- missed, forgets outcomes beyond the cap. ARGV[12]: the cap. Answers in how many ms the next look is worth its price,
-- -1 if nothing waits.

-- Of a list of ended tickets, which is in the order of their ends, what is forgotten stands in front: takes it away.
-- Returns in how many ms the next will be forgotten, -1 if there is none.
local function forget(list)
  for _ = 1, 512 do
    local name = call('LINDEX', list, 0)
    if not name then return -1 end
    local left = call('PTTL', BASE .. 'u:' .. name)
    if left ~= -2 and call('LLEN', list) <= tonumber(ARGV[12]) then return math.max(left, 0) + 1 end
    if reply[2] == 0 then step() end
    call('LPOP', list)
    call('DEL', BASE .. 'u:' .. name)
  end
  return 0
end

local wait = -1
local function look_in(left)
  if left >= 0 and (wait < 0 or left < wait) then wait = left end
end

local first, held = call('ZRANGE', BASE .. 'd', 0, 0, 'WITHSCORES')[2], call('HGETALL', BASE .. 'o')
if #held > 0 or (first and tonumber(first) <= NOW) then
  step()
  on_demand().go_through(first, held)
  first = call('ZRANGE', BASE .. 'd', 0, 0, 'WITHSCORES')[2]
end
look_in(forget(BASE .. 'z'))
look_in(forget(BASE .. 'y'))
if first then look_in(math.max(first - NOW, 0)) end
if reply[2] == 0 then return {'OK', 0, NOW, wait} end
-- What is with an instance wants the very next of the looks that come twice a second; all else has its time.
if call('HLEN', BASE .. 'o') > 0 then wait = 250 end
table.insert(reply, 4, wait)
return reply
