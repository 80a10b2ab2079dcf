//! The way of a command from a script to the broker and back, on the interpreter's own stack.
//!
//! Scripts do little else than call commands, so this is the hottest path of a broker: arguments are read where Lua
//! keeps them, and replies become Lua's values without a handle for each. In: `redis.call` and `redis.pcall`, and a
//! script to run with its keys and arguments. Out: replies, by the rules of Redis: a number loses its fraction, an
//! array ends at the first nil, false is nil, `{ok=…}` is a status and `{err=…}` an error.
//!
//! Lua leaves functions by `longjmp` when it runs out of memory, and no destructor runs then. So each function here is
//! of one of two kinds: it calls only what cannot fail in Lua, or none of its values owns anything.

use std::any::Any;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::slice;

use mlua::{Function, Lua, Result, Table, ffi, lua_State};

use super::host;
use crate::number::{format_float, write_integer};
use crate::reply::Reply;
use crate::state::State;

/// How deep tables may be nested in a script's result.
const MAX_DEPTH: usize = 256;
/// Slots of the stack that reading a result takes: a table and an element for each depth, and what is looked up.
const RESULT_SLOTS: c_int = 2 * MAX_DEPTH as c_int + 8;
/// What stands where on the stack: what a run is given, the names of fields in its result, and this.
const GLOBALS: c_int = 1;
const DESCRIBE: c_int = 2;
const SCRIPT: c_int = 3;
const ERR: c_int = 4;
const OK: c_int = 5;
const LINE: c_int = 6;
const RESULT: c_int = 7;
/// Slots of the stack that pushing a reply takes, beside elements of arrays: a table, a name and a value.
const REPLY_SLOTS: c_int = 3;
/// No number is longer as text: 17 digits, two signs, a point, and an exponent of four characters.
const LONGEST_NUMBER: usize = 32;

/// How a script ended.
pub(super) enum Outcome {
    Returned(Reply),
    /// With an error: its text, and the line of the script where it arose.
    Failed {
        text: Vec<u8>,
        line: Option<i64>,
    },
    /// By Lua itself, which had no memory left to say it in a table.
    Stopped(Vec<u8>),
}

/// What `redis.call` needs of the broker. The interpreter has its address, so it must live longer.
pub(super) struct Bridge {
    state: Rc<RefCell<State>>,
    /// The reply that is on its way to the script.
    reply: UnsafeCell<Reply>,
    /// The numbers among the arguments, as text.
    numbers: RefCell<Vec<u8>>,
    /// A panic in a command waits here until no function of Lua is on the stack.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

impl Bridge {
    pub(super) fn new(state: &Rc<RefCell<State>>) -> Rc<Self> {
        Rc::new(Bridge {
            state: Rc::clone(state),
            reply: UnsafeCell::new(Reply::Nil),
            numbers: RefCell::default(),
            panic: Cell::default(),
        })
    }

    /// `redis.call` and `redis.pcall`.
    ///
    /// # Safety
    /// The bridge must live longer than `lua`.
    pub(super) unsafe fn functions(&self, lua: &Lua) -> Result<[Function; 2]> {
        let create = |function: ffi::lua_CFunction| {
            let address = std::ptr::from_ref(self).cast_mut().cast::<c_void>();
            // SAFETY: two slots are free, as `exec_raw` promises.
            unsafe {
                lua.exec_raw((), |lua| {
                    ffi::lua_pushlightuserdata(lua, address);
                    ffi::lua_pushcclosure(lua, function, 1);
                })
            }
        };
        Ok([create(call)?, create(pcall)?])
    }

