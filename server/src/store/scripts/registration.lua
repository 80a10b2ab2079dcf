-- Registrations: `e:EP` with what is known of an endpoint, `r` leads from registration id to endpoint, `x` has the
-- expiry times. What only says itself again in JSON is kept as the text that instances made of it: `wy` has the four
-- members about the way to the device, `js` those from `lt` to `root`. `jl` has the lengths of the pieces of `js`, with
-- a comma after each: lt, sms, ver, bnd, ep and regId, objLink, addAttr, root; 0 for one that the device did not send.

-- What events and ends need of an endpoint; without an `id` if it is not registered.
local function load_endpoint(endpoint)
  local f = call('HMGET', BASE .. 'e:' .. endpoint, 'id', 'rd', 'wy', 'js', 'lu', 'rev', 'du', 'dr', 'mi', 'fl')
  return {id = f[1], rd = f[2], wy = f[3], js = f[4], lu = f[5], rev = f[6], du = f[7], dr = f[8], mi = f[9],
    fl = f[10] or ''}
end

-- The JSON of a registration.
local function registration_json(e, reason)
  return '{"regDate":' .. e.rd .. ',' .. e.wy .. ',' .. e.js .. ',"lastUp":' .. e.lu .. ',"rev":' .. e.rev
    .. (reason or '') .. '}'
end

local function announce(channel, text)
  call('PUBLISH', PREFIX .. channel, text)
end
