-- If the broker's clock was set back since a member last renewed (`renewed`), the times from which members count go back
-- with it: who has renewed or listened for long enough has done so still. Answers by how much.
local function follow_clock(renewed)
  local back = tonumber(renewed or NOW) - NOW
  if back <= 0 then return 0 end
  for _, id in ipairs(call('SMEMBERS', BASE .. 's')) do
    local member = BASE .. 'i:' .. id
    local f = call('HMGET', member, 'since', 'heard')
    if f[1] then call('HSET', member, 'since', f[1] - back) end
    if f[2] and f[2] ~= '0' then call('HSET', member, 'heard', f[2] - back) end
  end
  return back
end

-- Until when no registration expires (`keep`). While no member renewed (`renewed`: when one did last) nobody may have been
-- there to hear the devices, or the broker's clock was set forward and registrations look older than they are: devices
-- get as long again, and a little more. Shorter jumps of the clock are reported by those who notice (`reported`, ms).
local GRACE, LONGEST = 5000, 86400000
local function suspend_expiry(renewed, keep, reported)
  local silence = NOW - tonumber(renewed or NOW)
  local left = tonumber(keep or NOW) - NOW
  if silence > LEASE then left = math.max(left + silence, GRACE) + silence end
  left = math.min(math.max(left, reported), LONGEST)
  call('HSET', KEYS[1], 'renewed', NOW, 'keep', NOW + left)
  return left
end
