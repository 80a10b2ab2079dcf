-- What a sweep does with the journal: `first` is the earliest deadline, `held` has the tokens and names of exchanges.
local function go_through(first, held)
  local changed = {}
  if first and tonumber(first) <= NOW then
    for _, name in ipairs(call('ZRANGEBYSCORE', BASE .. 'd', '-inf', NOW, 'LIMIT', 0, 64)) do
      local t, endpoint = load_ticket(name), endpoint_of(name)
      if t then
        finish_ticket(name, endpoint, t,
          error_body('TIMEOUT', 'no outcome within the timeout of the request', unsent(t) and 'false' or 'true'))
        changed[#changed + 1] = endpoint
      else
        call('ZREM', BASE .. 'd', name)
      end
    end
  end
  for i = 1, #held, 2 do
    local name = held[i + 1]
    local t = load_ticket(name)
    if not t then
      call('HDEL', BASE .. 'o', held[i])
    elseif dead(t.holder) then
      if t.class == 'n' and t.state == 's' then
        local endpoint = endpoint_of(name)
        finish_ticket(name, endpoint, t, error_body('OUTCOME_UNKNOWN',
          'the instance that may have sent the request died before it heard the answer', 'true'))
        changed[#changed + 1] = endpoint
      else
        dispatch_again(name, t)
      end
    elseif math.abs(NOW - t.told) >= 1000 then
      tell_again(name, t)
    end
  end
  for _, endpoint in ipairs(changed) do next_turn(endpoint) end
end
