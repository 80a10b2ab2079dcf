-- peek: what the open ticket of a token asked for, with which message ID and of which address, for an instance that got its
-- answer as a stray.
local refusal = speak(c)
if refusal then return refusal end
local name = name_of(c, token)
local t = name and load_ticket(c, name, Ticket.REQUEST)
local source = t and call('HGET', c.base .. Key.ENDPOINT .. endpoint_of(name), Endpoint.SOURCE)
if not source then return {'GONE', 0, c.now} end
return {'OK', 0, c.now, t.request, t.mid, source}
