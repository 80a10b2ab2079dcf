-- Registrations: `e:EP` with its dynamic fields, `r` leads from registration id to endpoint, `x` has the expiry times.

-- All that is kept of an endpoint; without an `id` if it is not registered.
local function load_endpoint(endpoint)
  local f = call('HMGET', BASE .. 'e:' .. endpoint, 'id', 'rd', 'a', 'po', 'ra', 'rp', 'lt', 'sms', 'ver', 'bn',
    'epj', 'ol', 'at', 'rt', 'lu', 'rev', 'du', 'dr', 'ow', 'mi', 'fl')
  return {id = f[1], rd = f[2], a = f[3], po = f[4], ra = f[5], rp = f[6], lt = f[7], sms = f[8], ver = f[9],
    bn = f[10], epj = f[11], ol = f[12], at = f[13], rt = f[14], lu = f[15], rev = f[16], du = f[17], dr = f[18],
    ow = f[19], mi = f[20], fl = f[21] or ''}
end

-- The JSON of a registration, put together from the parts that were stored as JSON already.
local function registration_json(e, reason)
  return '{"regDate":' .. e.rd .. ',"address":"' .. e.a .. '","port":' .. e.po .. ',"regAddr":"' .. e.ra
    .. '","regPort":' .. e.rp .. ',"lt":' .. e.lt .. (e.sms and (',"sms":' .. e.sms) or '') .. ',"ver":' .. e.ver
    .. ',"bnd":' .. e.bn .. ',"ep":' .. e.epj .. ',"regId":"' .. e.id .. '","objLink":' .. e.ol .. ',"addAttr":'
    .. e.at .. ',"root":' .. e.rt .. ',"lastUp":' .. e.lu .. ',"rev":' .. e.rev .. (reason or '') .. '}'
end

local function announce(channel, text)
  call('PUBLISH', PREFIX .. channel, text)
end
