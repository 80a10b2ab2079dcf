//! All that a broker remembers: the data, its clients with their subscriptions and open transactions, the scripts.
//!
//! Commands work on it through a [`Context`], which adds whose command it is and what time it is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::command::Spec;
use crate::database::Database;
use crate::error::CommandError;
use crate::journal::Journal;
use crate::pubsub::{Push, Subscriptions};
use crate::reply::Reply;
use crate::script::{Sha, Shebang};

/// How many numbered key spaces there are (Redis: `databases 16`).
pub(crate) const DATABASES: usize = 16;

/// Names a connection for as long as the key space lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What clients can make grow, and how far.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of data beyond which commands that could add more are refused; 0 for no limit. The measure is an
    /// estimate. (Redis: `maxmemory` with `noeviction`)
    pub max_memory: u64,
    /// Bytes of one string value or one argument. (Redis: `proto-max-bulk-len`)
    pub max_value_bytes: usize,
    /// Commands between MULTI and EXEC.
    pub max_transaction_commands: usize,
    /// Bytes of arguments between MULTI and EXEC.
    pub max_transaction_bytes: usize,
    /// Channels and patterns that one client subscribes.
    pub max_subscriptions: usize,
    /// Scripts that are kept for EVALSHA.
    pub max_scripts: usize,
    /// Lua instructions that one script call may execute before it is stopped.
    pub max_script_instructions: u64,
    /// Bytes that the Lua interpreter may allocate.
    pub max_script_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_memory: 2 << 30,
            max_value_bytes: 512 << 20,
            max_transaction_commands: 100_000,
            max_transaction_bytes: 64 << 20,
            max_subscriptions: 100_000,
            max_scripts: 10_000,
            max_script_instructions: 200_000_000,
            max_script_memory: 512 << 20,
        }
    }
}

/// One connection's side of the conversation.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) name: Bytes,
    pub(crate) database: usize,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) channels: BTreeSet<Bytes>,
    pub(crate) patterns: BTreeSet<Bytes>,
}

impl Client {
    pub(crate) fn subscription_count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}

/// The commands queued since MULTI.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queued: Vec<(&'static Spec, Vec<Bytes>)>,
    pub(crate) bytes: usize,
    /// A command was refused while queuing, so EXEC must refuse the rest.
    pub(crate) broken: bool,
}

/// A script kept for EVALSHA.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) text: Bytes,
    pub(crate) shebang: Shebang,
}

/// The script that is running right now.
#[derive(Debug)]
pub(crate) struct ScriptRun {
    pub(crate) now_us: u64,
    pub(crate) client: ClientId,
    pub(crate) database: usize,
    pub(crate) read_only: bool,
    /// Commands that could add data are refused: memory was over the limit when the script began.
    pub(crate) deny_growth: bool,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) databases: Vec<Database>,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    pub(crate) last_client: u64,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) scripts: BTreeMap<Sha, Script>,
    pub(crate) script_bytes: usize,
    pub(crate) pushes: Vec<(ClientId, Push)>,
    pub(crate) running: Option<ScriptRun>,
    pub(crate) journal: Journal,
    /// What is executed was executed before, so no limit stands against it.
    pub(crate) replaying: bool,
    /// Set while the append log cannot be written: the error for commands that would change data.
    pub(crate) refuse_changes: Option<String>,
    /// Whether the data is also kept in an append log; INFO and CONFIG GET tell it.
    pub(crate) appends: bool,
}

impl State {
    pub(crate) fn new(limits: Limits) -> Self {
        State {
            limits,
            databases: vec![Database::default(); DATABASES],
            clients: BTreeMap::new(),
            last_client: 0,
            subscriptions: Subscriptions::default(),
            scripts: BTreeMap::new(),
            script_bytes: 0,
            pushes: Vec::new(),
            running: None,
            journal: Journal::default(),
            replaying: false,
            refuse_changes: None,
            appends: false,
        }
    }

    /// An estimate of the bytes that data and scripts occupy.
    pub(crate) fn used_memory(&self) -> u64 {
        let data: usize = self.databases.iter().map(Database::memory).sum();
        (data + self.script_bytes) as u64
    }

    pub(crate) fn over_memory(&self) -> bool {
        let limit = self.limits.max_memory;
        !self.replaying && limit != 0 && self.used_memory() > limit
    }

    /// Fails while changes cannot be recorded.
    pub(crate) fn check_changes_allowed(&self) -> Result<(), CommandError> {
        self.refuse_changes
            .as_ref()
            .map_or(Ok(()), |reason| Err(CommandError::other(reason)))
    }

    /// Grows with every change of data in any database.
    pub(crate) fn changes(&self) -> u64 {
        self.databases.iter().map(Database::changes).sum()
    }
}

/// A command's view of the broker.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now_us: u64,
    pub(crate) client: ClientId,
    pub(crate) database: usize,
}

/// What a command's function returns.
pub(crate) type Outcome = Result<Reply, CommandError>;

impl Context<'_> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// The selected database, and the time in milliseconds that all its methods ask for.
    pub(crate) fn data(&mut self) -> (&mut Database, u64) {
        let now = self.now_ms();
        (&mut self.state.databases[self.database], now)
    }

    pub(crate) fn client_mut(&mut self) -> &mut Client {
        self.state.clients.entry(self.client).or_default()
    }
}
