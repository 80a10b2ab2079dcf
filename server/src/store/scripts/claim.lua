-- Ownership: who sends to an endpoint (`ow`), with which tag, counted (`oe`) in the order of the partition's claims.
local function claim(key)
  call('HSET', key, 'ow', ME, 'ot', ARGV[5], 'oe', call('HINCRBY', KEYS[1], 'ec', 1))
end
