-- Uplinks already served: `KIND MID@SOURCE=SECONDS=ANSWER;` entries, newest first. A copy that comes within
-- EXCHANGE_LIFETIME, to whichever instance, gets the stored answer (RFC 7252, 4.5).
local function served_before(list, uplink)
  local _, at = (list or ''):find(uplink .. '=', 1, true)
  if not at then return nil end
  local seconds, stored = list:match('^(%d+)=([^;]*);', at + 1)
  if clock[1] - seconds > 247 then return nil end
  return stored
end

-- A list that is no longer is kept whole: to look through it each time costs more than a few entries that are too old.
local SHORT = 256
-- Beyond that, as many as came within EXCHANGE_LIFETIME, but not without end.
local UPLINKS = 32

local function remember(list, uplink, stored)
  list = uplink .. '=' .. clock[1] .. '=' .. stored .. ';' .. (list or '')
  if #list <= SHORT then return list end
  local count, position = 0, 0
  for seconds, next_entry in list:gmatch('=(%d+)=[^;]*;()') do
    count = count + 1
    if count > UPLINKS or clock[1] - seconds > 247 then break end
    position = next_entry - 1
  end
  return list:sub(1, position)
end
