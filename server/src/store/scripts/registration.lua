-- Registrations: `e:EP` with its dynamic fields, `r` leads from registration id to endpoint, `x` has the expiry times.

local function load_registration(endpoint)
  local f = redis.call('HMGET', BASE .. 'e:' .. endpoint, 'id', 'rd', 'a', 'po', 'ra', 'rp', 'lt', 'sms', 'ver', 'bn',
    'epj', 'ol', 'at', 'rt', 'lu', 'rev')
  if not f[1] then return nil end
  return {id = f[1], rd = f[2], a = f[3], po = f[4], ra = f[5], rp = f[6], lt = f[7], sms = f[8], ver = f[9],
    bn = f[10], epj = f[11], ol = f[12], at = f[13], rt = f[14], lu = f[15], rev = f[16]}
end

-- The JSON of a registration, put together from the parts that were stored as JSON already.
local function registration_json(e, reason)
  return '{"regDate":' .. e.rd .. ',"address":"' .. e.a .. '","port":' .. e.po .. ',"regAddr":"' .. e.ra
    .. '","regPort":' .. e.rp .. ',"lt":' .. e.lt .. (e.sms and (',"sms":' .. e.sms) or '') .. ',"ver":' .. e.ver
    .. ',"bnd":' .. e.bn .. ',"ep":' .. e.epj .. ',"regId":"' .. e.id .. '","objLink":' .. e.ol .. ',"addAttr":'
    .. e.at .. ',"root":' .. e.rt .. ',"lastUp":' .. e.lu .. ',"rev":' .. e.rev .. (reason or '') .. '}'
end

-- The lifetime of an endpoint begins anew. If it ends before all others of the partition, the steward has to know: it
-- looks again only when the earliest that it knows is over.
local function begin_lifetime(endpoint, seconds, may_be_earliest)
  redis.call('ZADD', BASE .. 'x', NOW + seconds * 1000, endpoint)
  if may_be_earliest and redis.call('ZRANGE', BASE .. 'x', 0, 0)[1] == endpoint then
    local steward = redis.call('HGET', KEYS[1], 'st')
    local text = 'X\n' .. ARGV[7] .. '\n' .. string.format('%.0f', seconds * 1000)
    if steward == ME then reply[#reply + 1] = text elseif steward then tell(steward, text) end
  end
end

local function announce(channel, text)
  redis.call('PUBLISH', PREFIX .. channel, text)
end

-- Uplinks already served: `KIND MID@SOURCE=SECONDS=ANSWER;` entries, newest first. A copy that comes within
-- EXCHANGE_LIFETIME, to whichever instance, gets the stored answer (RFC 7252, 4.5).
local function served_before(list, uplink)
  local _, at = string.find(list or '', uplink .. '=', 1, true)
  if not at then return nil end
  local seconds, stored = string.match(list, '^(%d+)=([^;]*);', at + 1)
  if NOW / 1000 - tonumber(seconds) > 247 then return nil end
  return stored
end

local function remember(list, uplink, stored, keep)
  local text = uplink .. '=' .. math.floor(NOW / 1000) .. '=' .. stored .. ';'
  local position = 0
  list = list or ''
  for _ = 1, keep - 1 do
    position = string.find(list, ';', position + 1, true)
    if not position then return text .. list end
  end
  return text .. string.sub(list, 1, position)
end

-- Takes a registration away and leaves a tombstone, which keeps counting (rev, message ID) while anybody may remember.
local function bury_registration(endpoint, e, reason, uplinks)
  local key = BASE .. 'e:' .. endpoint
  end_all(endpoint, 'the registration of the device ended (' .. reason .. ') while the request waited')
  e.rev = redis.call('HINCRBY', key, 'rev', 1)
  announce('LESHAN_REG_DEL', registration_json(e, ',"reason":"' .. reason .. '"'))
  redis.call('HDEL', BASE .. 'r', e.id)
  redis.call('ZREM', BASE .. 'x', endpoint)
  local kept = redis.call('HMGET', key, 'mi', 'dr')
  redis.call('DEL', key)
  redis.call('HSET', key, 'rev', e.rev, 'mi', kept[1], 'dr', kept[2], 'du', uplinks or '')
  redis.call('PEXPIRE', key, 247000)
  redis.call('SET', BASE .. 'g:' .. e.id, endpoint, 'PX', 247000)
end
