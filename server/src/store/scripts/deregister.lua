-- deregister (the instance that received it). ARGV[11..]: registration id, uplink, address, port.
local id, uplink = ARGV[11], ARGV[12]
local endpoint = call('HGET', BASE .. 'r', id)
if not endpoint then
  local before = call('GET', BASE .. 'g:' .. id)
  if before and served_before(call('HGET', BASE .. 'e:' .. before, 'du'), uplink) then
    return step('DUPLICATE')
  end
  return step('UNKNOWN')
end
-- Whoever knows an id is not the device: an Update may come from a new address, the end of a registration may not.
local known = call('HMGET', BASE .. 'e:' .. endpoint, 'a', 'po')
if known[1] ~= ARGV[13] or known[2] ~= ARGV[14] then return step('STRANGER') end
step()
bury_registration(endpoint, 'deregistered', remember('', uplink, ''))
return reply
