//! The broker as a pure state machine: commands and the time in; replies and messages for subscribers out.
//!
//! It does no I/O, reads no clock and draws no random number, so the same calls give the same answers.

mod scripts;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use crate::command::{Action, Control, GROWS, IMMEDIATE, NO_TRANSACTION, SUBSCRIBER, Spec, WRITE};
use crate::database::Database;
use crate::error::CommandError;
use crate::journal::Record;
use crate::pubsub::Push;
use crate::reply::Reply;
use crate::script::{ScriptEngine, Sha};
use crate::state::{Client, ClientId, Context, Limits, Script, State, Transaction};
use crate::value::owned;

/// Whose commands a replay executes; no connection has this number.
const REPLAY: ClientId = ClientId(0);

/// The data and the scripts at one moment. Cloning and taking one is cheap: values are shared until they change.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) databases: Vec<Database>,
    pub(crate) scripts: std::collections::BTreeMap<Sha, Script>,
}

/// A Redis-like broker without sockets and clock.
#[derive(Debug)]
pub struct Keyspace {
    state: Rc<RefCell<State>>,
    engine: ScriptEngine,
}

impl Keyspace {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        let state = Rc::new(RefCell::new(State::new(limits)));
        let engine = ScriptEngine::new(&state).expect("the sandbox fits into any sensible memory limit");
        Keyspace { state, engine }
    }

    /// A client appears.
    pub fn connect(&mut self) -> ClientId {
        let mut state = self.state.borrow_mut();
        state.last_client += 1;
        let client = ClientId(state.last_client);
        state.clients.insert(client, Client::default());
        client
    }

    /// A client is gone, with its subscriptions and its open transaction.
    pub fn disconnect(&mut self, client: ClientId) {
        let mut state = self.state.borrow_mut();
        state.unsubscribe_all(client);
        state.clients.remove(&client);
    }

    /// Executes one command of a client. `now_us` is Unix time in microseconds; it must not run backwards.
    pub fn execute<A: AsRef<[u8]>>(&mut self, now_us: u64, client: ClientId, command: &[A]) -> Reply {
        let arguments: Vec<&[u8]> = command.iter().map(AsRef::as_ref).collect();
        let reply = self.accept(now_us, client, &arguments).unwrap_or_else(|error| {
            if let Some(transaction) = self.transaction(client).as_mut() {
                transaction.broken = true;
            }
            Reply::error(error.to_string())
        });
        debug_assert!(self.state.borrow().running.is_none());
        reply
    }

    /// The messages for subscribers since the last call, in the order of publication.
    pub fn take_pushes(&mut self) -> Vec<(ClientId, Push)> {
        std::mem::take(&mut self.state.borrow_mut().pushes)
    }

    /// Removes keys whose time is over, at most `limit` in each database; returns how many. Not needed for right
    /// answers, only for memory.
    pub fn expire_due(&mut self, now_us: u64, limit: usize) -> usize {
        let mut state = self.state.borrow_mut();
        state
            .databases
            .iter_mut()
            .map(|database| database.expire_due(now_us / 1000, limit))
            .sum()
    }

    /// An estimate of the bytes that data and scripts occupy.
    pub fn used_memory(&self) -> u64 {
        self.state.borrow().used_memory()
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.state.borrow().clients.len()
    }

    /// The data and the scripts as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.borrow();
        Snapshot {
            databases: state.databases.clone(),
            scripts: state.scripts.clone(),
        }
    }

    /// Puts other data and scripts in the place of the present ones. Clients and subscriptions stay.
    pub fn restore(&mut self, snapshot: Snapshot) {
        let mut state = self.state.borrow_mut();
        state.script_bytes = snapshot.scripts.values().map(|script| script.text.len()).sum();
        state.databases = snapshot.databases;
        state.scripts = snapshot.scripts;
        self.engine.forget_all();
    }

    /// Begins to record what changes data, for [`Self::take_journal`].
    pub fn record_journal(&mut self) {
        let mut state = self.state.borrow_mut();
        state.journal.recording = true;
        state.appends = true;
    }

    /// The records since the last call, encoded one after the other (see [`Record`]).
    pub fn take_journal(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.state.borrow_mut().journal.bytes)
    }

    /// Begins to record what changes data, for [`Self::take_records`]; changes of the set of scripts are left out.
    pub fn record_steps(&mut self) {
        let mut state = self.state.borrow_mut();
        state.journal.recording = true;
        state.journal.unencoded = true;
    }

    /// The steps since the last call, for who has no use for bytes.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.state.borrow_mut().journal.records)
    }

    /// Refuses commands that change data with this error, until `None` is given. For a caller that cannot write the
    /// journal down.
    pub fn refuse_changes(&mut self, error: Option<String>) {
        self.state.borrow_mut().refuse_changes = error;
    }

    /// Executes a record again. Nobody is told: no replies, no messages, nothing recorded.
    pub fn replay(&mut self, record: &Record) {
        let recording = {
            let mut state = self.state.borrow_mut();
            state.replaying = true;
            std::mem::replace(&mut state.journal.recording, false)
        };
        let database = usize::from(record.database) % crate::state::DATABASES;
        for command in &record.commands {
            let arguments: Vec<&[u8]> = command.iter().map(|argument| &argument[..]).collect();
            if let Some(spec) = Spec::find(command.first().map_or(b"", |name| &name[..])) {
                // What failed the first time fails again; what it changed before is changed again.
                drop(self.perform(record.now_us, REPLAY, database, spec, &arguments));
            }
        }
        let mut state = self.state.borrow_mut();
        state.replaying = false;
        state.journal.recording = recording;
        state.pushes.clear();
        state.clients.remove(&REPLAY);
    }

    fn transaction(&self, client: ClientId) -> std::cell::RefMut<'_, Option<Transaction>> {
        let state = self.state.borrow_mut();
        std::cell::RefMut::map(state, |state| {
            &mut state.clients.entry(client).or_default().transaction
        })
    }

    /// Checks a command in the order in which Redis does, then queues or executes it.
    fn accept(&mut self, now_us: u64, client: ClientId, arguments: &[&[u8]]) -> Result<Reply, CommandError> {
        let name = arguments.first().copied().unwrap_or_default();
        let spec = Spec::find(name).ok_or_else(|| unknown_command(arguments))?;
        if !spec.accepts(arguments.len()) {
            return Err(CommandError::Arity(spec.name.into()));
        }
        let mut state = self.state.borrow_mut();
        if spec.has(GROWS) && state.over_memory() {
            return Err(CommandError::OutOfMemory);
        }
        if spec.has(WRITE) {
            state.check_changes_allowed()?;
        }
        let (limit, byte_limit) = (
            state.limits.max_transaction_commands,
            state.limits.max_transaction_bytes,
        );
        let peer = state.clients.entry(client).or_default();
        if peer.subscription_count() > 0 && !spec.has(SUBSCRIBER) {
            return Err(CommandError::other(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                 in this context",
                spec.name
            )));
        }
        let database = peer.database;
        if let Some(transaction) = peer.transaction.as_mut().filter(|_| !spec.has(IMMEDIATE)) {
            if spec.has(NO_TRANSACTION) {
                return Err(CommandError::other(
                    "ERR Command not allowed inside a transaction",
                ));
            }
            let bytes: usize = arguments.iter().map(|argument| argument.len()).sum();
            if transaction.queued.len() >= limit || transaction.bytes + bytes > byte_limit {
                return Err(CommandError::other(format!(
                    "ERR a transaction may have at most {limit} commands and {byte_limit} bytes; this one is discarded"
                )));
            }
            transaction.bytes += bytes;
            transaction
                .queued
                .push((spec, arguments.iter().map(|argument| owned(argument)).collect()));
            return Ok(Reply::Simple(Bytes::from_static(b"QUEUED")));
        }
        drop(state);
        if let Action::Control(control @ (Control::Multi | Control::Exec | Control::Discard)) = spec.action {
            return self.transact(now_us, client, database, control);
        }
        let reply = self.perform_and_note(now_us, client, database, spec, arguments);
        self.state.borrow_mut().journal.end_step(now_us, database);
        Ok(reply)
    }

    /// Executes a command and notes for the journal if it changed something. Scripts note what they call themselves.
    fn perform_and_note(
        &mut self,
        now_us: u64,
        client: ClientId,
        database: usize,
        spec: &Spec,
        arguments: &[&[u8]],
    ) -> Reply {
        let notes_itself = matches!(spec.action, Action::Control(Control::Eval));
        if notes_itself || !self.state.borrow().journal.recording {
            return self.perform(now_us, client, database, spec, arguments);
        }
        let before = self.state.borrow().changes();
        let reply = self.perform(now_us, client, database, spec, arguments);
        let mut state = self.state.borrow_mut();
        if state.changes() != before {
            state.journal.note(arguments);
        }
        reply
    }

    fn transact(
        &mut self,
        now_us: u64,
        client: ClientId,
        database: usize,
        control: Control,
    ) -> Result<Reply, CommandError> {
        let mut open = self.transaction(client);
        match (control, open.take()) {
            (Control::Multi, None) => *open = Some(Transaction::default()),
            (Control::Multi, nested) => {
                *open = nested;
                drop(open);
                return Ok(Reply::error("ERR MULTI calls can not be nested"));
            }
            (Control::Discard, None) => return Err(CommandError::other("ERR DISCARD without MULTI")),
            (Control::Discard, Some(_)) => {}
            (_, None) => return Err(CommandError::other("ERR EXEC without MULTI")),
            (_, Some(transaction)) if transaction.broken => {
                let message = "EXECABORT Transaction discarded because of previous errors.";
                return Err(CommandError::other(message));
            }
            (_, Some(transaction)) => {
                drop(open);
                return Ok(self.execute_queued(now_us, client, database, &transaction));
            }
        }
        Ok(Reply::OK)
    }

    fn execute_queued(
        &mut self,
        now_us: u64,
        client: ClientId,
        mut database: usize,
        transaction: &Transaction,
    ) -> Reply {
        let arguments: Vec<Vec<&[u8]>> = transaction
            .queued
            .iter()
            .map(|(_, arguments)| arguments.iter().map(|argument| &argument[..]).collect())
            .collect();
        let mut replies = Vec::with_capacity(arguments.len());
        for ((spec, _), arguments) in transaction.queued.iter().zip(&arguments) {
            replies.push(self.perform_and_note(now_us, client, database, spec, arguments));
            let selected = self
                .state
                .borrow()
                .clients
                .get(&client)
                .map_or(database, |peer| peer.database);
            if selected != database {
                // A record knows one database only.
                self.state.borrow_mut().journal.end_step(now_us, database);
                database = selected;
            }
        }
        self.state.borrow_mut().journal.end_step(now_us, database);
        Reply::Array(replies)
    }

    /// Executes a command that has passed all checks.
    fn perform(
        &mut self,
        now_us: u64,
        client: ClientId,
        database: usize,
        spec: &Spec,
        arguments: &[&[u8]],
    ) -> Reply {
        let outcome = match spec.action {
            Action::Run(function) => {
                let mut state = self.state.borrow_mut();
                function(
                    &mut Context {
                        state: &mut state,
                        now_us,
                        client,
                        database,
                    },
                    arguments,
                )
            }
            Action::Control(Control::Eval) => self
                .load_script(now_us, arguments[1])
                .and_then(|sha| self.eval(now_us, client, database, sha, arguments)),
            Action::Control(Control::EvalSha) => Sha::parse(arguments[1])
                .ok_or(CommandError::NoScript)
                .and_then(|sha| self.eval(now_us, client, database, sha, arguments)),
            Action::Control(Control::Script) => self.script(now_us, arguments),
            Action::Control(Control::Multi | Control::Exec | Control::Discard) => Err(CommandError::other(
                "ERR Command not allowed inside a transaction",
            )),
        };
        outcome.unwrap_or_else(|error| Reply::error(error.to_string()))
    }
}

fn unknown_command(arguments: &[&[u8]]) -> CommandError {
    let name = arguments.first().map(|name| {
        String::from_utf8_lossy(name)
            .chars()
            .take(128)
            .collect::<String>()
    });
    let mut shown = String::new();
    for argument in arguments.iter().skip(1) {
        if shown.len() >= 128 {
            break;
        }
        let room = 128 - shown.len();
        let argument = String::from_utf8_lossy(argument);
        shown.push_str(&format!("'{}' ", argument.chars().take(room).collect::<String>()));
    }
    let name = name.unwrap_or_default();
    CommandError::other(format!(
        "ERR unknown command '{name}', with args beginning with: {shown}"
    ))
}
