-- What the device sent with an Update takes the place of what was known: ARGV[16] is the lifetime, ARGV[17] the root, each ''
-- if it is not sent; then come the number and the text of each piece of the registration's JSON that is new. Returns the
-- JSON, and what was sent as members of an object. `attributes` is the whole of `addAttr` if the device sent some of it.
local function change_members(key, json, attributes)
  local new, sent = {}, ''
  for i = 18, #ARGV, 2 do
    local number = tonumber(ARGV[i])
    new[number] = ARGV[i + 1]
    if number ~= 8 then sent = sent .. ',' .. ARGV[i + 1] end
  end
  if attributes then new[7] = attributes end
  local kept, sizes, from, number = {}, '', 1, 0
  for length in call('HGET', key, 'jl'):gmatch('(%d+),') do
    number = number + 1
    local size = tonumber(length)
    local piece = new[number] or json:sub(from, from + size - 1)
    if size > 0 then from = from + size + 1 end
    if piece ~= '' then kept[#kept + 1] = piece end
    sizes = sizes .. #piece .. ','
  end
  json = table.concat(kept, ',')
  call('HSET', key, 'js', json, 'jl', sizes)
  if ARGV[16] ~= '' then call('HSET', key, 'lt', ARGV[16]) end
  if ARGV[17] ~= '' then call('HSET', key, 'rn', ARGV[17]) end
  return json, sent
end
