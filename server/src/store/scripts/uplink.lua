-- Uplinks already served: `KIND MID@SOURCE=SECONDS=ANSWER;` entries, newest first. A copy gets the stored answer (RFC
-- 7252, 4.5), whichever instance it comes to, for 292 s: a device sends a message again for up to MAX_TRANSMIT_SPAN
-- (45 s) after the one that was served, and each of them may be under way for EXCHANGE_LIFETIME (247 s).
local function served_before(list, uplink)
  local _, at = (list or ''):find(uplink .. '=', 1, true)
  if not at then return nil end
  local seconds, stored = list:match('^(%d+)=([^;]*);', at + 1)
  if clock[1] - seconds > 292 then return nil end
  return stored
end

-- A list that is no longer is kept whole: to look through it each time costs more than a few entries that are too old.
local SHORT = 256
-- Beyond that, as many as can still have copies, but not without end.
local UPLINKS = 32

local function remember(list, uplink, stored)
  list = uplink .. '=' .. clock[1] .. '=' .. stored .. ';' .. (list or '')
  if #list <= SHORT then return list end
  local count, position = 0, 0
  for seconds, next_entry in list:gmatch('=(%d+)=[^;]*;()') do
    count = count + 1
    if count > UPLINKS or clock[1] - seconds > 292 then break end
    position = next_entry - 1
  end
  return list:sub(1, position)
end
