-- Tickets: the journal of a partition. `t:NAME` is an open one, `u:NAME` the outcome of an ended one, `d` has the
-- deadlines of all open ones, `o` leads from token to name, `q:EP` holds the names that wait for their turn.
-- NAME is the length of the endpoint, a colon, the endpoint, a colon, the ticket.

local function endpoint_of(name)
  local length, rest = name:match('^(%d+):(.*)$')
  return rest:sub(1, tonumber(length))
end

local function load_ticket(name)
  local f = call('HMGET', BASE .. 't:' .. name, 'st', 'hd', 'rt', 'rq', 'cl', 'dl', 'h', 'tk', 'mi', 'f', 'rd')
  if not f[1] then return nil end
  return {state = f[1], head = f[2], channel = f[3], request = f[4], class = f[5], deadline = f[6],
    holder = f[7], token = f[8], mid = f[9], first = f[10] or 0, told = f[11] or 0}
end
