-- register (the instance that received it): stores a registration, replaces the one before.
-- ARGV[11..]: endpoint, uplink, new registration id, the way (JSON), address, port, lifetime, the other members (JSON),
-- the lengths of their pieces, version, root.
local endpoint, uplink, id, way, lifetime, members = ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[17], ARGV[18]
local key = BASE .. 'e:' .. endpoint
local old, registered, old_way, old_members, last_update, last_rev, served, next_message =
  unpack(call('HMGET', key, 'id', 'rd', 'wy', 'js', 'lu', 'rev', 'dr', 'mi'))
local stored = served_before(served, uplink)
if stored then
  reply[4] = stored
  return step('DUPLICATE')
end
step()
local rev, rare = (last_rev or 0) + 1, nil
if old then
  rare = on_demand()
  rare.end_unclear(endpoint, key)
  call('PUBLISH', PREFIX .. 'LESHAN_REG_DEL',
    registration_json(registered, old_way, old_members, last_update, rev) .. ',"reason":"replaced"}')
  call('HDEL', BASE .. 'r', old)
  rev = rev + 1
elseif last_rev then
  -- There is a tombstone.
  call('PERSIST', key)
end
if last_rev then call('HDEL', key, 'du') end
-- Put together: to make a text of so long a number takes Lua longer.
local now = clock[1] .. ('%03d'):format(clock[2] / 1000)
call('HSET', key, 'id', id, 'rd', now, 'wy', way, 'a', ARGV[15], 'po', ARGV[16], 'lt', lifetime, 'js', members,
  'jl', ARGV[19], 'vn', ARGV[20], 'rn', ARGV[21], 'lu', now, 'rev', rev, 'mi', next_message or 0,
  'dr', remember(served, uplink, id))
claim(key)
call('HSET', BASE .. 'r', id, endpoint)
call('ZADD', BASE .. 'x', NOW + lifetime * 1000, endpoint)
tell_if_earliest(endpoint, lifetime)
call('PUBLISH', PREFIX .. 'LESHAN_REG_NEW', registration_json(now, way, members, now, rev) .. '}')
if rare then
  rare.begin_anew(key)
  rare.next_turn(endpoint)
end
table.insert(reply, 4, id)
return reply
