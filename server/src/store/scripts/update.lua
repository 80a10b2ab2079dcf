-- update (the instance that received it): refreshes a registration and makes the receiver its owner.
-- ARGV[11..]: registration id, uplink, address, port, regAddr, regPort, then what the device sent, '' where it did not:
-- lifetime, sms (JSON), binding (JSON), objLink (JSON), root (JSON), root, addAttr (JSON).
local id, uplink = ARGV[11], ARGV[12]
local endpoint = call('HGET', BASE .. 'r', id)
local e = endpoint and load_endpoint(endpoint)
if not e or not e.id then return answer('UNKNOWN') end
local key = BASE .. 'e:' .. endpoint
if served_before(e.du, uplink) then return answer('DUPLICATE') end
step()
local moved = e.a ~= ARGV[13] or e.po ~= ARGV[14]
e.rev = e.rev + 1
e.lu, e.a, e.po, e.ra, e.rp = NOW, ARGV[13], ARGV[14], ARGV[15], ARGV[16]
local fields = {'lu', NOW, 'a', e.a, 'po', e.po, 'ra', e.ra, 'rp', e.rp, 'rev', e.rev,
  'du', remember(e.du, uplink, '', 3)}
local sent = ''
local function take(argument, field, name)
  if ARGV[argument] == '' then return end
  e[field] = ARGV[argument]
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
call('HSET', key, unpack(fields))
if e.ow ~= ME then claim(key) end
begin_lifetime(endpoint, e.lt, ARGV[17] ~= '')
announce('LESHAN_REG_UP', '{"regUpdate":{"regId":"' .. id .. '","address":"' .. e.a .. '","port":' .. e.po .. sent
  .. '},"regUpdated":' .. registration_json(e) .. '}')
if moved then
  for token in string.gmatch(e.fl, '(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local holder = name and call('HGET', BASE .. 't:' .. name, 'h')
    local text = 'M\n' .. token .. '\n' .. ARGV[13] .. '\n' .. ARGV[14]
    if holder == ME then reply[#reply + 1] = text elseif holder then tell(holder, text) end
  end
end
if #e.fl < 17 * tonumber(ARGV[10]) and call('LLEN', BASE .. 'q:' .. endpoint) > 0 then
  local next_turn = on_demand()
  next_turn(endpoint)
end
return answer('OK')
