-- take: makes the caller the steward of the partition, by the view of this version.
local refusal, steward, term, seen = speak(c, Partition.STEWARD, Partition.TERM, Partition.VIEW)
if refusal then return refusal end
-- Views are counted anew in each generation: one of an earlier era compares with nothing.
if c.same_era and seen and tonumber(seen) > tonumber(version) then return {'VIEW', 0, c.now} end
local known = c.same_era and steward == c.me and seen == version
count(c)
if not known then
  term = ('%.0f'):format((term or 0) + 1)
  call('HSET', c.key, Partition.STEWARD, c.me, Partition.TERM, term, Partition.VIEW, version)
end
-- The mark divides the requests that the caller reads: before it are those that the former steward may have accepted.
tell(c, c.me, Order.MARK .. '\n' .. c.partition .. '\n' .. term)
table.insert(c.reply, 4, term)
return c.reply
