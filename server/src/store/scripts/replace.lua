-- What becomes of the exchanges of an endpoint when it registers again: the device may have rebooted.

-- What it may have executed stays open for ever.
local function end_unclear(endpoint, key)
  for token in slots_of(key):gmatch('(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t and t.class == 'n' and t.state == 's' then
      finish_ticket(name, endpoint, t, error_body('OUTCOME_UNKNOWN',
        'the device registered again while the request was with it', 'true'))
    end
  end
end

-- What can be asked again will be: the exchange begins anew, perhaps at the very member that drops it now, so nobody may
-- remember it as ended.
local function begin_anew(key)
  for token in slots_of(key):gmatch('(%x+),') do
    local name = call('HGET', BASE .. 'o', token)
    local t = name and load_ticket(name)
    if t then
      if t.holder == ME then reply[#reply + 1] = 'A\n' .. token else tell(t.holder, 'A\n' .. token) end
      dispatch_again(name, t)
    end
  end
end
