-- accept (steward): the step that a request exists from. Journals, acks and dispatches it, or refuses it.
-- ARGV[12..]: name, endpoint, head (JSON), reply channel, request (JSON) or the refusal's body, class (r repeatable,
-- n not, x refused), timeout (ms), replay (1: nobody repeated it, so nobody waits for a copy), limit of the
-- endpoint's queue, limit of the partition's open tickets.
local name, endpoint, head, channel, class = ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[17]
local replayed = ARGV[19] == '1'
local outcome = call('GET', BASE .. 'u:' .. name)
if outcome then
  if not replayed then say(channel, head, outcome .. ',"again":true') end
  return answer('KNOWN')
end
if call('EXISTS', BASE .. 't:' .. name) == 1 then
  local t = load_ticket(name)
  if not replayed then say(channel, head, ',"ack":true,"again":true') end
  -- The caller may ask because it lost the reply in which it was told to send: it is told again.
  if t.state ~= 'q' and t.holder == ME then tell_again(name, t) end
  return answer('OPEN')
end

local function refuse(body)
  call('SET', BASE .. 'u:' .. name, body, 'PX', 10000)
  call('RPUSH', BASE .. 'y', name)
  say(channel, head, body)
  return answer('REFUSED')
end

step()
if class == 'x' then return refuse(ARGV[16]) end
local key = BASE .. 'e:' .. endpoint
local e = load_target(key)
if not e[9] then return refuse(ARGV[22]) end
local waiting = call('LLEN', BASE .. 'q:' .. endpoint)
if waiting >= tonumber(ARGV[20]) then
  return refuse(',"err":{"errorMessage":"' .. waiting .. ' requests already wait for this device, which is the limit; ask again later","code":"OVERLOADED"}')
end
local open = call('ZCARD', BASE .. 'd')
if open >= tonumber(ARGV[21]) then
  return refuse(',"err":{"errorMessage":"' .. open .. ' requests are open in this partition, which is the limit; ask again later","code":"OVERLOADED"}')
end
say(channel, head, ',"ack":true')
local t = {state = 'q', head = head, channel = channel, request = ARGV[16], class = class,
  deadline = NOW + tonumber(ARGV[18]), first = 0}
call('ZADD', BASE .. 'd', t.deadline, name)
if waiting == 0 and #(e[8] or '') < 17 * tonumber(ARGV[10]) then
  dispatch(name, t, e, 'hd', head, 'rt', channel, 'rq', t.request, 'cl', class, 'dl', t.deadline)
else
  call('HSET', BASE .. 't:' .. name, 'st', 'q', 'hd', head, 'rt', channel, 'rq', t.request, 'cl', class,
    'dl', t.deadline)
  call('RPUSH', BASE .. 'q:' .. endpoint, name)
  next_turn(endpoint)
end
return answer('OK')
