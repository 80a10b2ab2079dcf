-- Registrations: `e:EP` with what is known of an endpoint, `r` leads from registration id to endpoint, `x` has the
-- expiry times. What only says itself again in JSON is kept as the text that instances made of it: `wy` has the four
-- members about the way to the device, `js` those from `lt` to `root`. `jl` has the lengths of the pieces of `js`, with
-- a comma after each: lt, sms, ver, bnd, ep and regId, objLink, addAttr, root; 0 for one that the device did not send.

-- The JSON of a registration, but for its last brace.
local function registration_json(registered, way, members, last_update, rev)
  return '{"regDate":' .. registered .. ',' .. way .. ',' .. members .. ',"lastUp":' .. last_update .. ',"rev":' .. rev
end
