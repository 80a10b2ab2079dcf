-- update (the instance that received it): refreshes a registration and makes the receiver its owner.
-- ARGV[11..]: registration id, uplink, the way (JSON), address, port; then, if the device sent any parameter, lifetime
-- and root ('' where it did not), and the number and text of each piece of JSON that is new.
local id, uplink, way = ARGV[11], ARGV[12], ARGV[13]
local endpoint = call('HGET', BASE .. 'r', id)
if not endpoint then return answer('UNKNOWN') end
local key = BASE .. 'e:' .. endpoint
local f = call('HMGET', key, 'id', 'rd', 'wy', 'js', 'rev', 'du', 'ow', 'fl', 'lt')
if not f[1] then return answer('UNKNOWN') end
if served_before(f[6], uplink) then return answer('DUPLICATE') end
step()
local e = {rd = f[2], wy = way, js = f[4], lu = NOW, rev = f[5]}
e.rev = e.rev + 1
call('HSET', key, 'lu', NOW, 'rev', e.rev, 'du', remember(f[6], uplink, ''))
local slots, lifetime, sent = f[8] or '', f[9], ''
if f[3] ~= way then
  local before = slots ~= '' and call('HMGET', key, 'a', 'po')
  call('HSET', key, 'wy', way, 'a', ARGV[14], 'po', ARGV[15])
  if before and (before[1] ~= ARGV[14] or before[2] ~= ARGV[15]) then
    -- Those who wait for an answer learn where the device is now.
    for token in string.gmatch(slots, '(%x+),') do
      local name = call('HGET', BASE .. 'o', token)
      local holder = name and call('HGET', BASE .. 't:' .. name, 'h')
      local text = 'M\n' .. token .. '\n' .. ARGV[14] .. '\n' .. ARGV[15]
      if holder == ME then reply[#reply + 1] = text elseif holder then tell(holder, text) end
    end
  end
end
if ARGV[16] then
  local _, replace_pieces = on_demand()
  local lengths
  e.js, lengths, sent = replace_pieces(f[4], call('HGET', key, 'jl'), 18)
  call('HSET', key, 'js', e.js, 'jl', lengths)
  if ARGV[16] ~= '' then
    lifetime = ARGV[16]
    call('HSET', key, 'lt', lifetime)
  end
  if ARGV[17] ~= '' then call('HSET', key, 'rn', ARGV[17]) end
end
if f[7] ~= ME then claim(key) end
begin_lifetime(endpoint, lifetime, lifetime ~= f[9])
announce('LESHAN_REG_UP', '{"regUpdate":{"regId":"' .. id .. '","address":"' .. ARGV[14] .. '","port":' .. ARGV[15]
  .. sent .. '},"regUpdated":' .. registration_json(e) .. '}')
if #slots < 17 * tonumber(ARGV[10]) and call('LLEN', BASE .. 'q:' .. endpoint) > 0 then
  local next_turn = on_demand()
  next_turn(endpoint)
end
return answer('OK')
