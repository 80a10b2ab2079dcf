-- register (the instance that received it): stores a registration, replaces the one before.
-- ARGV[11..]: endpoint, uplink, new registration id, the way (JSON), address, port, lifetime, the other members (JSON),
-- the lengths of their pieces, version, root.
local endpoint, uplink, id = ARGV[11], ARGV[12], ARGV[13]
local key = BASE .. 'e:' .. endpoint
local e = load_endpoint(endpoint)
local served = e.dr
local stored = served_before(served, uplink)
if stored then
  reply[4] = stored
  return answer('DUPLICATE')
end
step()
local old = e.id and e
local load_ticket, dispatch, next_turn, finish_ticket, error_body
local rev = (e.rev or 0) + 1
if old then
  load_ticket, dispatch, next_turn, finish_ticket, error_body = on_demand()
  -- The device may have rebooted: what it may have executed stays open for ever, what can be asked again will be.
  for token in string.gmatch(old.fl, '(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t and t.class == 'n' and t.state == 's' then
      finish_ticket(name, t, error_body('OUTCOME_UNKNOWN',
        'the device registered again while the request was with it', 'true'))
    end
  end
  old.rev = rev
  announce('LESHAN_REG_DEL', registration_json(old, ',"reason":"replaced"'))
  call('HDEL', BASE .. 'r', old.id)
  rev = rev + 1
elseif e.rev then
  -- There is a tombstone.
  call('PERSIST', key)
end
if e.rev then call('HDEL', key, 'du') end
local new = {id = id, rd = NOW, wy = ARGV[14], js = ARGV[18], lu = NOW, rev = rev}
call('HSET', key, 'id', id, 'rd', NOW, 'wy', new.wy, 'a', ARGV[15], 'po', ARGV[16], 'lt', ARGV[17], 'js', new.js,
  'jl', ARGV[19], 'vn', ARGV[20], 'rn', ARGV[21], 'lu', NOW, 'rev', rev, 'mi', e.mi or 0,
  'dr', remember(served, uplink, id))
claim(key)
call('HSET', BASE .. 'r', id, endpoint)
begin_lifetime(endpoint, ARGV[17], true)
announce('LESHAN_REG_NEW', registration_json(new))
if old then
  for token in string.gmatch(call('HGET', key, 'fl') or '', '(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
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