    /// Runs `script` with these keys and arguments in `globals`; `describe` makes a table of any error.
    pub(super) fn run(
        &self,
        lua: &Lua,
        (globals, describe, script): (&Table, &Function, &Function),
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Outcome> {
        let mut outcome = None;
        // SAFETY: what can fail in Lua comes before anything is owned; the outcome is read by a function that does not
        // fail in Lua.
        let result = unsafe {
            lua.exec_raw::<()>((globals, describe, script), |lua| {
                set_strings(lua, c"KEYS".as_ptr(), keys);
                set_strings(lua, c"ARGV".as_ptr(), arguments);
                // Afterwards there may be no memory to make this room.
                ffi::luaL_checkstack(lua, RESULT_SLOTS, std::ptr::null());
                ffi::lua_pushliteral(lua, c"err");
                ffi::lua_pushliteral(lua, c"ok");
                ffi::lua_pushliteral(lua, c"line");
                ffi::lua_pushvalue(lua, SCRIPT);
                let status = ffi::lua_pcall(lua, 0, 1, DESCRIBE);
                outcome = Some(read_outcome(lua, status));
                ffi::lua_settop(lua, 0);
            })
        };
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        result.map(|()| outcome.expect("the closure ran to its end"))
    }

    /// Executes the command whose words are on the stack. Cannot fail in Lua.
    ///
    /// # Safety
    /// `lua` must be the state of a running C function.
    unsafe fn execute(&self, lua: *mut lua_State) {
        let command = || {
            let mut numbers = self.numbers.borrow_mut();
            // SAFETY: the words stay on the stack, and so alive, while the command is executed.
            match unsafe { read_words(lua, &mut numbers) } {
                Ok(words) => host::execute(&mut self.state.borrow_mut(), &words),
                Err(text) => Reply::error(text),
            }
        };
        let reply = catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|panic| {
            self.panic.set(Some(panic));
            Reply::error("ERR the broker failed in this command")
        });
        // SAFETY: nobody else has a reference: one is made below only after this.
        unsafe { *self.reply.get() = reply };
    }
}

/// `redis.call`: an error reply is raised.
unsafe extern "C-unwind" fn call(lua: *mut lua_State) -> c_int {
    // SAFETY: as a C function of the interpreter; nothing is owned here.
    unsafe {
        if perform(lua) {
            ffi::lua_error(lua);
        }
    }
    1
}

/// `redis.pcall`: an error reply is a value like any other.
unsafe extern "C-unwind" fn pcall(lua: *mut lua_State) -> c_int {
    // SAFETY: as a C function of the interpreter.
    unsafe { perform(lua) };
    1
}

/// Executes a command and pushes its reply; true if that is an error. May fail in Lua, so it owns nothing.
unsafe fn perform(lua: *mut lua_State) -> bool {
    // SAFETY: the upvalue is the address of the bridge, which lives longer than the interpreter. The reply is replaced
    // only by the next command. A function of C has 20 slots.
    unsafe {
        let bridge = ffi::lua_touserdata(lua, ffi::lua_upvalueindex(1)).cast::<Bridge>();
        (*bridge).execute(lua);
        let reply = &*(*bridge).reply.get();
        push_reply(lua, reply);
        reply.is_error()
    }
}

/// The words of a command, numbers as text. Cannot fail in Lua: it converts nothing on the stack.
///
/// # Safety
/// The words live as long as they are on the stack, and as nothing is done to `numbers`.
unsafe fn read_words<'a>(
    lua: *mut lua_State,
    numbers: &mut Vec<u8>,
) -> std::result::Result<Vec<&'a [u8]>, &'static str> {
    // SAFETY: the functions of Lua only look at the stack. `numbers` has room for all texts before the first of them is
    // written, so it does not move them.
    unsafe {
        let count = ffi::lua_gettop(lua);
        if count == 0 {
            return Err("ERR Please specify at least one argument for this redis lib call");
        }
        let mut words = Vec::with_capacity(count as usize);
        numbers.clear();
        for index in 1..=count {
            match ffi::lua_type(lua, index) {
                ffi::LUA_TSTRING => words.push(text(lua, index)),
                ffi::LUA_TNUMBER => {
                    if numbers.is_empty() {
                        numbers.reserve(count as usize * LONGEST_NUMBER);
                    }
                    let from = numbers.len();
                    write_number(numbers, ffi::lua_tonumber(lua, index));
                    words.push(slice::from_raw_parts(
                        numbers.as_ptr().add(from),
                        numbers.len() - from,
                    ));
                }
                _ => return Err("ERR Lua redis lib command arguments must be strings or integers"),
            }
        }
        Ok(words)
    }
}

/// Appends a number as Redis converts it.
fn write_number(out: &mut Vec<u8>, number: f64) {
    const EXACT: f64 = 1e15;
    if number == number.trunc() && number.abs() < EXACT && (number != 0.0 || number.is_sign_positive()) {
        write_integer(out, number as i64);
    } else {
        let text = format_float(number);
        debug_assert!(text.len() <= LONGEST_NUMBER, "{text}");
        out.extend_from_slice(&text.as_bytes()[..text.len().min(LONGEST_NUMBER)]);
    }
}

/// The string at `index`, which must be one.
unsafe fn text<'a>(lua: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: Lua gives the address and the length of a string that it has.
    unsafe {
        let start = ffi::lua_tolstring(lua, index, &raw mut length);
        slice::from_raw_parts(start.cast::<u8>(), length)
    }
}

unsafe fn push_text(lua: *mut lua_State, text: &[u8]) {
    // SAFETY: Lua copies so many bytes. (Without the underscore mlua's function of this name also looks the copy up.)
    unsafe { ffi::lua_pushlstring_(lua, text.as_ptr().cast(), text.len()) };
}

/// Makes a list of strings a global.
unsafe fn set_strings(lua: *mut lua_State, name: *const std::os::raw::c_char, items: &[&[u8]]) {
    // SAFETY: owns nothing; three slots are free.
    unsafe {
        ffi::lua_createtable(lua, capacity(items.len()), 0);
        for (index, item) in (1..).zip(items) {
            push_text(lua, item);
            ffi::lua_rawseti_(lua, -2, index);
        }
        ffi::lua_setfield(lua, GLOBALS, name);
    }
}

fn capacity(length: usize) -> c_int {
    c_int::try_from(length).unwrap_or(0)
}

