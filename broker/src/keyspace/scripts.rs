//! EVAL, EVALSHA and SCRIPT, and what goes to the journal.

use std::cell::RefCell;
use std::rc::Rc;

use super::Keyspace;
use crate::error::CommandError;
use crate::journal;
use crate::number::parse_integer;
use crate::reply::Reply;
use crate::script::{Sha, Shebang};
use crate::state::{ClientId, Script, ScriptRun, State};
use crate::value::owned;

impl Keyspace {
    /// Keeps and compiles a script; returns its name.
    pub(super) fn load_script(&mut self, now_us: u64, text: &[u8]) -> Result<Sha, CommandError> {
        let sha = Sha::of(text);
        if self.state.borrow().scripts.contains_key(&sha) {
            return Ok(sha);
        }
        self.state.borrow().check_changes_allowed()?;
        let limit = self.state.borrow().limits.max_scripts;
        if self.state.borrow().scripts.len() >= limit {
            return Err(CommandError::other(format!(
                "ERR {limit} scripts are kept already; empty the cache with SCRIPT FLUSH, and pass varying values as \
                 arguments instead of putting them into the text"
            )));
        }
        let (shebang, code) = Shebang::split(text).map_err(CommandError::other)?;
        self.compile(sha, code)?;
        let mut state = self.state.borrow_mut();
        state.script_bytes += text.len();
        state.scripts.insert(
            sha,
            Script {
                text: owned(text),
                shebang,
            },
        );
        drop(state);
        self.record_script_command(now_us, &[b"SCRIPT", b"LOAD", text]);
        Ok(sha)
    }

    fn compile(&mut self, sha: Sha, code: &[u8]) -> Result<(), CommandError> {
        self.engine.compile(sha, code).map_err(|reply| match reply {
            Reply::Error(text) => CommandError::other(String::from_utf8_lossy(&text)),
            _ => CommandError::NoScript,
        })
    }

    /// Compiles a kept script, if that has not been done since the data was last replaced.
    fn compile_known(&mut self, sha: Sha) -> Result<(), CommandError> {
        if self.engine.is_compiled(sha) {
            return Ok(());
        }
        let script = self
            .state
            .borrow()
            .scripts
            .get(&sha)
            .cloned()
            .ok_or(CommandError::NoScript)?;
        let (_, code) = Shebang::split(&script.text).map_err(CommandError::other)?;
        self.compile(sha, code)
    }

    /// Runs the script `sha` with the keys and arguments of an EVAL or EVALSHA.
    pub(super) fn eval(
        &mut self,
        now_us: u64,
        client: ClientId,
        database: usize,
        sha: Sha,
        arguments: &[&[u8]],
    ) -> Result<Reply, CommandError> {
        let (keys, values) = split_keys(arguments)?;
        let shebang = match self.state.borrow().scripts.get(&sha) {
            Some(script) => script.shebang,
            None => return Err(CommandError::NoScript),
        };
        self.compile_known(sha)?;
        let Shebang {
            present,
            no_writes,
            allow_oom,
        } = shebang;
        let mut state = self.state.borrow_mut();
        if present && !no_writes {
            state.check_changes_allowed()?;
        }
        let over_memory = state.over_memory() && !allow_oom;
        if over_memory && present && !no_writes {
            return Err(CommandError::OutOfMemory);
        }
        let instructions = state.limits.max_script_instructions;
        let read_only = no_writes;
        state.running = Some(ScriptRun {
            now_us,
            client,
            database,
            read_only,
            deny_growth: over_memory,
        });
        drop(state);
        let running = Running(&self.state);
        let reply = self.engine.run(sha, keys, values, instructions);
        drop(running);
        Ok(reply)
    }

    pub(super) fn script(&mut self, now_us: u64, arguments: &[&[u8]]) -> Result<Reply, CommandError> {
        let subcommand = String::from_utf8_lossy(arguments[1]).to_ascii_lowercase();
        match (subcommand.as_str(), &arguments[2..]) {
            ("load", [text]) => Ok(Reply::bulk(self.load_script(now_us, text)?.as_bytes())),
            ("exists", names @ [_, ..]) => {
                let state = self.state.borrow();
                let known =
                    |name: &&[u8]| Sha::parse(name).is_some_and(|sha| state.scripts.contains_key(&sha));
                Ok(Reply::Array(
                    names
                        .iter()
                        .map(|name| Reply::Integer(i64::from(known(name))))
                        .collect(),
                ))
            }
            ("flush", _) if self.state.borrow().refuse_changes.is_some() => {
                self.state.borrow().check_changes_allowed().map(|()| Reply::OK)
            }
            ("flush", [] | [b"sync" | b"SYNC" | b"async" | b"ASYNC"]) => {
                let mut state = self.state.borrow_mut();
                state.scripts.clear();
                state.script_bytes = 0;
                drop(state);
                self.engine.forget_all();
                self.record_script_command(now_us, &[b"SCRIPT", b"FLUSH"]);
                Ok(Reply::OK)
            }
            ("flush", _) => Err(CommandError::other(
                "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
            )),
            ("load" | "exists", _) => Err(CommandError::Arity(format!("script|{subcommand}"))),
            _ => {
                let subcommand = String::from_utf8_lossy(arguments[1]).into_owned();
                Err(CommandError::UnknownSubcommand {
                    command: "SCRIPT",
                    subcommand,
                })
            }
        }
    }

    /// Records a change of the set of scripts, which a replay needs to know before a script is called by its name.
    fn record_script_command(&self, now_us: u64, arguments: &[&[u8]]) {
        let journal = &mut self.state.borrow_mut().journal;
        if journal.recording && !journal.unencoded {
            journal::encode(&mut journal.bytes, now_us, 0, &[arguments]);
        }
    }
}

/// While it lives a script is running; it ends also when the script unwinds.
struct Running<'a>(&'a Rc<RefCell<State>>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().running = None;
    }
}

type Arguments<'a, 'b> = &'a [&'b [u8]];

/// The keys and the other arguments of an EVAL.
fn split_keys<'a, 'b>(
    arguments: Arguments<'a, 'b>,
) -> Result<(Arguments<'a, 'b>, Arguments<'a, 'b>), CommandError> {
    let count = parse_integer(arguments[2]).ok_or(CommandError::NotInteger)?;
    let rest = &arguments[3..];
    let count =
        usize::try_from(count).map_err(|_| CommandError::other("ERR Number of keys can't be negative"))?;
    rest.split_at_checked(count)
        .ok_or_else(|| CommandError::other("ERR Number of keys can't be greater than number of args"))
}
