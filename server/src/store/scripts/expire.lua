-- expire (steward): ends at most 64 registrations whose lifetime is over. No arguments but the term.
local due = redis.call('ZRANGEBYSCORE', BASE .. 'x', '-inf', '(' .. NOW, 'LIMIT', 0, 64)
if #due == 0 then return {'OK', 0, NOW, 0} end
step()
for _, endpoint in ipairs(due) do
  local e = load_registration(endpoint)
  if e then bury_registration(endpoint, e, 'expired') else redis.call('ZREM', BASE .. 'x', endpoint) end
end
table.insert(reply, 4, #due)
return answer('OK')
