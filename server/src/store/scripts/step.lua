-- A generation younger than the caller's: the caller speaks for an era that is over.
if generation and generation ~= ARGV[3] and tonumber(generation) > tonumber(ARGV[3]) then return {'GENERATION', 0, NOW, generation} end

local reply = {'OK', 0, NOW}

-- Counts the script: called right before its first write, or with another status than OK if that is all it has to say.
local function step(status)
  if generation ~= ARGV[3] then
    call('HSET', KEYS[1], 'gen', ARGV[3])
    call('HDEL', KEYS[1], 'vw')
  end
  reply[2] = call('HINCRBY', KEYS[1], 'seq', 1)
  if status then reply[1] = status end
  return reply
end
