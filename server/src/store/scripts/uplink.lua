-- Uplinks already served: `KIND MID@SOURCE=SECONDS=ANSWER;` entries, newest first. A copy that comes within
-- EXCHANGE_LIFETIME, to whichever instance, gets the stored answer (RFC 7252, 4.5).
local function served_before(list, uplink)
  local _, at = string.find(list or '', uplink .. '=', 1, true)
  if not at then return nil end
  local seconds, stored = string.match(list, '^(%d+)=([^;]*);', at + 1)
  if NOW / 1000 - tonumber(seconds) > 247 then return nil end
  return stored
end

-- As many as came within EXCHANGE_LIFETIME, but not without end.
local UPLINKS = 32

local function remember(list, uplink, stored)
  list = list or ''
  local count, position = 1, 0
  for seconds, next_entry in string.gmatch(list, '=(%d+)=[^;]*;()') do
    count = count + 1
    if count > UPLINKS or clock[1] - seconds > 247 then break end
    position = next_entry - 1
  end
  return uplink .. '=' .. clock[1] .. '=' .. stored .. ';' .. string.sub(list, 1, position)
end
