-- The end of a registration.

-- Ends what an endpoint had when its registration ends.
local function end_all(endpoint, queued_message)
  local key = BASE .. 'e:' .. endpoint
  for token in string.gmatch(slots_of(key), '(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t and t.class == 'n' and t.state == 's' then
      finish_ticket(name, t, error_body('OUTCOME_UNKNOWN', 'the registration ended while the request was with the device', 'true'))
    elseif t then
      finish_ticket(name, t, error_body('GONE', queued_message, unsent(t) and 'false' or 'true'))
    end
  end
  while true do
    local name = call('LPOP', BASE .. 'q:' .. endpoint)
    if not name then return end
    local t = load_ticket(name)
    if t then finish_ticket(name, t, error_body('GONE', queued_message, 'false')) end
  end
end

-- Takes a registration away and leaves a tombstone, which keeps counting (rev, message ID) while anybody may remember.
local function bury_registration(endpoint, e, reason, uplinks)
  local key = BASE .. 'e:' .. endpoint
  end_all(endpoint, 'the registration of the device ended (' .. reason .. ') while the request waited')
  e.rev = e.rev + 1
  announce('LESHAN_REG_DEL', registration_json(e, ',"reason":"' .. reason .. '"'))
  call('HDEL', BASE .. 'r', e.id)
  call('ZREM', BASE .. 'x', endpoint)
  call('DEL', key)
  call('HSET', key, 'rev', e.rev, 'mi', e.mi, 'dr', e.dr, 'du', uplinks or '')
  call('PEXPIRE', key, 247000)
  call('SET', BASE .. 'g:' .. e.id, endpoint, 'PX', 247000)
end
