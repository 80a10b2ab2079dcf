//! The store: which scripts there are, and calls of them as plain data.
//!
//! Each event of the cluster is one script, state change and PUBLISH together, so there is never half a step. The
//! scripts are the place where the ticket contract is kept: `scripts/` has one file a script, `library/` the functions that
//! they share, `voice/` their JSON ([`library`] puts the texts together). What goes in and out is in [`protocol`].

mod library;
pub mod protocol;
mod reply;

pub use reply::{Reply, Value};

use crate::instance::Dialect;

/// A script of the cluster.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[repr(u8)]
pub enum Script {
    /// A new incarnation of an instance.
    Join,
    /// Heartbeat and longer lease.
    Renew,
    /// Declares members dead whose lease is over.
    MarkDead,
    /// A member goes in good order.
    Leave,
    /// Stewardship of a partition.
    Take,
    /// A request begins to exist.
    Accept,
    /// Right before the datagram of what may be sent once.
    Begin,
    /// The outcome of a ticket.
    Finish,
    /// What a token asked for.
    Peek,
    /// A device's answer goes to the instance that waits for it.
    Forward,
    /// Deadlines, dead holders, lost dispatches.
    Sweep,
    /// Lifetimes.
    Expire,
    /// Register (LwM2M TS 1.1, 6.2.1).
    Register,
    /// Update (LwM2M TS 1.1, 6.2.2).
    Update,
    /// De-register (LwM2M TS 1.1, 6.2.3).
    Deregister,
}

impl Script {
    /// All scripts; each is at the index of its number.
    pub const ALL: [Script; 15] = [
        Script::Join,
        Script::Renew,
        Script::MarkDead,
        Script::Leave,
        Script::Take,
        Script::Accept,
        Script::Begin,
        Script::Finish,
        Script::Peek,
        Script::Forward,
        Script::Sweep,
        Script::Expire,
        Script::Register,
        Script::Update,
        Script::Deregister,
    ];

    /// Its place in [`Script::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// True for scripts about members, which have no partition's context.
    pub fn is_about_members(self) -> bool {
        matches!(
            self,
            Script::Join | Script::Renew | Script::MarkDead | Script::Leave
        )
    }

    /// The Lua text in a dialect, to be loaded with SCRIPT LOAD on every new connection.
    pub fn source_in(self, dialect: Dialect) -> &'static str {
        library::text(self, dialect)
    }

    /// The Lua text in the dialect that clusters speak if they are not told otherwise.
    pub fn source(self) -> &'static str {
        self.source_in(Dialect::Wiki)
    }

    /// Every status with which it can answer.
    pub fn statuses(self) -> &'static [&'static str] {
        protocol::replies::statuses(self)
    }
}

/// One call of a script: `EVALSHA script 1 key args…`.
#[derive(Clone, Debug)]
pub struct Call {
    /// Names the call in its reply.
    pub id: u64,
    /// Which script.
    pub script: Script,
    /// The one key; the script derives the others.
    pub key: String,
    /// The arguments.
    pub args: Vec<Vec<u8>>,
}
