-- update (the instance that received it): refreshes a registration and makes the receiver its owner.
-- ARGV[11..]: registration id, uplink, address, port, regAddr, regPort, then what the device sent, '' where it did not:
-- lifetime, sms (JSON), binding (JSON), objLink (JSON), root (JSON), root, addAttr (JSON).
local id, uplink = ARGV[11], ARGV[12]
local endpoint = redis.call('HGET', BASE .. 'r', id)
if not endpoint then return answer('UNKNOWN') end
local key = BASE .. 'e:' .. endpoint
local served = redis.call('HMGET', key, 'du', 'a', 'po', 'ow')
if served_before(served[1], uplink) then return answer('DUPLICATE') end
step()
local fields = {'lu', NOW, 'a', ARGV[13], 'po', ARGV[14], 'ra', ARGV[15], 'rp', ARGV[16],
  'du', remember(served[1], uplink, '', 3)}
local sent = ''
local function take(argument, field, name)
  if ARGV[argument] == '' then return end
  fields[#fields + 1] = field
  fields[#fields + 1] = ARGV[argument]
  if name then sent = sent .. ',"' .. name .. '":' .. ARGV[argument] end
end
take(17, 'lt', 'lt')
take(18, 'sms', 'sms')
take(19, 'bn', 'bnd')
take(20, 'ol', 'objLink')
take(21, 'rt')
take(22, 'rn')
take(23, 'at', 'addAttr')
redis.call('HSET', key, unpack(fields))
if served[4] ~= ME then claim(key) end
redis.call('HINCRBY', key, 'rev', 1)
local e = load_registration(endpoint)
begin_lifetime(endpoint, e.lt, ARGV[17] ~= '')
announce('LESHAN_REG_UP', '{"regUpdate":{"regId":"' .. id .. '","address":"' .. e.a .. '","port":' .. e.po .. sent
  .. '},"regUpdated":' .. registration_json(e) .. '}')
if served[2] ~= ARGV[13] or served[3] ~= ARGV[14] then
  for token in string.gmatch(slots_of(key), '(%x+),') do
    local name = redis.call('HGET', BASE .. 'o', token)
    local holder = name and redis.call('HGET', BASE .. 't:' .. name, 'h')
    local text = 'M\n' .. token .. '\n' .. ARGV[13] .. '\n' .. ARGV[14]
    if holder == ME then reply[#reply + 1] = text elseif holder then tell(holder, text) end
  end
end
next_turn(endpoint)
return answer('OK')
