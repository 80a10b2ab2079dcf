-- The exchanges of an endpoint that hold a slot (NSTART), as a list of tokens of 16 characters with a comma each.
local function slots_of(key)
  return call('HGET', key, 'fl') or ''
end

local function free_slot(key, token)
  local slots = slots_of(key)
  local from, to = slots:find(token .. ',', 1, true)
  if from then call('HSET', key, 'fl', slots:sub(1, from - 1) .. slots:sub(to + 1)) end
end
