-- Registrations: `e:EP` with what is known of an endpoint; the partition's hash leads from registration id to endpoint; `x`
-- has the endpoints by the time when their lifetimes may be over. An Update does not move that: whoever looks finds the
-- later end in `e:EP`. What only says itself again in JSON is kept as the text that instances made of it: the members about
-- the way to the device, and those from `lt` to `root` with the lengths of their pieces, a comma after each: lt, sms, ver,
-- bnd, ep and regId, objLink, addAttr, root; 0 for one that the device did not send.

-- A lifetime has begun. If it ends before all others of the partition, the steward has to know: it looks again only when
-- the earliest that it knows is over.
local function begin_lifetime(c, endpoint, seconds, steward)
  local expiry = c.base .. Key.EXPIRY
  call('ZADD', expiry, c.now + seconds * 1000, endpoint)
  if steward and call('ZRANGE', expiry, 0, 0)[1] == endpoint then
    order(c, steward, Order.EXPIRY .. '\n' .. c.partition .. '\n' .. ('%.0f'):format(seconds * 1000))
  end
end

-- The device has another address, or reaches another instance. Those who wait for an answer learn where it is now.
local function change_way(c, endpoint, way, source, slots)
  local key = c.base .. Key.ENDPOINT .. endpoint
  local before = call('HGET', key, Endpoint.SOURCE)
  call('HSET', key, Endpoint.WAY, way, Endpoint.SOURCE, source)
  if before == source then return end
  c.reply[1] = 'MOVED'
  for token in slots:gmatch('(%x+),') do
    local entry = call('HGET', c.base .. Key.EXCHANGES, token)
    local holder = entry and entry_parts(entry)
    if holder then order(c, holder, Order.MOVED .. '\n' .. token .. '\n' .. source) end
  end
end

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
-- and all else behind it: `addAttr` is merged key by key at an Update. Nil if these are more than a registration may have.
local function merge_attributes(lengths, json, new)
  local from, number, old = 1, 0, nil
  for length in lengths:gmatch('(%d+),') do
    number = number + 1
    if number == tonumber(Piece.ATTRIBUTES) then old = json:sub(from, from + length - 1) break end
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
  if #names > Time.MOST_ATTRIBUTES then return nil end
  for i, name in ipairs(names) do names[i] = name .. ':' .. values[name] end
  return '"addAttr":{' .. table.concat(names, ',') .. '}'
end

