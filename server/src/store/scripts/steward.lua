-- What only the steward of a partition may do begins with this: ARGV[11] is the term it believes in.
local stewardship = call('HMGET', KEYS[1], 'st', 'term')
if stewardship[1] ~= ME or stewardship[2] ~= ARGV[11] then return {'TERM', 0, NOW} end
