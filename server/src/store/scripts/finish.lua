-- finish: the outcome of an exchange. ARGV[11..]: token, body, proof (1: the caller has the device's own response, so
-- it need not be the holder).
local name = call('HGET', BASE .. 'o', ARGV[11])
local t = name and load_ticket(name)
if not t or (ARGV[13] ~= '1' and t.holder ~= ME) then return answer('GONE') end
step()
if t.holder == ME then t.holder = false end
finish_ticket(name, t, ARGV[12])
if call('LLEN', BASE .. 'q:' .. endpoint_of(name)) > 0 then
  local next_turn = on_demand()
  next_turn(endpoint_of(name))
end
return answer('OK')
