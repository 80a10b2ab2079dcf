-- accept (steward): the step that a request exists from. Journals, acks and dispatches it, or refuses it.
local refusal = speak_as_steward(c, term)
if refusal then return refusal end
c.nonce, c.view = nonce, view
local again = replayed ~= '1'
local key = c.base .. Key.TICKET .. name
-- The text of an outcome, nothing, or an error, because the ticket is open: a hash.
local known = attempt('GET', key)
if type(known) == 'string' then
  if again then say(c, channel, head, again_text(known)) end
  -- A repeat may be replayed as well, by somebody who has nothing else to go by.
  local lasts = again and call('PTTL', key) < tonumber(refusal_memory)
  local reply = count(c, 'KNOWN')
  if lasts then remember(c, name, known, refusal_memory) end
  return reply
end
local open = known and load_ticket(c, name, Ticket.REQUEST)
if open then
  if again then say(c, channel, head, again_text(ack_text())) end
  -- The caller may ask because it lost the reply in which it was told to send: it is told again.
  if open.state ~= State.QUEUED and open.holder == c.me then rarely().tell_again(c, name, open) end
  return count(c, 'OPEN')
end

local e, refused = load_target(c, endpoint), nil
if class == Class.REFUSED then
  refused = body
elseif not e.id then
  refused = refusal_text('UNKNOWN_ENDPOINT', 'no device is registered with the endpoint client name ' .. endpoint_text(head))
elseif e.waiting >= tonumber(queue_limit) then
  refused = refusal_text('OVERLOADED', e.waiting .. ' requests already wait for this device, which is the limit; ask again later')
elseif open_limit then
  local tickets = call('ZCOUNT', c.base .. Key.DEADLINES, '-inf', Time.ENDED)
  if tickets >= tonumber(open_limit) then
    refused = refusal_text('OVERLOADED', tickets .. ' requests are open in this partition, which is the limit; ask again later')
  end
end
local reply = count(c)
if refused then
  remember(c, name, refused, refusal_memory)
  say(c, channel, head, refused)
  reply[1] = 'REFUSED'
  return reply
end
say(c, channel, head, ack_text())
local deadline = ('%.0f'):format(c.now + timeout)
call('ZADD', c.base .. Key.DEADLINES, deadline, name)
-- What is there under this name is no ticket: it was damaged.
if known then call('DEL', key) end
if e.waiting == 0 and #e.slots < Time.TOKEN_AND_COMMA * c.nstart then
  dispatch(c, name, endpoint, {request = body, class = class}, e, Ticket.HEAD, head, Ticket.CHANNEL, channel,
    Ticket.REQUEST, body, Ticket.CLASS, class, Ticket.DEADLINE, deadline)
  -- The caller itself is to send it, and learns that here: nothing can be lost on the way.
  if #reply > 3 then reply[1] = 'OWN' end
else
  call('HSET', key, Ticket.STATE, State.QUEUED, Ticket.HEAD, head, Ticket.CHANNEL, channel, Ticket.REQUEST, body,
    Ticket.CLASS, class, Ticket.DEADLINE, deadline)
  call('RPUSH', c.base .. Key.QUEUE .. endpoint, name)
  call('HSET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.WAITING, e.waiting + 1)
  if #e.slots < Time.TOKEN_AND_COMMA * c.nstart then rarely().next_turn(c, endpoint) end
end
return reply