/// Pushes a reply as the value of `redis.call`. Owns nothing. There must be room for [`REPLY_SLOTS`].
unsafe fn push_reply(lua: *mut lua_State, reply: &Reply) {
    // SAFETY: an array makes room for its elements.
    unsafe {
        match reply {
            Reply::Integer(number) => ffi::lua_pushnumber(lua, *number as f64),
            Reply::Bulk(bytes) => push_text(lua, bytes),
            Reply::Nil | Reply::NilArray => ffi::lua_pushboolean(lua, 0),
            Reply::Simple(text) => push_field(lua, c"ok", text),
            Reply::Error(text) => push_field(lua, c"err", text),
            Reply::Array(items) | Reply::Several(items) => {
                ffi::luaL_checkstack(lua, 1 + REPLY_SLOTS, std::ptr::null());
                ffi::lua_createtable(lua, capacity(items.len()), 0);
                for (index, item) in (1..).zip(items) {
                    push_reply(lua, item);
                    ffi::lua_rawseti_(lua, -2, index);
                }
            }
        }
    }
}

unsafe fn push_field(lua: *mut lua_State, name: &'static std::ffi::CStr, text: &[u8]) {
    // SAFETY: these are the slots for which there is room.
    unsafe {
        ffi::lua_createtable(lua, 0, 1);
        ffi::lua_pushliteral(lua, name);
        push_text(lua, text);
        ffi::lua_rawset(lua, -3);
    }
}

/// What a script left on the stack. Cannot fail in Lua: room has been made, and raw access to plain tables allocates
/// nothing.
unsafe fn read_outcome(lua: *mut lua_State, status: c_int) -> Outcome {
    // SAFETY: see above.
    unsafe {
        if status == ffi::LUA_OK {
            return Outcome::Returned(read_value(lua, RESULT, 0));
        }
        match ffi::lua_type(lua, RESULT) {
            ffi::LUA_TTABLE => Outcome::Failed {
                text: read_field(lua, RESULT, ERR)
                    .map_or_else(|| b"ERR unknown error".to_vec(), <[u8]>::to_vec),
                line: read_line(lua),
            },
            ffi::LUA_TSTRING => Outcome::Stopped(text(lua, RESULT).to_vec()),
            _ => Outcome::Stopped(b"unknown error".to_vec()),
        }
    }
}

/// The field of the table at `index` whose name is at `name`, if it is a string.
unsafe fn read_field<'a>(lua: *mut lua_State, index: c_int, name: c_int) -> Option<&'a [u8]> {
    // SAFETY: the string lives on in its table.
    unsafe {
        ffi::lua_pushvalue(lua, name);
        let kind = ffi::lua_rawget(lua, index);
        let found = (kind == ffi::LUA_TSTRING).then(|| text(lua, -1));
        ffi::lua_pop(lua, 1);
        found
    }
}

/// The line that the handler of errors put into its table.
unsafe fn read_line(lua: *mut lua_State) -> Option<i64> {
    // SAFETY: raw access, one slot.
    unsafe {
        ffi::lua_pushvalue(lua, LINE);
        let kind = ffi::lua_rawget(lua, RESULT);
        let line = (kind == ffi::LUA_TNUMBER).then(|| ffi::lua_tonumber(lua, -1) as i64);
        ffi::lua_pop(lua, 1);
        line
    }
}

unsafe fn read_value(lua: *mut lua_State, index: c_int, depth: usize) -> Reply {
    // SAFETY: see `read_outcome`.
    unsafe {
        match ffi::lua_type(lua, index) {
            ffi::LUA_TSTRING => Reply::bulk(text(lua, index)),
            ffi::LUA_TNUMBER => Reply::Integer(truncate(ffi::lua_tonumber(lua, index))),
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(lua, index) != 0 => Reply::Integer(1),
            ffi::LUA_TTABLE if depth == MAX_DEPTH => Reply::error("ERR reached lua stack limit"),
            ffi::LUA_TTABLE => read_table(lua, index, depth),
            _ => Reply::Nil,
        }
    }
}

unsafe fn read_table(lua: *mut lua_State, index: c_int, depth: usize) -> Reply {
    // SAFETY: see `read_outcome`.
    unsafe {
        if let Some(text) = read_field(lua, index, ERR) {
            return Reply::error(text);
        }
        if let Some(text) = read_field(lua, index, OK) {
            return Reply::status(text);
        }
        let mut items = Vec::with_capacity(ffi::lua_objlen(lua, index).min(MAX_DEPTH));
        for number in 1.. {
            if ffi::lua_rawgeti(lua, index, number) == ffi::LUA_TNIL {
                ffi::lua_pop(lua, 1);
                break;
            }
            let item = ffi::lua_gettop(lua);
            items.push(read_value(lua, item, depth + 1));
            ffi::lua_pop(lua, 1);
        }
        Reply::Array(items)
    }
}

/// What a C conversion to a 64-bit integer gives on the machines Redis runs on.
fn truncate(number: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}
