-- deregister (the instance that received it). ARGV[11..]: registration id, uplink.
local id, uplink = ARGV[11], ARGV[12]
local endpoint = call('HGET', BASE .. 'r', id)
if not endpoint then
  local before = call('GET', BASE .. 'g:' .. id)
  if before and served_before(call('HGET', BASE .. 'e:' .. before, 'du'), uplink) then
    return step('DUPLICATE')
  end
  return step('UNKNOWN')
end
step()
bury_registration(endpoint, 'deregistered', remember('', uplink, ''))
return reply
