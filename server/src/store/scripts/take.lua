-- take: makes the caller the steward of the partition. ARGV[11]: the version of the view that says so.
local m = call('HMGET', KEYS[1], 'st', 'term', 'vw')
-- Views are counted anew in each generation: one of an earlier era compares with nothing.
local comparable = generation == ARGV[3]
if comparable and m[3] and tonumber(m[3]) > tonumber(ARGV[11]) then return {'VIEW', 0, NOW} end
step()
local term = m[2]
if not comparable or m[1] ~= ME or m[3] ~= ARGV[11] then
  term = call('HINCRBY', KEYS[1], 'term', 1)
  call('HSET', KEYS[1], 'st', ME, 'vw', ARGV[11])
end
-- The mark divides the requests that the caller reads: before it are those that the former steward may have accepted.
tell(ME, 'T\n' .. ARGV[7] .. '\n' .. term)
table.insert(reply, 4, tostring(term))
return reply
