-- Ends a ticket (`t:NAME`): its one terminal, and the memory of it.
local function finish_ticket(name, endpoint, t, body)
  call('DEL', BASE .. 't:' .. name)
  call('ZREM', BASE .. 'd', name)
  if t.token then
    call('HDEL', BASE .. 'o', t.token)
    free_slot(BASE .. 'e:' .. endpoint, t.token)
    if t.holder and t.holder ~= ME then tell(t.holder, 'S\n' .. t.token) end
    if t.holder == ME then reply[#reply + 1] = 'S\n' .. t.token end
  else
    call('LREM', BASE .. 'q:' .. endpoint, 1, name)
  end
  call('SET', BASE .. 'u:' .. name, body, 'PX', ARGV[9])
  call('RPUSH', BASE .. 'z', name)
  say(t.channel, t.head, body)
end
