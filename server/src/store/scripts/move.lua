-- EXCHANGE_LIFETIME (RFC 7252, 4.8.2): as long as a device may remember a message ID.
local EXCHANGE_LIFETIME = 247000

-- Hands a ticket that somebody had to whoever owns the endpoint now. The same exchange goes on while the device may
-- remember it; after that a fresh one begins.
local function dispatch_again(name, t)
  local key = BASE .. 'e:' .. endpoint_of(name)
  if t.token and NOW - t.first > EXCHANGE_LIFETIME then
    call('HDEL', BASE .. 'o', t.token)
    free_slot(key, t.token)
    t.token = false
  end
  dispatch(name, key, t, load_target(key))
end
