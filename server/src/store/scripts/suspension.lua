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
