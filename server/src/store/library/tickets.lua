-- Tickets: the journal of a partition. `t:NAME` is a hash while the ticket is open, and afterwards the text of its outcome,
-- until that is forgotten. `d` has the names: first the open ones by their deadlines, then, behind Time.ENDED, the ended
-- ones by the time of their oblivion. `o` leads from the token of an exchange to its entry (see `entry_text`), `q:EP` holds
-- the names that wait for their turn; how many there are is in `e:EP` too.
-- NAME is the length of the endpoint, a colon, the endpoint, a colon, the ticket.

local function endpoint_of(name)
  local length, rest = name:match('^(%d+):(.*)$')
  return rest:sub(1, tonumber(length))
end

-- An open ticket; nil if it is none, or damaged. The request is read only where it is asked for.
local function load_ticket(c, name, ...)
  local f = attempt('HMGET', c.base .. Key.TICKET .. name, Ticket.STATE, Ticket.HEAD, Ticket.CHANNEL, Ticket.CLASS,
    Ticket.DEADLINE, Ticket.HOLDER, Ticket.TOKEN, Ticket.MESSAGE_ID, Ticket.FIRST, ...)
  if f.err or not (f[1] and f[2] and f[3] and f[4] and f[5]) then return nil end
  return {state = f[1], head = f[2], channel = f[3], class = f[4], deadline = f[5],
    holder = f[6], token = f[7], mid = f[8], first = f[9] or 0, request = f[10]}
end

-- What `o` says of an exchange: who holds it, since when, when that member was told last, and the ticket.
local function entry_text(holder, first, told, name)
  return holder .. ' ' .. first .. ' ' .. told .. ' ' .. name
end

-- Of such an entry: holder, first, told, name.
local function entry_parts(entry)
  return entry:match('^(%S+) (%d+) (%d+) (.*)$')
end

-- The name of the ticket whose exchange has this token; nil if there is none.
local function name_of(c, token)
  local entry = call('HGET', c.base .. Key.EXCHANGES, token)
  return entry and entry:match('^%S+ %d+ %d+ (.*)$')
end

-- True if it is certain that nothing of a ticket left for the device.
local function unsent(t)
  return t.state == State.QUEUED or (t.state == State.DISPATCHED and t.class == Class.ONCE)
end

-- Keeps what was said last of a ticket for so long (ms).
local function remember(c, name, body, milliseconds)
  call('SET', c.base .. Key.TICKET .. name, body, 'PX', milliseconds)
  call('ZADD', c.base .. Key.DEADLINES, c.now + milliseconds + Time.ENDED, name)
end

-- The exchanges of an endpoint that hold a slot (NSTART), as a list of tokens of 16 characters with a comma each.
local function slots_of(c, endpoint)
  return call('HGET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.SLOTS) or ''
end

-- Answers how many wait for a slot of this endpoint.
local function free_slot(c, endpoint, token)
  local key = c.base .. Key.ENDPOINT .. endpoint
  local slots, waiting = unpack(call('HMGET', key, Endpoint.SLOTS, Endpoint.WAITING))
  local from, to = (slots or ''):find(token .. ',', 1, true)
  if from then call('HSET', key, Endpoint.SLOTS, slots:sub(1, from - 1) .. slots:sub(to + 1)) end
  return tonumber(waiting or 0)
end

-- After the queue of an endpoint has changed.
local function count_waiting(c, endpoint)
  call('HSET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.WAITING, call('LLEN', c.base .. Key.QUEUE .. endpoint))
end

-- Ends an open ticket: its one terminal, and the memory of it. Answers how many wait for its slot.
local function end_ticket(c, name, endpoint, t, body)
  local waiting = 0
  if t.token then
    call('HDEL', c.base .. Key.EXCHANGES, t.token)
    waiting = free_slot(c, endpoint, t.token)
    if t.holder then order(c, t.holder, Order.STOP .. '\n' .. t.token) end
  else
    call('LREM', c.base .. Key.QUEUE .. endpoint, 1, name)
    count_waiting(c, endpoint)
  end
  remember(c, name, body, c.retention)
  say(c, t.channel, t.head, body)
  return waiting
end
