-- The JSON of the dialect `wiki`: everything that back ends read and that scripts put together.

-- A message on a channel of answers: who is spoken of, what is said, and by whom.
local function answer_text(c, head, body)
  return '{' .. head .. body .. ',"by":"' .. c.me .. '"}'
end

local function ack_text()
  return ',"ack":true'
end

-- What was said before, as a copy.
local function again_text(body)
  return body .. ',"again":true'
end

-- The end of a ticket that the cluster itself ends after its ack. `sent`: whether a datagram may have left.
local function error_text(code, message, sent)
  return ',"err":{"errorMessage":"' .. message .. '","code":"' .. code .. '","sent":' .. sent .. '}'
end

-- A refusal instead of an ack.
local function refusal_text(code, message)
  return ',"err":{"errorMessage":"' .. message .. '","code":"' .. code .. '"}'
end

-- The endpoint of a head, as the text of a JSON string.
local function endpoint_text(head)
  return head:match('"ep":"(.*)"$') or ''
end

-- A registration, but for its last brace.
local function registration_text(registered, way, members, last_update, rev)
  return '{"regDate":' .. registered .. ',' .. way .. ',' .. members .. ',"lastUp":' .. last_update .. ',"rev":' .. rev
end

local function new_registration_text(registration)
  return registration .. '}'
end

local function ended_registration_text(registration, reason)
  return registration .. ',"reason":"' .. reason .. '"}'
end

-- `sent`: the members that the device sent, each with a comma before it. Of the way, the first two are the device's own.
local function update_text(id, way, sent, registration)
  local device = way:match('^(.-),"regAddr"')
  return '{"regUpdate":{"regId":"' .. id .. '",' .. device .. sent .. '},"regUpdated":' .. registration .. '}}'
end
