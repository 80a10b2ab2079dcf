-- Hands tickets to those who are to send them.

-- Is this incarnation dead as far as the caller's view knows? Death is final, so an old view never errs on this side.
local function dead(member)
  local id, incarnation = member:match('^(.*)#(%d+)$')
  local _, at = ARGV[6]:find('|' .. id .. ' ', 1, true)
  if not at then return false end
  local current, state = ARGV[6]:match('^(%d+) (%a)', at + 1)
  return tonumber(current) > tonumber(incarnation) or (current == incarnation and state == 'd')
end

-- What the holder of an exchange is told, the first time and again.
local function exchange_text(token, mid, e, class, state, deadline, request)
  return 'D\n' .. token .. '\n' .. mid .. '\n' .. e[1] .. '\n' .. e[2] .. '\n' .. e[3] .. '\n' .. e[4] .. '\n'
    .. class .. '\n' .. state .. '\n' .. math.max(deadline - NOW, 0) .. '\n' .. request
end

-- What a dispatch needs of the endpoint; the last is its registration's id.
local function load_target(key)
  return call('HMGET', key, 'a', 'po', 'vn', 'rn', 'ow', 'ot', 'mi', 'fl', 'id')
end

-- Hands a ticket to the instance that is to send it: the owner, or the caller where the owner is dead or deaf. A ticket
-- that has an exchange (message ID, token) goes on with it, else one begins. What the caller itself has to send is added
-- to the reply. `e` is the endpoint's target; what follows are more fields of the ticket, not stored yet.
local function dispatch(name, key, t, e, ...)
  local owner, tag, token, mid, first = e[5], e[6], t.token, t.mid, t.first
  if owner ~= ME and dead(owner) then
    claim(key)
    owner, tag = ME, ARGV[5]
  end
  if not token then
    -- One that no open ticket of the partition has: partition, tag of the holder's incarnation, 4 random bytes.
    local random = tonumber(ARGV[8])
    repeat
      token = ARGV[7] .. tag .. ('%04x%04x'):format(random / 65536, random % 65536)
      random = (random + 2654435761) % 4294967296
    until call('HSETNX', BASE .. 'o', token, name) == 1
    -- Message IDs count, modulo 65536, but are never behind the broker's clock, at 5 ms each: so a broker that lost its last
    -- moments, and the count with them, does not give again what devices remember, and all of them last for longer than
    -- EXCHANGE_LIFETIME. Partitions are at different ones.
    local count = math.max((e[7] or 0) + 1, math.floor(NOW / 5) + tonumber(ARGV[7], 16) * 256)
    mid, first = count % 65536, NOW
    call('HSET', key, 'mi', count, 'fl', (e[8] or '') .. token .. ',')
  end
  if owner ~= ME and tell(owner, exchange_text(token, mid, e, t.class, 'd', t.deadline, t.request)) == 0 then
    claim(key)
    owner = ME
  end
  local state = 'd'
  if owner == ME then
    -- The caller sends as soon as it has read the reply, so what may be sent only once counts as sent now.
    if t.class == 'n' then state = 's' end
    reply[#reply + 1] = exchange_text(token, mid, e, t.class, state, t.deadline, t.request)
  end
  call('HSET', BASE .. 't:' .. name, 'st', state, 'h', owner, 'rd', NOW, 'tk', token, 'mi', mid, 'f', first, ...)
end
