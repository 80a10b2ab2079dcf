-- `addAttr` is merged key by key at an Update: what the device does not name stays.

-- So many keys a registration may have in all.
local ATTRIBUTES = 64

-- Where the JSON string ends that begins at `at`.
local function string_end(text, at)
  local from = at + 1
  while true do
    local found = text:find('["\\]', from)
    if text:sub(found, found) == '"' then return found end
    from = found + 2
  end
end

-- The piece of `json` that is called `"addAttr":{…}`, with what is in the piece `new` in the place of what has the same name,
-- and all else behind it. Nil if these are too many.
local function merge_attributes(lengths, json, new)
  local from, number, old = 1, 0, nil
  for length in lengths:gmatch('(%d+),') do
    number = number + 1
    if number == 7 then old = json:sub(from, from + length - 1) break end
    if length ~= '0' then from = from + length + 1 end
  end
  local values, names = {}, {}
  for _, text in ipairs({old, new}) do
    local at = #'"addAttr":{' + 1
    while text:sub(at, at) == '"' do
      local name_end = string_end(text, at)
      local value_end = string_end(text, name_end + 2)
      local name = text:sub(at, name_end)
      if not values[name] then names[#names + 1] = name end
      values[name] = text:sub(name_end + 2, value_end)
      at = value_end + 2
    end
  end
  if #names > ATTRIBUTES then return nil end
  for i, name in ipairs(names) do names[i] = name .. ':' .. values[name] end
  return '"addAttr":{' .. table.concat(names, ',') .. '}'
end
