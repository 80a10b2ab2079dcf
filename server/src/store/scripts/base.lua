-- What every script of a partition begins with: who speaks, and whether it still may.
-- KEYS[1] is the partition's `m` hash; all other keys are built from it and carry the same hash tag.
-- ARGV[1..10]: member, lease end (ms), generation, channel prefix, tag, view, partition (hex), nonce, retention (ms),
-- NSTART. A script's own arguments begin at ARGV[11].
--
-- Lua makes every function anew in every run, and a variable that functions share costs as much again. So a script is
-- written as one sequence where that can be read, and what is needed seldom stands in `on_demand`.
local call = redis.call
local BASE, ME, PREFIX = KEYS[1]:sub(1, -2), ARGV[1], ARGV[4]
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A speaker whose lease is over in the broker's own time has nothing more to say.
if NOW > tonumber(ARGV[2]) then return {'LEASE', 0, NOW} end