-- What the device sent with an Update takes the place of what was known: `changes` has the number, the length and the text
-- of each piece of the registration's JSON that is new. Returns the JSON, the lengths of its pieces, and what was sent as
-- members of an object; nil if there are too many attributes.
local function change_members(lengths, json, changes)
  local new, sent, at = {}, '', 1
  while at <= #changes do
    local number, length, from = changes:match('^(%d) (%d+) ()', at)
    at = from + length
    local text = changes:sub(from, at - 1)
    if number ~= Piece.ROOT then sent = sent .. ',' .. text end
    if number == Piece.ATTRIBUTES then text = merge_attributes(lengths, json, text) end
    if not text then return nil end
    new[tonumber(number)] = text
  end
  local kept, sizes, from, number = {}, '', 1, 0
  for length in lengths:gmatch('(%d+),') do
    number = number + 1
    local size = tonumber(length)
    local piece = new[number] or json:sub(from, from + size - 1)
    if size > 0 then from = from + size + 1 end
    if piece ~= '' then kept[#kept + 1] = piece end
    sizes = sizes .. #piece .. ','
  end
  return table.concat(kept, ','), sizes, sent
end

-- What may have been executed by a device that registers again, and may have rebooted, stays open for ever.
local function end_unclear(c, endpoint)
  for token in slots_of(c, endpoint):gmatch('(%x+),') do
    local name = name_of(c, token)
    local t = name and load_ticket(c, name)
    if t and t.class == Class.ONCE and t.state == State.SENT then
      end_ticket(c, name, endpoint, t, error_text('OUTCOME_UNKNOWN',
        'the device registered again while the request was with it', 'true'))
    end
  end
end

-- What can be asked again will be: the exchange begins anew, perhaps at the very member that drops it now, so nobody may
-- remember it as ended.
local function begin_anew(c, endpoint)
  for token in slots_of(c, endpoint):gmatch('(%x+),') do
    local name = name_of(c, token)
    local t = name and load_ticket(c, name, Ticket.REQUEST)
    if t then
      order(c, t.holder, Order.ANEW .. '\n' .. token)
      dispatch_again(c, name, t)
    end
  end
end

-- Ends what an endpoint had when its registration ends.
local function end_all(c, endpoint, message)
  for token in slots_of(c, endpoint):gmatch('(%x+),') do
    local name = name_of(c, token)
    local t = name and load_ticket(c, name)
    if t and t.class == Class.ONCE and t.state == State.SENT then
      end_ticket(c, name, endpoint, t, error_text('OUTCOME_UNKNOWN',
        'the registration ended while the request was with the device', 'true'))
    elseif t then
      end_ticket(c, name, endpoint, t, error_text('GONE', message, unsent(t) and 'false' or 'true'))
    end
  end
  while true do
    local name = call('LPOP', c.base .. Key.QUEUE .. endpoint)
    if not name then return end
    local t = load_ticket(c, name)
    if t then end_ticket(c, name, endpoint, t, error_text('GONE', message, 'false')) end
  end
end

-- Takes a registration away and leaves a tombstone, which keeps counting (rev, message ID) while anybody may remember.
local function bury_registration(c, endpoint, reason, uplinks)
  local key = c.base .. Key.ENDPOINT .. endpoint
  local id, registered, way, members, last_update, rev, ids, registers = unpack(call('HMGET', key, Endpoint.ID,
    Endpoint.REGISTERED, Endpoint.WAY, Endpoint.MEMBERS, Endpoint.LAST_UPDATE, Endpoint.REV, Endpoint.MESSAGE_IDS,
    Endpoint.REGISTERS))
  end_all(c, endpoint, 'the registration of the device ended (' .. reason .. ') while the request waited')
  rev = rev + 1
  call('PUBLISH', c.prefix .. Channel.REGISTRATION_ENDS,
    ended_registration_text(registration_text(registered, way, members, last_update, rev), reason))
  call('HDEL', c.key, Partition.REGISTRATION .. id)
  call('ZREM', c.base .. Key.EXPIRY, endpoint)
  call('DEL', key)
  call('HSET', key, Endpoint.REV, rev, Endpoint.MESSAGE_IDS, ids, Endpoint.REGISTERS, registers, Endpoint.UPLINKS,
    uplinks or '')
  call('PEXPIRE', key, Time.EXCHANGE_LIFETIME)
  call('SET', c.base .. Key.TOMBSTONE .. id, endpoint, 'PX', Time.EXCHANGE_LIFETIME)
end

-- Uplinks already served: `KIND MID@SOURCE=SECONDS=ANSWER;` entries, newest first. A copy gets the stored answer (RFC
-- 7252, 4.5), whichever instance it comes to.
local function served_before(c, list, uplink)
  local _, at = (list or ''):find(uplink .. '=', 1, true)
  if not at then return nil end
  local seconds, stored = list:match('^(%d+)=([^;]*);', at + 1)
  if c.seconds - seconds > Time.UPLINK_SECONDS then return nil end
  return stored
end

-- A list is looked through for what is too old only once in eight times, because that costs more than all else that an Update
-- does: then as many (32) are kept as can still have copies. `number` counts the times.
local function remember_uplink(c, list, uplink, stored, number)
  list = uplink .. '=' .. c.seconds .. '=' .. stored .. ';' .. (list or '')
  if #list <= 256 or number % 8 ~= 0 then return list end
  local entries, position = 0, 0
  for seconds, next_entry in list:gmatch('=(%d+)=[^;]*;()') do
    entries = entries + 1
    if entries > 32 or c.seconds - seconds > Time.UPLINK_SECONDS then break end
    position = next_entry - 1
  end
  return list:sub(1, position)
end

-- The device sent another lifetime. One that is not the earliest to end needs no word to the steward.
local function change_lifetime(c, endpoint, seconds)
  local key = c.base .. Key.ENDPOINT .. endpoint
  if call('HGET', key, Endpoint.LIFETIME) == seconds then return end
  call('HSET', key, Endpoint.LIFETIME, seconds)
  begin_lifetime(c, endpoint, seconds, call('HGET', c.key, Partition.STEWARD))
end
