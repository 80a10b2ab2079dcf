-- update (the instance that received it): refreshes a registration and makes the receiver its owner. `lifetime`, `root`
-- and `changes` (see `change_members`) are there only if the device sent a parameter.
local refusal, endpoint = speak(c, Partition.REGISTRATION .. id)
if refusal then return refusal end
if not endpoint then return count(c, 'UNKNOWN') end
local key = c.base .. Key.ENDPOINT .. endpoint
local known, registered, old_way, members, rev, uplinks, owner, slots, waiting =
  unpack(call('HMGET', key, Endpoint.ID, Endpoint.REGISTERED, Endpoint.WAY, Endpoint.MEMBERS, Endpoint.REV,
    Endpoint.UPLINKS, Endpoint.OWNER, Endpoint.SLOTS, Endpoint.WAITING))
if not known then return count(c, 'UNKNOWN') end
if served_before(c, uplinks, uplink) then return count(c, 'DUPLICATE') end
local lengths, sent = nil, ''
if changes then
  -- One rule for a binding in a Register, which says its version, and in an Update, which does not.
  if versions ~= '' and not versions:find(call('HGET', key, Endpoint.VERSION), 1, true) then return count(c, 'MISFIT') end
  members, lengths, sent = rarely().change_members(call('HGET', key, Endpoint.LENGTHS), members, changes)
  if not members then return count(c, 'CROWDED') end
end
rev = rev + 1
count(c)
local now = time_text(c)
call('HSET', key, Endpoint.LAST_UPDATE, now, Endpoint.REV, rev, Endpoint.UPLINKS, remember_uplink(c, uplinks, uplink, '', rev))
if owner ~= c.me then claim(c, endpoint) end
if old_way ~= way then rarely().change_way(c, endpoint, way, uplink:match('@(.*)$'), slots or '') end
if changes then
  call('HSET', key, Endpoint.MEMBERS, members, Endpoint.LENGTHS, lengths)
  if root ~= '' then call('HSET', key, Endpoint.ROOT, root) end
  if lifetime ~= '' then rarely().change_lifetime(c, endpoint, lifetime) end
end
call('PUBLISH', c.prefix .. Channel.REGISTRATION_CHANGES,
  update_text(id, way, sent, registration_text(registered, way, members, now, rev)))
if waiting and waiting ~= '0' and #(slots or '') < Time.TOKEN_AND_COMMA * c.nstart then
  c.nonce = nonce
  rarely().next_turn(c, endpoint)
end
return c.reply
