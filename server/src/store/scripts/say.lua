-- What a back end hears of its ticket.
local function say(channel, head, body)
  if channel == '' then channel = PREFIX .. 'LESHAN_RESP' end
  call('PUBLISH', channel, '{' .. head .. body .. ',"by":"' .. ME .. '"}')
end
