-- What a script sees of Lua and of the broker, as in Redis 7.0: read-only globals, no files, no clock, no loading of
-- code, and `redis`. Runs once when the interpreter is made. `host` holds the functions that Rust provides; returned
-- are the environment for scripts, the table behind it (where KEYS and ARGV go), and the handler of a script's errors.

local host = ...
local error, getmetatable, setmetatable, type, tostring = error, getmetatable, setmetatable, type, tostring
local raw_pcall, raw_xpcall, rawset, rawget = pcall, xpcall, rawset, rawget

local READ_ONLY = 'Attempt to modify a readonly table'
local protected = {}

-- A table through which `contents` can be read, not changed.
local function read_only(contents)
    local view = {}
    protected[view] = true
    protected[contents] = true
    return setmetatable(view, {
        __index = contents,
        __newindex = function() error(READ_ONLY, 2) end,
        __metatable = setmetatable({}, { __newindex = function() error(READ_ONLY, 2) end }),
    })
end

local redis = {
    LOG_DEBUG = 0,
    LOG_VERBOSE = 1,
    LOG_NOTICE = 2,
    LOG_WARNING = 3,
    REPL_NONE = 0,
    REPL_AOF = 1,
    REPL_SLAVE = 2,
    REPL_REPLICA = 2,
    REPL_ALL = 3,
    REDIS_VERSION = '7.0.15',
    REDIS_VERSION_NUM = 0x07000f,
    -- Functions that can fail come from Rust: the frame of a script that ends in `return redis.call(…)` stays on the
    -- stack then, so that the error can name its line.
    call = host.call,
    pcall = host.pcall,
    sha1hex = host.sha1hex,
    log = host.log,
    setresp = host.setresp,
}

function redis.status_reply(...)
    local text = ...
    if select('#', ...) ~= 1 or type(text) ~= 'string' then
        return { err = 'ERR wrong number or type of arguments' }
    end
    return { ok = text }
end

function redis.error_reply(...)
    local text = ...
    if select('#', ...) ~= 1 or type(text) ~= 'string' then
        return { err = 'ERR wrong number or type of arguments' }
    end
    text = text:gsub('^%-', '')
    local code, rest = text:match('^([^ ]*) (.*)$')
    if not code then return { err = 'ERR ' .. text } end
    return { err = code .. ' ' .. rest:gsub('^[\r\n]+', ''):gsub('[\r\n]+$', '') }
end

-- Each script starts from the same seed, so that its effects can be replayed.
local math_library = {}
for name, value in pairs(math) do math_library[name] = value end

function math_library.random(low, high)
    local fraction = host.random()
    if low == nil then return fraction end
    if high == nil then low, high = 1, low end
    if low > high then error('bad argument to \'random\' (interval is empty)', 2) end
    return math.floor(fraction * (high - low + 1)) + low
end

function math_library.randomseed(seed)
    host.randomseed(seed)
end

local string_library = {}
for name, value in pairs(string) do string_library[name] = value end
string_library.dump = nil
local strings = getmetatable('')
strings.__index = string_library
local string_view = read_only(string_library)
strings.__metatable = read_only({ __index = string_view })

local table_library = {}
for name, value in pairs(table) do table_library[name] = value end

-- What the broker raised arrives as a foreign value; scripts get to see a table with its text.
local function visible(reason)
    local text = type(reason) == 'userdata' and host.reason(reason)
    return text and { err = text } or reason
end

-- A script that used up its instructions must not go on by catching the error.
local function stop_if_exhausted()
    if host.exhausted() then error('the script was stopped', 0) end
end

local function caught(ok, ...)
    if ok then return true, ... end
    stop_if_exhausted()
    local reason = visible((...))
    if type(reason) == 'table' and type(rawget(reason, 'err')) == 'string' then
        return false, reason.err
    end
    return false, reason
end

local function handled(ok, ...)
    if not ok then stop_if_exhausted() end
    return ok, ...
end

local globals = {
    _VERSION = _VERSION,
    assert = assert,
    error = error,
    getmetatable = getmetatable,
    ipairs = ipairs,
    math = read_only(math_library),
    next = next,
    pairs = pairs,
    rawequal = rawequal,
    rawget = rawget,
    redis = read_only(redis),
    select = select,
    string = string_view,
    table = read_only(table_library),
    tonumber = tonumber,
    tostring = tostring,
    type = type,
    unpack = unpack,
}

function globals.pcall(...) return caught(raw_pcall(...)) end

function globals.xpcall(body, handler)
    return handled(raw_xpcall(body, function(reason)
        -- A handler that calls what failed would go on for ever.
        if host.exhausted() then return reason end
        return handler(visible(reason))
    end))
end

function globals.rawset(target, ...)
    if protected[target] then error(READ_ONLY, 0) end
    return rawset(target, ...)
end

function globals.setmetatable(target, ...)
    if protected[target] then error(READ_ONLY, 0) end
    return setmetatable(target, ...)
end

setmetatable(globals, {
    __index = function(_, name)
        error('Script attempted to access nonexistent global variable \'' .. tostring(name) .. '\'', 2)
    end,
})

local environment = read_only(globals)
globals._G = environment

-- Makes of any error a table with its text and the line of the script where it arose.
local function describe(reason)
    reason = visible(reason)
    if type(reason) ~= 'table' then reason = { err = 'ERR ' .. tostring(reason) } end
    local line = host.line()
    if line then rawset(reason, 'line', line) end
    return reason
end

return environment, globals, describe
