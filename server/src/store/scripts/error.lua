-- What is said of a ticket that the cluster itself ends.

local function error_body(code, message, sent)
  return ',"err":{"errorMessage":"' .. message .. '","code":"' .. code .. '","sent":' .. sent .. '}'
end

local function unsent(t)
  return t.state == 'q' or (t.state == 'd' and t.class == 'n')
end
