-- How a script begins, counts itself, and is heard by others.
--
-- `c` is the context of one run: `c.key` (the one key that was given), `c.base` (what all keys of the partition begin with),
-- `c.prefix`, `c.partition`, what the caller says of itself (`c.me`, `c.lease_until`, `c.generation`, `c.tag`,
-- `c.retention`, `c.nstart`), and from `speak` on `c.now` (ms), `c.seconds`, `c.milliseconds` and `c.reply`.

-- Whether the caller may speak: a refusal, or nil and what else was asked of the partition's hash. A speaker whose lease is
-- over in the broker's own time has nothing more to say; nor has one of a generation that is over.
local function speak(c, ...)
  local clock = call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  c.now, c.seconds, c.milliseconds = now, clock[1], clock[2] / 1000
  if now > tonumber(c.lease_until) then return {'LEASE', 0, now} end
  local found = call('HMGET', c.key, Partition.GENERATION, Partition.SEQUENCE, ...)
  local stored = found[1]
  if stored and stored ~= c.generation and tonumber(stored) > tonumber(c.generation) then
    return {'GENERATION', 0, now, stored}
  end
  c.same_era, c.sequence, c.reply = stored == c.generation, found[2] or 0, {'OK', 0, now}
  return nil, unpack(found, 3)
end

-- The same for what only the steward of the partition may do, in the term that it believes in.
local function speak_as_steward(c, term)
  local refusal, steward, current = speak(c, Partition.STEWARD, Partition.TERM)
  if not refusal and (steward ~= c.me or current ~= term) then return {'TERM', 0, c.now} end
  return refusal
end

-- Counts the script: called right before its first write, or with another status than OK if that is all it has to say.
-- What else is to be written into the partition's hash may follow.
local function count(c, status, ...)
  local reply = c.reply
  reply[2] = c.sequence + 1
  if status then reply[1] = status end
  if c.same_era then
    call('HSET', c.key, Partition.SEQUENCE, reply[2], ...)
  else
    call('HSET', c.key, Partition.SEQUENCE, reply[2], Partition.GENERATION, c.generation, ...)
    call('HDEL', c.key, Partition.VIEW)
  end
  return reply
end

-- The same for a script that finds out on its way whether it has something to write.
local function count_once(c)
  if c.reply[2] == 0 then count(c) end
end

-- The time as text. Put together: to make a text of so long a number takes Lua longer.
local function time_text(c)
  return c.seconds .. ('%03d'):format(c.milliseconds)
end

-- What members tell each other, each on a channel of its own. Answers how many heard it.
local function tell(c, member, text)
  return call('PUBLISH', c.prefix .. Channel.MEMBER .. member, text)
end

-- An order to a member; the caller itself reads it in its reply.
local function order(c, member, text)
  if member == c.me then c.reply[#c.reply + 1] = text else tell(c, member, text) end
end

-- What a back end hears of its ticket.
local function say(c, channel, head, body)
  if channel == '' then channel = c.prefix .. Channel.RESPONSES end
  call('PUBLISH', channel, answer_text(c, head, body))
end
