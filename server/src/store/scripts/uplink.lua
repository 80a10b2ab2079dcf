-- Uplinks already served: `KIND MID@SOURCE=SECONDS=ANSWER;` entries, newest first. A copy that comes within
-- EXCHANGE_LIFETIME, to whichever instance, gets the stored answer (RFC 7252, 4.5).
local function served_before(list, uplink)
  local _, at = string.find(list or '', uplink .. '=', 1, true)
  if not at then return nil end
  local seconds, stored = string.match(list, '^(%d+)=([^;]*);', at + 1)
  if NOW / 1000 - tonumber(seconds) > 247 then return nil end
  return stored
end

local function remember(list, uplink, stored, keep)
  local text = uplink .. '=' .. clock[1] .. '=' .. stored .. ';'
  local position = 0
  list = list or ''
  for _ = 1, keep - 1 do
    position = string.find(list, ';', position + 1, true)
    if not position then return text .. list end
  end
  return text .. string.sub(list, 1, position)
end
