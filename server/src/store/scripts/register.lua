-- register (the instance that received it): stores a registration, replaces the one before.
local refusal, steward = speak(c, Partition.STEWARD)
if refusal then return refusal end
c.nonce = nonce
local key = c.base .. Key.ENDPOINT .. endpoint
local old, registered, old_way, old_members, last_update, last_rev, served, ids =
  unpack(call('HMGET', key, Endpoint.ID, Endpoint.REGISTERED, Endpoint.WAY, Endpoint.MEMBERS, Endpoint.LAST_UPDATE,
    Endpoint.REV, Endpoint.REGISTERS, Endpoint.MESSAGE_IDS))
local stored = served_before(c, served, uplink)
if stored then
  c.reply[4] = stored
  return count(c, 'DUPLICATE')
end
local reply = count(c, nil, Partition.REGISTRATION .. id, endpoint)
local rev = (last_rev or 0) + 1
if old then
  rarely().end_unclear(c, endpoint)
  call('PUBLISH', c.prefix .. Channel.REGISTRATION_ENDS,
    ended_registration_text(registration_text(registered, old_way, old_members, last_update, rev), 'replaced'))
  call('HDEL', c.key, Partition.REGISTRATION .. old)
  rev = rev + 1
elseif last_rev then
  -- There is a tombstone.
  call('PERSIST', key)
end
if last_rev then call('HDEL', key, Endpoint.UPLINKS) end
local now = time_text(c)
call('HSET', key, Endpoint.ID, id, Endpoint.REGISTERED, now, Endpoint.WAY, way, Endpoint.SOURCE, uplink:match('@(.*)$'),
  Endpoint.LIFETIME, lifetime, Endpoint.MEMBERS, members, Endpoint.LENGTHS, lengths, Endpoint.VERSION, version,
  Endpoint.ROOT, root, Endpoint.LAST_UPDATE, now, Endpoint.REV, rev, Endpoint.MESSAGE_IDS, ids or 0,
  Endpoint.REGISTERS, remember_uplink(c, served, uplink, id, 0), Endpoint.OWNER, c.me, Endpoint.OWNER_TAG, c.tag)
begin_lifetime(c, endpoint, lifetime, steward)
call('PUBLISH', c.prefix .. Channel.REGISTRATION_BEGINS,
  new_registration_text(registration_text(now, way, members, now, rev)))
if old then
  rarely().begin_anew(c, endpoint)
  rarely().next_turn(c, endpoint)
end
table.insert(reply, 4, id)
return reply
