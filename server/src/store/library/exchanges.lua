-- Exchanges: tickets are handed to those who are to send them.

-- Is this incarnation dead as far as the caller's view (`c.view`) knows? Death is final, so an old view never errs on this
-- side. A caller that brought no view knows of nobody.
local function dead(c, member)
  if not c.view then return false end
  local id, incarnation = member:match('^(.*)#(%d+)$')
  local _, at = c.view:find('|' .. id .. ' ', 1, true)
  if not at then return false end
  local current, state = c.view:match('^(%d+) (%a)', at + 1)
  return tonumber(current) > tonumber(incarnation) or (current == incarnation and state == Member.DEAD)
end

-- Ownership: who sends to an endpoint, and with which tag.
local function claim(c, endpoint)
  call('HSET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.OWNER, c.me, Endpoint.OWNER_TAG, c.tag)
end

-- What a dispatch needs of the endpoint; `id` is missing if nobody has registered.
local function load_target(c, endpoint)
  local f = call('HMGET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.ID, Endpoint.SOURCE, Endpoint.VERSION, Endpoint.ROOT,
    Endpoint.OWNER, Endpoint.OWNER_TAG, Endpoint.MESSAGE_IDS, Endpoint.SLOTS, Endpoint.WAITING)
  return {id = f[1], source = f[2], version = f[3], root = f[4], owner = f[5], tag = f[6], ids = f[7] or 0,
    slots = f[8] or '', waiting = tonumber(f[9] or 0)}
end

-- What the holder of an exchange is told, the first time and again.
local function exchange_text(token, mid, e, class, state, request)
  return Order.DISPATCH .. '\n' .. token .. '\n' .. mid .. '\n' .. e.source .. '\n' .. e.version .. '\n' .. e.root .. '\n'
    .. class .. '\n' .. state .. '\n' .. request
end

-- A token that no open ticket of the partition has: partition, tag of the holder's incarnation, 4 random bytes.
local function new_token(c, tag, name)
  local random, token = tonumber(c.nonce), nil
  repeat
    token = c.partition .. tag .. ('%04x%04x'):format(random / 65536, random % 65536)
    random = (random + 2654435761) % 4294967296
  until call('HSETNX', c.base .. Key.EXCHANGES, token, name) == 1
  return token
end

-- Hands a ticket to the instance that is to send it: the owner, or the caller where the owner is dead or deaf. A ticket
-- that has an exchange (message ID, token) goes on with it, else one begins. What the caller itself has to send is added
-- to the reply. `e` is the endpoint's target; what follows are more fields of the ticket, not stored yet.
local function dispatch(c, name, endpoint, t, e, ...)
  local owner, tag, token, mid, first = e.owner, e.tag, t.token, t.mid, t.first
  if owner ~= c.me and dead(c, owner) then
    claim(c, endpoint)
    owner, tag = c.me, c.tag
  end
  if token then
    call('HSET', c.base .. Key.EXCHANGES, token, entry_text(owner, first, c.now, name))
  else
    first = ('%.0f'):format(c.now)
    token = new_token(c, tag, entry_text(owner, first, first, name))
    -- Message IDs count, modulo 65536, but are never behind the broker's clock, at 5 ms each: so a broker that lost its last
    -- moments, and the count with them, does not give again what devices remember, and all of them last for longer than
    -- EXCHANGE_LIFETIME. Partitions are at different ones.
    local ids = math.max(e.ids + 1, math.floor(c.now / Time.MESSAGE_ID) + tonumber(c.partition, 16) * 256)
    mid = ids % 65536
    e.ids, e.slots = ids, e.slots .. token .. ','
    call('HSET', c.base .. Key.ENDPOINT .. endpoint, Endpoint.MESSAGE_IDS, ids, Endpoint.SLOTS, e.slots)
  end
  if owner ~= c.me and tell(c, owner, exchange_text(token, mid, e, t.class, State.DISPATCHED, t.request)) == 0 then
    claim(c, endpoint)
    owner = c.me
    call('HSET', c.base .. Key.EXCHANGES, token, entry_text(owner, first, c.now, name))
  end
  local state = State.DISPATCHED
  if owner == c.me then
    -- The caller sends as soon as it has read the reply, so what may be sent only once counts as sent now.
    if t.class == Class.ONCE then state = State.SENT end
    c.reply[#c.reply + 1] = exchange_text(token, mid, e, t.class, state, t.request)
  end
  call('HSET', c.base .. Key.TICKET .. name, Ticket.STATE, state, Ticket.HOLDER, owner, Ticket.TOKEN, token,
    Ticket.MESSAGE_ID, mid, Ticket.FIRST, first, ...)
end

-- Tells a living holder once more: it ignores what it knows, and begins what it missed.
local function tell_again(c, name, t)
  local e = load_target(c, endpoint_of(name))
  call('HSET', c.base .. Key.EXCHANGES, t.token, entry_text(t.holder, t.first, c.now, name))
  order(c, t.holder, exchange_text(t.token, t.mid, e, t.class, t.state, t.request))
end

-- Hands a ticket that somebody had to whoever owns the endpoint now. The same exchange goes on while the device may
-- remember it; after that a fresh one begins.
local function dispatch_again(c, name, t)
  local endpoint = endpoint_of(name)
  if t.token and c.now - t.first > Time.EXCHANGE_LIFETIME then
    call('HDEL', c.base .. Key.EXCHANGES, t.token)
    free_slot(c, endpoint, t.token)
    t.token = false
  end
  dispatch(c, name, endpoint, t, load_target(c, endpoint))
end

-- Gives free slots to those who wait. Called after each end, each Update, each new ticket.
local function next_turn(c, endpoint)
  local e, queue = load_target(c, endpoint), c.base .. Key.QUEUE .. endpoint
  local popped = false
  while #e.slots < Time.TOKEN_AND_COMMA * c.nstart do
    local name = call('LPOP', queue)
    if not name then break end
    popped = true
    local t = load_ticket(c, name, Ticket.REQUEST)
    if t and t.state == State.QUEUED then dispatch(c, name, endpoint, t, e) end
  end
  if popped then count_waiting(c, endpoint) end
end

-- What a sweep finds.

-- A deadline that is over: true if a ticket ended.
local function end_overdue(c, name)
  local t = load_ticket(c, name)
  if not t then
    call('ZREM', c.base .. Key.DEADLINES, name)
    return false
  end
  end_ticket(c, name, endpoint_of(name), t,
    error_text('TIMEOUT', 'no outcome within the timeout of the request', unsent(t) and 'false' or 'true'))
  return true
end

-- An exchange whose holder is dead: true if its ticket ended.
local function take_from_dead(c, token, name)
  local t = load_ticket(c, name, Ticket.REQUEST)
  if not t then
    call('HDEL', c.base .. Key.EXCHANGES, token)
  elseif t.class == Class.ONCE and t.state == State.SENT then
    end_ticket(c, name, endpoint_of(name), t, error_text('OUTCOME_UNKNOWN',
      'the instance that may have sent the request died before it heard the answer', 'true'))
    return true
  else
    dispatch_again(c, name, t)
  end
  return false
end

local function tell_holder_again(c, token, name)
  local t = load_ticket(c, name, Ticket.REQUEST)
  if t then tell_again(c, name, t) else call('HDEL', c.base .. Key.EXCHANGES, token) end
end
