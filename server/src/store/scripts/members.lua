-- What every script about the members of the cluster begins with. KEYS[1] is the cluster's hash (`c`), other keys are
-- built from it: `s` the ids, `i:ID` a member. ARGV[1..5]: id, incarnation, channel prefix, lease (ms), what differs.
local call = redis.call
local BASE, ID, PREFIX, LEASE = KEYS[1]:sub(1, -2), ARGV[1], ARGV[3], tonumber(ARGV[4])
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function view_text()
  local ids = call('SMEMBERS', BASE .. 's')
  table.sort(ids)
  local text = 'V\n' .. (call('HGET', KEYS[1], 'view') or '0') .. '\n'
  for _, id in ipairs(ids) do
    local f = call('HMGET', BASE .. 'i:' .. id, 'inc', 'tag', 'state', 'ready')
    text = text .. id .. ' ' .. f[1] .. ' ' .. f[2] .. ' ' .. f[3] .. ' ' .. f[4] .. '\n'
  end
  return text
end

-- Versions grow with the clock, so that a broker that lost the last ones does not count up to them again.
local function new_view()
  local version = math.max((call('HGET', KEYS[1], 'view') or 0) + 1, NOW)
  call('HSET', KEYS[1], 'view', string.format('%.0f', version))
  call('PUBLISH', PREFIX .. 'lwm2m:members', view_text())
end

-- The member that speaks, if it still may: this incarnation, alive, its lease not over.
local function speaker()
  local f = call('HMGET', BASE .. 'i:' .. ID, 'inc', 'state', 'lease', 'since', 'heard', 'ready')
  if not f[1] then return nil, 'UNKNOWN' end
  if f[1] ~= ARGV[2] or f[2] ~= 'a' then return nil, 'DEAD' end
  if NOW > tonumber(f[3]) then return nil, 'LEASE' end
  return {lease = tonumber(f[3]), since = tonumber(f[4]), heard = tonumber(f[5]), ready = f[6]}
end
