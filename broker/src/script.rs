//! Lua scripts: one interpreter, in which every script is compiled once and run in the sandbox of `sandbox.lua`.
//!
//! In: a script with its keys and arguments, at a time. Out: the reply. The commands it calls work on the same state
//! as everybody's; their clock stands still while it runs. A script that fails is not rolled back, as in Redis.

mod bridge;
mod host;
mod shebang;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::state::{GcIncParams, GcMode};
use mlua::{Function, Lua, LuaOptions, StdLib, Table};
use rustc_hash::FxHashMap;

pub(crate) use shebang::Shebang;

use self::bridge::{Bridge, Outcome};
use crate::reply::Reply;
use crate::state::State;

/// The name of a script: the SHA-1 of its text in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sha([u8; 40]);

impl Sha {
    pub(crate) fn of(text: &[u8]) -> Self {
        let hex = sha1_smol::Sha1::from(text).digest().to_string();
        Sha(*hex
            .as_bytes()
            .first_chunk()
            .expect("a SHA-1 has 40 hexadecimal digits"))
    }

    /// Reads a name given by a client, in either case.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let mut sha: [u8; 40] = name.try_into().ok()?;
        sha.make_ascii_lowercase();
        Some(Sha(sha))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A round of collecting garbage begins when there is so much memory, in percent of what was alive after the last one…
const GARBAGE_PAUSE: i32 = 140;
/// … and is done at this speed, in percent of that at which memory is taken.
const GARBAGE_STEP: i32 = 1000;

/// Counts down the instructions that the running script may still execute.
#[derive(Debug, Default)]
struct Budget {
    left: Cell<u64>,
    exhausted: Cell<bool>,
}

/// The state of `math.random`, set back before each script.
type RandomState = Rc<Cell<u64>>;

/// The interpreter with its compiled scripts.
pub(crate) struct ScriptEngine {
    lua: Lua,
    environment: Table,
    globals: Table,
    describe: Function,
    compiled: FxHashMap<Sha, Function>,
    budget: Rc<Budget>,
    random: RandomState,
    max_memory: usize,
    /// Below `lua`, because it must go after it.
    bridge: Rc<Bridge>,
}

impl fmt::Debug for ScriptEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ScriptEngine")
            .field("compiled", &self.compiled.len())
            .finish_non_exhaustive()
    }
}

impl ScriptEngine {
    pub(crate) fn new(state: &Rc<RefCell<State>>) -> mlua::Result<Self> {
        let options = LuaOptions::new().catch_rust_panics(false);
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, options)?;
        let max_memory = state.borrow().limits.max_script_memory;
        lua.set_memory_limit(max_memory)?;
        // Scripts leave much garbage and keep nothing: what is used again soon is still in the processor's cache.
        lua.gc_set_mode(GcMode::Incremental(
            GcIncParams::default()
                .pause(GARBAGE_PAUSE)
                .step_multiplier(GARBAGE_STEP),
        ));
        let budget = Rc::new(Budget::default());
        host::limit_instructions(&lua, &budget)?;
        let random = RandomState::default();
        let bridge = Bridge::new(state);
        // SAFETY: the interpreter and the bridge are fields of one struct, which drops the interpreter first.
        let calls = unsafe { bridge.functions(&lua)? };
        let functions = host::functions(&lua, calls, &budget, &random)?;
        let sandbox = lua.load(include_str!("script/sandbox.lua")).set_name("@sandbox");
        let (environment, globals, describe) = sandbox.call(functions)?;
        Ok(ScriptEngine {
            lua,
            environment,
            globals,
            describe,
            compiled: FxHashMap::default(),
            budget,
            random,
            max_memory,
            bridge,
        })
    }

    /// Compiles a script unless that is done; the error is the one for the client.
    pub(crate) fn compile(&mut self, sha: Sha, code: &[u8]) -> Result<(), Reply> {
        if self.compiled.contains_key(&sha) {
            return Ok(());
        }
        let chunk = self
            .lua
            .load(code)
            .set_name("@user_script")
            .set_mode(ChunkMode::Text);
        let function = chunk
            .set_environment(self.environment.clone())
            .into_function()
            .map_err(|error| {
                let reason = match &error {
                    mlua::Error::SyntaxError { message, .. } => message.clone(),
                    other => other.to_string(),
                };
                Reply::error(format!("ERR Error compiling script (new function): {reason}"))
            })?;
        self.compiled.insert(sha, function);
        Ok(())
    }

    pub(crate) fn forget_all(&mut self) {
        self.compiled.clear();
    }

    pub(crate) fn is_compiled(&self, sha: Sha) -> bool {
        self.compiled.contains_key(&sha)
    }

    /// Runs a compiled script; `instructions` is how many it may execute.
    pub(crate) fn run(&self, sha: Sha, keys: &[&[u8]], arguments: &[&[u8]], instructions: u64) -> Reply {
        self.budget.left.set(instructions);
        self.budget.exhausted.set(false);
        self.random.set(host::SEED);
        let parts = (&self.globals, &self.describe, &self.compiled[&sha]);
        let reply = match self.bridge.run(&self.lua, parts, keys, arguments) {
            _ if self.budget.exhausted.get() => Reply::error(format!(
                "ERR Error running script {sha}: it was stopped after {instructions} instructions"
            )),
            Ok(Outcome::Returned(reply)) => reply,
            Ok(Outcome::Failed { text, line }) => failure(sha, text, line),
            Ok(Outcome::Stopped(reason)) => {
                let reason = String::from_utf8_lossy(&reason);
                Reply::error(format!("ERR Error running script {sha}, {reason}"))
            }
            Err(error) => Reply::error(format!("ERR Error running script {sha}: {error}")),
        };
        self.collect_garbage();
        reply
    }

    /// Lua does not look for garbage when memory runs out, so what one script left must not starve the next.
    fn collect_garbage(&self) {
        if self.lua.used_memory() > self.max_memory / 2
            && let Err(error) = self.lua.gc_collect()
        {
            tracing::warn!(%error, "the memory of a script could not be freed");
        }
    }
}

/// The error reply of a script that failed, in Redis' form.
fn failure(sha: Sha, mut text: Vec<u8>, line: Option<i64>) -> Reply {
    if let Some(line) = line {
        text.extend_from_slice(format!(" script: {sha}, on @user_script:{line}.").as_bytes());
    }
    Reply::error(text)
}
