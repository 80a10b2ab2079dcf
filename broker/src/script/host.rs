//! The functions that the sandbox gets from Rust, beside those of `bridge`: SHA-1, random numbers, the current line, the
//! limit on instructions; and what `redis.call` may do.

use std::rc::Rc;

use bytes::Bytes;
use mlua::{Function, HookTriggers, Lua, LuaString, MultiValue, Result, Table, Value, VmState};
use thiserror::Error;

use super::{Budget, RandomState};
use crate::command::{Action, GROWS, NO_SCRIPT, PUBLISHES, Spec, WRITE};
use crate::reply::Reply;
use crate::state::{Context, State};

/// How often the instructions are counted.
const INSTRUCTIONS_PER_CHECK: u32 = 10_000;

/// The state of the random numbers at the start of a script: that of the POSIX `drand48` family before any seed. Redis
/// begins there too, but goes on from script to script; here a script must not depend on what ran before.
pub(super) const SEED: u64 = 0x1234_abcd_330e;
/// What a seed does not set.
const SEED_LOW: u64 = 0x330e;

pub(super) fn limit_instructions(lua: &Lua, budget: &Rc<Budget>) -> Result<()> {
    let budget = Rc::clone(budget);
    lua.set_hook(
        HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_CHECK),
        move |_, _| {
            let left = budget
                .left
                .get()
                .saturating_sub(u64::from(INSTRUCTIONS_PER_CHECK));
            budget.left.set(left);
            if left > 0 {
                return Ok(VmState::Continue);
            }
            budget.exhausted.set(true);
            Err(mlua::Error::runtime("the script was stopped"))
        },
    )
}

pub(super) fn functions(
    lua: &Lua,
    [call, pcall]: [Function; 2],
    budget: &Rc<Budget>,
    random: &RandomState,
) -> Result<Table> {
    let functions = lua.create_table()?;
    functions.set("call", call)?;
    functions.set("pcall", pcall)?;
    functions.set(
        "sha1hex",
        lua.create_function(|lua, arguments| sha1hex(lua, &arguments))?,
    )?;
    functions.set("log", lua.create_function(|_, arguments| log(&arguments))?)?;
    functions.set(
        "setresp",
        lua.create_function(|_, arguments| setresp(&arguments))?,
    )?;
    functions.set("reason", lua.create_function(reason)?)?;
    let budget = Rc::clone(budget);
    functions.set(
        "exhausted",
        lua.create_function(move |_, ()| Ok(budget.exhausted.get()))?,
    )?;
    functions.set("line", lua.create_function(|lua, ()| Ok(current_line(lua)))?)?;
    let state = Rc::clone(random);
    functions.set(
        "random",
        lua.create_function(move |_, ()| Ok(next_random(&state)))?,
    )?;
    let state = Rc::clone(random);
    let reseed = move |_: &Lua, seed: f64| {
        state.set((u64::from(seed as i64 as u32) << 16) | SEED_LOW);
        Ok(())
    };
    functions.set("randomseed", lua.create_function(reseed)?)?;
    Ok(functions)
}

/// The next number in [0, 1) of the sequence that Redis gives to scripts (`lrand48`, modulo 2^31 - 1).
fn next_random(state: &RandomState) -> f64 {
    const MAX: u64 = i32::MAX as u64;
    let next = state.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
    state.set(next);
    ((next >> 17) % MAX) as f64 / MAX as f64
}

/// The line of the script that is being executed.
fn current_line(lua: &Lua) -> Option<usize> {
    for level in 1..200 {
        let found = lua.inspect_stack(level, |debug| {
            let in_script = debug
                .source()
                .source
                .is_some_and(|source| source == "@user_script");
            if in_script { debug.current_line() } else { None }
        })?;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// An error that a script sees as a table `{err = text}`.
#[derive(Debug, Error)]
#[error("{}", String::from_utf8_lossy(.0))]
struct Raised(Bytes);

fn raise<T>(text: &'static str) -> Result<T> {
    Err(mlua::Error::external(Raised(Bytes::from_static(text.as_bytes()))))
}

/// The text of an error that came from [`raise`].
fn reason(lua: &Lua, error: Value) -> Result<Option<LuaString>> {
    let Value::Error(error) = error else {
        return Ok(None);
    };
    error
        .downcast_ref::<Raised>()
        .map(|raised| lua.create_string(&raised.0))
        .transpose()
}

fn sha1hex(lua: &Lua, arguments: &MultiValue) -> Result<String> {
    if arguments.len() != 1 {
        return raise("ERR wrong number of arguments");
    }
    let text = lua.coerce_string(arguments[0].clone())?;
    let text = text.map(|text| text.as_bytes().to_vec()).unwrap_or_default();
    Ok(sha1_smol::Sha1::from(text).digest().to_string())
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_number()
        .or_else(|| value.as_integer().map(|number| number as f64))
}

/// Checks its arguments; what scripts log is of interest to nobody here.
fn log(arguments: &MultiValue) -> Result<()> {
    if arguments.len() < 2 {
        return raise("ERR redis.log() requires two arguments or more.");
    }
    match number(&arguments[0]) {
        None => raise("ERR First argument must be a number (log level)."),
        Some(level) if !(0.0..4.0).contains(&level) => raise("ERR Invalid debug level."),
        Some(_) => Ok(()),
    }
}

/// Only version 2 of the protocol is spoken.
fn setresp(arguments: &MultiValue) -> Result<()> {
    match arguments.iter().next().and_then(number) {
        Some(2.0) => Ok(()),
        _ => raise("ERR RESP version must be 2."),
    }
}

/// Executes a command for the running script.
pub(super) fn execute(state: &mut State, arguments: &[&[u8]]) -> Reply {
    let Some(spec) = Spec::find(arguments[0]) else {
        return Reply::error("ERR Unknown Redis command called from script");
    };
    if !spec.accepts(arguments.len()) {
        return Reply::error("ERR Wrong number of args calling Redis command from script");
    }
    let (false, Action::Run(function)) = (spec.has(NO_SCRIPT), spec.action) else {
        return Reply::error("ERR This Redis command is not allowed from script");
    };
    if spec.has(WRITE)
        && let Err(error) = state.check_changes_allowed()
    {
        return Reply::error(error.to_string());
    }
    let run = state
        .running
        .as_mut()
        .expect("redis.call is reachable from a running script only");
    if run.read_only && spec.has(WRITE | PUBLISHES) {
        return Reply::error("ERR Write commands are not allowed from read-only scripts.");
    }
    if run.deny_growth && spec.has(GROWS) {
        return Reply::error("OOM command not allowed when used memory > 'maxmemory'.");
    }
    // A script that has begun to write may finish.
    run.deny_growth &= !spec.has(WRITE);
    let (now_us, client, database) = (run.now_us, run.client, run.database);
    let noting = state.journal.recording && spec.has(WRITE);
    let before = if noting { state.changes() } else { 0 };
    let mut context = Context {
        state,
        now_us,
        client,
        database,
    };
    let reply = function(&mut context, arguments).unwrap_or_else(|error| Reply::error(error.to_string()));
    if noting && state.changes() != before {
        state.journal.note(arguments);
    }
    reply
}
