-- What members tell each other, each on a channel of its own. Answers how many heard it.
local function tell(member, text)
  return call('PUBLISH', PREFIX .. 'lwm2m:i:' .. member, text)
end
