-- Replaces pieces of a registration's JSON: those whose numbers stand in ARGV[first], ARGV[first + 2] …, each before its
-- new text. Returns the JSON, the lengths of its pieces, and what was sent, as members of an object.
local function replace_pieces(json, lengths, first)
  local new, sent = {}, ''
  for i = first, #ARGV, 2 do
    local number = tonumber(ARGV[i])
    new[number] = ARGV[i + 1]
    if number ~= 8 then sent = sent .. ',' .. ARGV[i + 1] end
  end
  local kept, sizes, from, number = {}, '', 1, 0
  for length in string.gmatch(lengths, '(%d+),') do
    number = number + 1
    local size = tonumber(length)
    local piece = new[number] or string.sub(json, from, from + size - 1)
    if size > 0 then from = from + size + 1 end
    if piece ~= '' then kept[#kept + 1] = piece end
    sizes = sizes .. #piece .. ','
  end
  return table.concat(kept, ','), sizes, sent
end
