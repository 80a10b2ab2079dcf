-- Gives free slots to those who wait. Called after each end, each Update, each new ticket.
local function next_turn(endpoint)
  local key, queue = BASE .. 'e:' .. endpoint, BASE .. 'q:' .. endpoint
  while #slots_of(key) < 17 * ARGV[10] do
    local name = call('LPOP', queue)
    if not name then return end
    local t = load_ticket(name)
    if t and t.state == 'q' then dispatch(name, key, t, load_target(key)) end
  end
end
