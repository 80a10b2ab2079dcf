-- Hands tickets to those who are to send them.

-- Is this incarnation dead as far as the caller's view knows? Death is final, so an old view never errs on this side.
local function dead(member)
  local id, incarnation = string.match(member, '^(.*)#(%d+)$')
  local _, at = string.find(ARGV[6], '|' .. id .. ' ', 1, true)
  if not at then return false end
  local current, state = string.match(ARGV[6], '^(%d+) (%a)', at + 1)
  return tonumber(current) > tonumber(incarnation) or (current == incarnation and state == 'd')
end

-- A token that no open ticket of the partition has: partition, tag of the holder's incarnation, 4 random bytes.
local drawn = 0
local function draw_token(tag, name)
  while true do
    local random = (tonumber(ARGV[8]) + drawn * 2654435761) % 4294967296
    drawn = drawn + 1
    local token = ARGV[7] .. tag .. string.format('%04x%04x', math.floor(random / 65536), random % 65536)
    if call('HSETNX', BASE .. 'o', token, name) == 1 then return token end
  end
end

-- EXCHANGE_LIFETIME (RFC 7252, 4.8.2): as long as a device may remember a message ID.
local EXCHANGE_LIFETIME = 247000

-- The message ID of an endpoint's next exchange, not yet modulo 65536. They count, but are never behind the broker's
-- clock, at 5 ms each: so a broker that lost its last moments, and the count with them, does not give again what devices
-- remember, and all of them last for longer than EXCHANGE_LIFETIME. Partitions are at different ones.
local function next_message_id(last)
  return math.max((last or 0) + 1, math.floor(NOW / 5) + tonumber(ARGV[7], 16) * 256)
end

-- What the holder of an exchange is told, the first time and again.
local function exchange_text(t, e, state)
  return 'D\n' .. t.token .. '\n' .. t.mid .. '\n' .. e[1] .. '\n' .. e[2] .. '\n' .. e[3] .. '\n' .. e[4] .. '\n'
    .. t.class .. '\n' .. state .. '\n' .. math.max(t.deadline - NOW, 0) .. '\n' .. t.request
end

-- Tells a living holder once more: it ignores what it knows, and begins what it missed.
local function tell_again(name, t)
  local e = call('HMGET', BASE .. 'e:' .. endpoint_of(name), 'a', 'po', 'vn', 'rn')
  local text = exchange_text(t, e, t.state)
  call('HSET', BASE .. 't:' .. name, 'rd', NOW)
  if t.holder == ME then reply[#reply + 1] = text else tell(t.holder, text) end
end

-- What a dispatch needs of the endpoint; the last is its registration's id.
local function load_target(key)
  return call('HMGET', key, 'a', 'po', 'vn', 'rn', 'ow', 'ot', 'mi', 'fl', 'id')
end

-- Hands an open ticket to the instance that is to send it: the owner, or the caller where the owner is dead or deaf.
-- The same exchange (message ID, token) goes on while the device may remember it; after that a fresh one begins.
-- What the caller itself has to send is added to the reply. `e` is the target if the caller has loaded it; what follows
-- are more fields of the ticket, not stored yet.
local function dispatch(name, t, e, ...)
  local key = BASE .. 'e:' .. endpoint_of(name)
  e = e or load_target(key)
  local owner, tag, slots = e[5], e[6], e[8] or ''
  if owner ~= ME and dead(owner) then
    claim(key)
    owner, tag = ME, TAG
  end
  if t.token and NOW - t.first > EXCHANGE_LIFETIME then
    call('HDEL', BASE .. 'o', t.token)
    free_slot(key, t.token)
    slots = slots_of(key)
    t.token = false
  end
  if not t.token then
    t.token = draw_token(tag, name)
    local count = next_message_id(e[7])
    t.mid = count % 65536
    t.first = NOW
    call('HSET', key, 'mi', count, 'fl', slots .. t.token .. ',')
  end
  if owner ~= ME and tell(owner, exchange_text(t, e, 'd')) == 0 then
    claim(key)
    owner = ME
  end
  local state = 'd'
  if owner == ME then
    -- The caller sends as soon as it has read the reply, so what may be sent only once counts as sent now.
    if t.class == 'n' then state = 's' end
    reply[#reply + 1] = exchange_text(t, e, state)
  end
  t.state, t.holder = state, owner
  call('HSET', BASE .. 't:' .. name, 'st', state, 'h', owner, 'rd', NOW, 'tk', t.token, 'mi', t.mid, 'f', t.first,
    ...)
end

-- Gives free slots to those who wait. Called after each end, each Update, each new ticket.
local function next_turn(endpoint)
  local key, queue = BASE .. 'e:' .. endpoint, BASE .. 'q:' .. endpoint
  while #slots_of(key) < 17 * tonumber(ARGV[10]) do
    local name = call('LPOP', queue)
    if not name then return end
    local t = load_ticket(name)
    if t and t.state == 'q' then dispatch(name, t) end
  end
end
