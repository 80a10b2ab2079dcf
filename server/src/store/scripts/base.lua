-- What every script of a partition begins with: who speaks, whether it still may, and the partition's counter.
-- KEYS[1] is the partition's `m` hash; all other keys are built from it and carry the same hash tag.
-- ARGV[1..10]: member, lease end (ms), generation, channel prefix, tag, view, partition (hex), nonce, retention (ms),
-- NSTART. A script's own arguments begin at ARGV[11].
local call = redis.call
local BASE, ME, PREFIX, TAG = string.sub(KEYS[1], 1, -2), ARGV[1], ARGV[4], ARGV[5]
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A speaker whose lease is over in the broker's own time has nothing more to say.
if NOW > tonumber(ARGV[2]) then return {'LEASE', 0, NOW} end
-- A generation younger than the caller's: the caller speaks for an era that is over.
local generation = call('HGET', KEYS[1], 'gen')
if generation and generation ~= ARGV[3] and tonumber(generation) > tonumber(ARGV[3]) then return {'GENERATION', 0, NOW, generation} end

local reply = {'OK', 0, NOW}

-- Counts the script; called right before the first write of every way through.
local function step()
  if generation ~= ARGV[3] then
    call('HSET', KEYS[1], 'gen', ARGV[3])
    call('HDEL', KEYS[1], 'vw')
  end
  reply[2] = call('HINCRBY', KEYS[1], 'seq', 1)
end

local function answer(status)
  if reply[2] == 0 then step() end
  reply[1] = status
  return reply
end

local function tell(member, text)
  return call('PUBLISH', PREFIX .. 'lwm2m:i:' .. member, text)
end
