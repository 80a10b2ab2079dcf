-- Tells a living holder once more: it ignores what it knows, and begins what it missed.
local function tell_again(name, t)
  local e = call('HMGET', BASE .. 'e:' .. endpoint_of(name), 'a', 'po', 'vn', 'rn')
  local text = exchange_text(t.token, t.mid, e, t.class, t.state, t.deadline, t.request)
  call('HSET', BASE .. 't:' .. name, 'rd', NOW)
  if t.holder == ME then reply[#reply + 1] = text else tell(t.holder, text) end
end
