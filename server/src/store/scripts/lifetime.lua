-- The lifetime of an endpoint begins anew. If it ends before all others of the partition, the steward has to know: it
-- looks again only when the earliest that it knows is over.
local function begin_lifetime(endpoint, seconds, may_be_earliest)
  call('ZADD', BASE .. 'x', NOW + seconds * 1000, endpoint)
  if may_be_earliest and call('ZRANGE', BASE .. 'x', 0, 0)[1] == endpoint then
    local steward = call('HGET', KEYS[1], 'st')
    local text = 'X\n' .. ARGV[7] .. '\n' .. string.format('%.0f', seconds * 1000)
    if steward == ME then reply[#reply + 1] = text elseif steward then tell(steward, text) end
  end
end
