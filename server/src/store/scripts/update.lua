-- update (the instance that received it): refreshes a registration and makes the receiver its owner.
-- ARGV[11..]: registration id, uplink, the way (JSON), address, port; then, if the device sent any parameter, lifetime
-- and root ('' where it did not), and the number and text of each piece of JSON that is new.
local id, way, address, port = ARGV[11], ARGV[13], ARGV[14], ARGV[15]
local endpoint = call('HGET', BASE .. 'r', id)
if not endpoint then return step('UNKNOWN') end
local key = BASE .. 'e:' .. endpoint
local known, registered, old_way, members, rev, uplinks, owner, slots, lifetime =
  unpack(call('HMGET', key, 'id', 'rd', 'wy', 'js', 'rev', 'du', 'ow', 'fl', 'lt'))
if not known then return step('UNKNOWN') end
if served_before(uplinks, ARGV[12]) then return step('DUPLICATE') end
local attributes
for i = 18, #ARGV, 2 do
  if ARGV[i] == '7' then
    attributes = on_demand().merge_attributes(call('HGET', key, 'jl'), members, ARGV[i + 1])
    if not attributes then return step('CROWDED') end
  end
end
step()
rev = rev + 1
-- Put together: to make a text of so long a number takes Lua longer.
local now = clock[1] .. ('%03d'):format(clock[2] / 1000)
call('HSET', key, 'lu', now, 'rev', rev, 'du', remember(uplinks, ARGV[12], ''))
if old_way ~= way then
  on_demand().change_way(key, way, address, port, slots or '')
end
local sent, other = '', false
if ARGV[16] then
  members, sent = on_demand().change_members(key, members, attributes)
  if ARGV[16] ~= '' then lifetime, other = ARGV[16], ARGV[16] ~= lifetime end
end
if owner ~= ME then claim(key) end
call('ZADD', BASE .. 'x', NOW + lifetime * 1000, endpoint)
if other then on_demand().tell_if_earliest(endpoint, lifetime) end
call('PUBLISH', PREFIX .. 'LESHAN_REG_UP', '{"regUpdate":{"regId":"' .. id .. '","address":"' .. address .. '","port":'
  .. port .. sent .. '},"regUpdated":' .. registration_json(registered, way, members, now, rev) .. '}}')
if #(slots or '') < 17 * ARGV[10] and call('LLEN', BASE .. 'q:' .. endpoint) > 0 then
  on_demand().next_turn(endpoint)
end
return reply
