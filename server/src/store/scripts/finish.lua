-- finish: the outcome of an exchange. ARGV[11..]: token, body, proof (1: the caller has the device's own response, so
-- it need not be the holder).
local name = call('HGET', BASE .. 'o', ARGV[11])
if not name then return step('GONE') end
local head, channel, holder, token = unpack(call('HMGET', BASE .. 't:' .. name, 'hd', 'rt', 'h', 'tk'))
if not head or (ARGV[13] ~= '1' and holder ~= ME) then return step('GONE') end
step()
local endpoint = endpoint_of(name)
-- The caller knows that it is over.
finish_ticket(name, endpoint, {head = head, channel = channel, holder = holder ~= ME and holder, token = token}, ARGV[12])
if call('LLEN', BASE .. 'q:' .. endpoint) > 0 then on_demand().next_turn(endpoint) end
return reply
