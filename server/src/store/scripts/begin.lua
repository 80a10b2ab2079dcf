-- begin (holder): right before the first datagram of what may be sent only once.
local refusal = speak(c)
if refusal then return refusal end
local name = name_of(c, token)
local t = name and load_ticket(c, name)
if not t or t.holder ~= c.me or t.token ~= token then return count(c, 'GONE') end
count(c)
call('HSET', c.base .. Key.TICKET .. name, Ticket.STATE, State.SENT)
return c.reply
