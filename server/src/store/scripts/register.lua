-- register (the instance that received it): stores a registration, replaces the one before.
-- ARGV[11..]: endpoint, uplink, new registration id, address, port, regAddr, regPort, lifetime, sms, version (JSON),
-- binding (JSON), endpoint (JSON), objLink (JSON), addAttr (JSON), root (JSON), version, root, random message ID.
local endpoint, uplink, id = ARGV[11], ARGV[12], ARGV[13]
local key = BASE .. 'e:' .. endpoint
local served = redis.call('HGET', key, 'dr')
local stored = served_before(served, uplink)
if stored then
  reply[4] = stored
  return answer('DUPLICATE')
end
step()
local old = load_registration(endpoint)
if old then
  -- The device may have rebooted: what it may have executed stays open for ever, what can be asked again will be.
  for token in string.gmatch(slots_of(key), '(%x+),') do
    local name = redis.call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t and t.class == 'n' and t.state == 's' then
      finish_ticket(name, t, error_body('OUTCOME_UNKNOWN',
        'the device registered again while the request was with it', 'true'))
    end
  end
  old.rev = redis.call('HINCRBY', key, 'rev', 1)
  announce('LESHAN_REG_DEL', registration_json(old, ',"reason":"replaced"'))
  redis.call('HDEL', BASE .. 'r', old.id)
else
  redis.call('PERSIST', key)
  redis.call('HSETNX', key, 'mi', ARGV[28])
end
redis.call('HDEL', key, 'sms', 'du')
redis.call('HSET', key, 'id', id, 'rd', NOW, 'a', ARGV[14], 'po', ARGV[15], 'ra', ARGV[16], 'rp', ARGV[17],
  'lt', ARGV[18], 'ver', ARGV[20], 'bn', ARGV[21], 'epj', ARGV[22], 'ol', ARGV[23], 'at', ARGV[24], 'rt', ARGV[25],
  'vn', ARGV[26], 'rn', ARGV[27], 'lu', NOW, 'dr', remember(served, uplink, id, 3))
if ARGV[19] ~= '' then redis.call('HSET', key, 'sms', ARGV[19]) end
claim(key)
redis.call('HSET', BASE .. 'r', id, endpoint)
begin_lifetime(endpoint, ARGV[18], true)
redis.call('HINCRBY', key, 'rev', 1)
announce('LESHAN_REG_NEW', registration_json(load_registration(endpoint)))
if old then
  for token in string.gmatch(slots_of(key), '(%x+),') do
    local name = redis.call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t then
      -- The exchange begins anew, perhaps at the very member that drops it now, so nobody may remember it as ended.
      if t.holder == ME then reply[#reply + 1] = 'A\n' .. token else tell(t.holder, 'A\n' .. token) end
      dispatch(name, t)
    end
  end
  next_turn(endpoint)
end
table.insert(reply, 4, id)
return answer('OK')
