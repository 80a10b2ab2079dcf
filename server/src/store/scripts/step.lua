-- A generation younger than the caller's: the caller speaks for an era that is over.
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
