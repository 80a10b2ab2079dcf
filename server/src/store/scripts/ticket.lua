-- Tickets: the journal of a partition. `t:NAME` is an open one, `u:NAME` the outcome of an ended one, `d` has the
-- deadlines of all open ones, `o` leads from token to name, `q:EP` holds the names that wait for their turn.
-- NAME is the length of the endpoint, a colon, the endpoint, a colon, the ticket.

local function endpoint_of(name)
  local length, rest = string.match(name, '^(%d+):(.*)$')
  return string.sub(rest, 1, tonumber(length))
end

local function say(channel, head, body)
  if channel == '' then channel = PREFIX .. 'LESHAN_RESP' end
  redis.call('PUBLISH', channel, '{' .. head .. body .. ',"by":"' .. ME .. '"}')
end

local function error_body(code, message, sent)
  return ',"err":{"errorMessage":"' .. message .. '","code":"' .. code .. '","sent":' .. sent .. '}'
end

local function load_ticket(name)
  local f = redis.call('HMGET', BASE .. 't:' .. name, 'st', 'hd', 'rt', 'rq', 'cl', 'dl', 'h', 'tk', 'mi', 'f', 'rd')
  if not f[1] then return nil end
  return {state = f[1], head = f[2], channel = f[3], request = f[4], class = f[5], deadline = tonumber(f[6]),
    holder = f[7], token = f[8], mid = f[9], first = tonumber(f[10] or 0), told = tonumber(f[11] or 0)}
end

-- The exchanges of an endpoint that hold a slot (NSTART), as a list of tokens of 16 characters with a comma each.
local function slots_of(key)
  return redis.call('HGET', key, 'fl') or ''
end

local function free_slot(key, token)
  local slots = slots_of(key)
  local from, to = string.find(slots, token .. ',', 1, true)
  if from then redis.call('HSET', key, 'fl', string.sub(slots, 1, from - 1) .. string.sub(slots, to + 1)) end
end

local function claim(key)
  redis.call('HSET', key, 'ow', ME, 'ot', TAG, 'oe', redis.call('HINCRBY', KEYS[1], 'ec', 1))
end

-- A token that no open ticket of the partition has: partition, tag of the holder's incarnation, 4 random bytes.
local drawn = 0
local function draw_token(tag, name)
  while true do
    local random = (tonumber(ARGV[8]) + drawn * 2654435761) % 4294967296
    drawn = drawn + 1
    local token = ARGV[7] .. tag .. string.format('%04x%04x', math.floor(random / 65536), random % 65536)
    if redis.call('HSETNX', BASE .. 'o', token, name) == 1 then return token end
  end
end

-- EXCHANGE_LIFETIME (RFC 7252, 4.8.2): as long as a device may remember a message ID.
local EXCHANGE_LIFETIME = 247000

-- What the holder of an exchange is told, the first time and again.
local function exchange_text(t, e, state)
  return 'D\n' .. t.token .. '\n' .. t.mid .. '\n' .. e[1] .. '\n' .. e[2] .. '\n' .. e[3] .. '\n' .. e[4] .. '\n'
    .. t.class .. '\n' .. state .. '\n' .. math.max(t.deadline - NOW, 0) .. '\n' .. t.request
end

-- Tells a living holder once more: it ignores what it knows, and begins what it missed.
local function tell_again(name, t)
  local e = redis.call('HMGET', BASE .. 'e:' .. endpoint_of(name), 'a', 'po', 'vn', 'rn')
  local text = exchange_text(t, e, t.state)
  redis.call('HSET', BASE .. 't:' .. name, 'rd', NOW)
  if t.holder == ME then reply[#reply + 1] = text else tell(t.holder, text) end
end

-- Hands an open ticket to the instance that is to send it: the owner, or the caller where the owner is dead or deaf.
-- The same exchange (message ID, token) goes on while the device may remember it; after that a fresh one begins.
-- What the caller itself has to send is added to the reply.
local function dispatch(name, t)
  local endpoint = endpoint_of(name)
  local key = BASE .. 'e:' .. endpoint
  local e = redis.call('HMGET', key, 'a', 'po', 'vn', 'rn', 'ow', 'ot')
  local owner, tag = e[5], e[6]
  if owner ~= ME and dead(owner) then
    claim(key)
    owner, tag = ME, TAG
  end
  local ticket_key = BASE .. 't:' .. name
  if t.token and NOW - t.first > EXCHANGE_LIFETIME then
    redis.call('HDEL', BASE .. 'o', t.token)
    free_slot(key, t.token)
    t.token = false
  end
  if not t.token then
    t.token = draw_token(tag, name)
    t.mid = redis.call('HINCRBY', key, 'mi', 1) % 65536
    t.first = NOW
    redis.call('HSET', key, 'fl', slots_of(key) .. t.token .. ',')
    redis.call('HSET', ticket_key, 'tk', t.token, 'mi', t.mid, 'f', NOW)
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
  redis.call('HSET', ticket_key, 'st', state, 'h', owner, 'rd', NOW)
end

-- Gives free slots to those who wait. Called after each end, each Update, each new ticket.
local function next_turn(endpoint)
  local key, queue = BASE .. 'e:' .. endpoint, BASE .. 'q:' .. endpoint
  while #slots_of(key) < 17 * tonumber(ARGV[10]) do
    local name = redis.call('LPOP', queue)
    if not name then return end
    local t = load_ticket(name)
    if t and t.state == 'q' then dispatch(name, t) end
  end
end

-- Ends a ticket: its one terminal, and the memory of it.
local function finish_ticket(name, t, body)
  local endpoint = endpoint_of(name)
  redis.call('DEL', BASE .. 't:' .. name)
  redis.call('ZREM', BASE .. 'd', name)
  if t.token then
    redis.call('HDEL', BASE .. 'o', t.token)
    free_slot(BASE .. 'e:' .. endpoint, t.token)
    if t.holder and t.holder ~= ME then tell(t.holder, 'S\n' .. t.token) end
    if t.holder == ME then reply[#reply + 1] = 'S\n' .. t.token end
  else
    redis.call('LREM', BASE .. 'q:' .. endpoint, 1, name)
  end
  redis.call('SET', BASE .. 'u:' .. name, body, 'PX', ARGV[9])
  redis.call('RPUSH', BASE .. 'z', name)
  say(t.channel, t.head, body)
end

local function unsent(t)
  return t.state == 'q' or (t.state == 'd' and t.class == 'n')
end

-- Ends what an endpoint had when its registration ends.
local function end_all(endpoint, queued_message)
  local key = BASE .. 'e:' .. endpoint
  for token in string.gmatch(slots_of(key), '(%x+),') do
    local name = redis.call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t and t.class == 'n' and t.state == 's' then
      finish_ticket(name, t, error_body('OUTCOME_UNKNOWN', 'the registration ended while the request was with the device', 'true'))
    elseif t then
      finish_ticket(name, t, error_body('GONE', queued_message, unsent(t) and 'false' or 'true'))
    end
  end
  while true do
    local name = redis.call('LPOP', BASE .. 'q:' .. endpoint)
    if not name then return end
    local t = load_ticket(name)
    if t then finish_ticket(name, t, error_body('GONE', queued_message, 'false')) end
  end
end
