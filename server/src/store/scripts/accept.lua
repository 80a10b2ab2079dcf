-- accept (steward): the step that a request exists from. Journals, acks and dispatches it, or refuses it.
-- ARGV[12..]: name, endpoint, head (JSON), reply channel, request (JSON) or the refusal's body, class (r repeatable,
-- n not, x refused), timeout (ms), replay (1: nobody repeated it, so nobody waits for a copy), limit of the
-- endpoint's queue, limit of the partition's open tickets, the refusal's body if nobody has registered.
local name, endpoint, head, channel, class = ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[17]
local replayed = ARGV[19] == '1'
local outcome = call('GET', BASE .. 'u:' .. name)
if outcome then
  if not replayed then say(channel, head, outcome .. ',"again":true') end
  return step('KNOWN')
end
if call('EXISTS', BASE .. 't:' .. name) == 1 then
  local open = on_demand()
  local t = open.load_ticket(name)
  if not replayed then say(channel, head, ',"ack":true,"again":true') end
  -- The caller may ask because it lost the reply in which it was told to send: it is told again.
  if t.state ~= 'q' and t.holder == ME then open.tell_again(name, t) end
  return step('OPEN')
end

step()
local key, queue = BASE .. 'e:' .. endpoint, BASE .. 'q:' .. endpoint
local e, waiting, refusal = load_target(key), call('LLEN', queue), nil
if class == 'x' then
  refusal = ARGV[16]
elseif not e[9] then
  refusal = ARGV[22]
elseif waiting >= tonumber(ARGV[20]) then
  refusal = ',"err":{"errorMessage":"' .. waiting .. ' requests already wait for this device, which is the limit; ask again later","code":"OVERLOADED"}'
else
  local open = call('ZCARD', BASE .. 'd')
  if open >= tonumber(ARGV[21]) then
    refusal = ',"err":{"errorMessage":"' .. open .. ' requests are open in this partition, which is the limit; ask again later","code":"OVERLOADED"}'
  end
end
if refusal then
  call('SET', BASE .. 'u:' .. name, refusal, 'PX', 10000)
  call('RPUSH', BASE .. 'y', name)
  say(channel, head, refusal)
  reply[1] = 'REFUSED'
  return reply
end
say(channel, head, ',"ack":true')
local deadline = NOW + ARGV[18]
call('ZADD', BASE .. 'd', deadline, name)
if waiting == 0 and #(e[8] or '') < 17 * ARGV[10] then
  local t = {request = ARGV[16], class = class, deadline = deadline}
  dispatch(name, key, t, e, 'hd', head, 'rt', channel, 'rq', t.request, 'cl', class, 'dl', deadline)
  -- The caller itself is to send it, and learns that here: nothing can be lost on the way.
  if #reply > 3 then reply[1] = 'OWN' end
else
  call('HSET', BASE .. 't:' .. name, 'st', 'q', 'hd', head, 'rt', channel, 'rq', ARGV[16], 'cl', class, 'dl', deadline)
  call('RPUSH', queue, name)
  on_demand().next_turn(endpoint)
end
return reply
