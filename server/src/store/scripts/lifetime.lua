-- A lifetime has begun. If it ends before all others of the partition, the steward has to know: it looks again only when
-- the earliest that it knows is over.
local function tell_if_earliest(endpoint, seconds)
  if call('ZRANGE', BASE .. 'x', 0, 0)[1] ~= endpoint then return end
  local steward = call('HGET', KEYS[1], 'st')
  local text = 'X\n' .. ARGV[7] .. '\n' .. ('%.0f'):format(seconds * 1000)
  if steward == ME then reply[#reply + 1] = text elseif steward then tell(steward, text) end
end
