-- deregister (the instance that received it): ends a registration.
local refusal, endpoint = speak(c, Partition.REGISTRATION .. id)
if refusal then return refusal end
if not endpoint then
  local before = call('GET', c.base .. Key.TOMBSTONE .. id)
  local uplinks = before and call('HGET', c.base .. Key.ENDPOINT .. before, Endpoint.UPLINKS)
  return count(c, uplinks and served_before(c, uplinks, uplink) and 'DUPLICATE' or 'UNKNOWN')
end
-- Whoever knows an id is not the device: an Update may come from a new address, the end of a registration may not.
local source = call('HGET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.SOURCE)
if source ~= uplink:match('@(.*)$') then return count(c, 'STRANGER') end
count(c)
bury_registration(c, endpoint, 'deregistered', remember_uplink(c, '', uplink, '', 0))
return c.reply
