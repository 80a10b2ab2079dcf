-- The members of the cluster. `c.key` is the cluster's hash; `s` has the ids, `i:ID` a member. The caller is `c.id`, in its
-- incarnation `c.incarnation`; `c.lease` (ms) is how long leases are.

local function read_clock(c)
  local clock = call('TIME')
  c.now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function view_text(c)
  local ids = call('SMEMBERS', c.base .. Key.IDS)
  table.sort(ids)
  local text = Order.VIEW .. '\n' .. (call('HGET', c.key, Cluster.VIEW) or '0') .. '\n'
  for _, id in ipairs(ids) do
    local f = call('HMGET', c.base .. Key.MEMBER .. id, Member.INCARNATION, Member.TAG, Member.STATE, Member.READY)
    text = text .. id .. ' ' .. f[1] .. ' ' .. f[2] .. ' ' .. f[3] .. ' ' .. f[4] .. '\n'
  end
  return text
end

-- Versions grow with the clock, so that a broker that lost the last ones does not count up to them again.
local function new_view(c)
  local version = math.max((call('HGET', c.key, Cluster.VIEW) or 0) + 1, c.now)
  call('HSET', c.key, Cluster.VIEW, ('%.0f'):format(version))
  call('PUBLISH', c.prefix .. Channel.MEMBERS, view_text(c))
end

-- The member that speaks, if it still may: this incarnation, alive, its lease not over.
local function speaker(c)
  read_clock(c)
  local f = call('HMGET', c.base .. Key.MEMBER .. c.id, Member.INCARNATION, Member.STATE, Member.LEASE, Member.SINCE,
    Member.HEARD, Member.READY)
  if not f[1] then return nil, 'UNKNOWN' end
  if f[1] ~= c.incarnation or f[2] ~= Member.ALIVE then return nil, 'DEAD' end
  if c.now > tonumber(f[3]) then return nil, 'LEASE' end
  return {lease = tonumber(f[3]), since = tonumber(f[4]), heard = tonumber(f[5]), ready = f[6]}
end

-- True if another id has a lease that is not over.
local function somebody_lives(c)
  for _, id in ipairs(call('SMEMBERS', c.base .. Key.IDS)) do
    local f = call('HMGET', c.base .. Key.MEMBER .. id, Member.STATE, Member.LEASE)
    if id ~= c.id and f[1] == Member.ALIVE and tonumber(f[2]) >= c.now then return true end
  end
  return false
end

-- If the broker's clock was set back since a member last renewed (`renewed`), the times from which members count go back
-- with it: who has renewed or listened for long enough has done so still. Answers by how much.
local function follow_clock(c, renewed)
  local back = tonumber(renewed or c.now) - c.now
  if back <= 0 then return 0 end
  for _, id in ipairs(call('SMEMBERS', c.base .. Key.IDS)) do
    local member = c.base .. Key.MEMBER .. id
    local f = call('HMGET', member, Member.SINCE, Member.HEARD)
    if f[1] then call('HSET', member, Member.SINCE, f[1] - back) end
    if f[2] and f[2] ~= '0' then call('HSET', member, Member.HEARD, f[2] - back) end
  end
  return back
end

-- Until when no registration expires (`keep`). While no member renewed (`renewed`: when one did last) nobody may have been
-- there to hear the devices, or the broker's clock was set forward and registrations look older than they are: devices
-- get as long again, and a little more. Shorter jumps of the clock are reported by those who notice (`reported`, ms).
local function suspend_expiry(c, renewed, keep, reported)
  local silence = c.now - tonumber(renewed or c.now)
  local left = tonumber(keep or c.now) - c.now
  if silence > c.lease then left = math.max(left + silence, Time.GRACE) + silence end
  left = math.min(math.max(left, reported), Time.LONGEST_SUSPENSION)
  call('HSET', c.key, Cluster.RENEWED, c.now, Cluster.KEEP, c.now + left)
  return left
end
