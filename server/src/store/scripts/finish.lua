-- finish: the outcome of an exchange. With a proof the caller has the device's own response, so it need not be the holder.
local refusal = speak(c)
if refusal then return refusal end
c.nonce = nonce
local name = name_of(c, token)
local t = name and load_ticket(c, name)
if not t or (proof ~= '1' and t.holder ~= c.me) then return count(c, 'GONE') end
count(c)
-- The caller knows that it is over.
if t.holder == c.me then t.holder = nil end
local endpoint = endpoint_of(name)
if end_ticket(c, name, endpoint, t, body) > 0 then rarely().next_turn(c, endpoint) end
return c.reply
