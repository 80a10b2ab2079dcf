-- What only the steward of a partition may do begins with this: ARGV[11] is the term it believes in.
if steward ~= ME or term ~= ARGV[11] then return {'TERM', 0, NOW} end
