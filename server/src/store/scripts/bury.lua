-- The end of a registration.

-- Ends what an endpoint had when its registration ends.
local function end_all(endpoint, queued_message)
  local key = BASE .. 'e:' .. endpoint
  for token in slots_of(key):gmatch('(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t and t.class == 'n' and t.state == 's' then
      finish_ticket(name, endpoint, t, error_body('OUTCOME_UNKNOWN', 'the registration ended while the request was with the device', 'true'))
    elseif t then
      finish_ticket(name, endpoint, t, error_body('GONE', queued_message, unsent(t) and 'false' or 'true'))
    end
  end
  while true do
    local name = call('LPOP', BASE .. 'q:' .. endpoint)
    if not name then return end
    local t = load_ticket(name)
    if t then finish_ticket(name, endpoint, t, error_body('GONE', queued_message, 'false')) end
  end
end

-- Takes a registration away and leaves a tombstone, which keeps counting (rev, message ID) while anybody may remember.
-- False if there is none.
local function bury_registration(endpoint, reason, uplinks)
  local key = BASE .. 'e:' .. endpoint
  local id, registered, way, members, last_update, rev, next_message, registers =
    unpack(call('HMGET', key, 'id', 'rd', 'wy', 'js', 'lu', 'rev', 'mi', 'dr'))
  if not id then return false end
  end_all(endpoint, 'the registration of the device ended (' .. reason .. ') while the request waited')
  rev = rev + 1
  call('PUBLISH', PREFIX .. 'LESHAN_REG_DEL',
    registration_json(registered, way, members, last_update, rev) .. ',"reason":"' .. reason .. '"}')
  call('HDEL', BASE .. 'r', id)
  call('ZREM', BASE .. 'x', endpoint)
  call('DEL', key)
  call('HSET', key, 'rev', rev, 'mi', next_message, 'dr', registers, 'du', uplinks or '')
  call('PEXPIRE', key, 247000)
  call('SET', BASE .. 'g:' .. id, endpoint, 'PX', 247000)
  return true
end
