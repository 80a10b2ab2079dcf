-- The device has another address, or reaches another instance.
local function change_way(key, way, address, port, slots)
  local before = slots ~= '' and call('HMGET', key, 'a', 'po')
  call('HSET', key, 'wy', way, 'a', address, 'po', port)
  if not before or (before[1] == address and before[2] == port) then return end
  -- Those who wait for an answer learn where the device is now.
  for token in slots:gmatch('(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local holder = name and call('HGET', BASE .. 't:' .. name, 'h')
    local text = 'M\n' .. token .. '\n' .. address .. '\n' .. port
    if holder == ME then reply[#reply + 1] = text elseif holder then tell(holder, text) end
  end
end
