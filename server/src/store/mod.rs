//! The store: which scripts there are, and calls of them as plain data.
//!
//! Each event of the cluster is one script, state change and PUBLISH together, so there is never half a step. The
//! scripts are the place where the ticket contract is kept; `scripts/` has one file a script, and the shared openings.

mod reply;

pub use reply::{Reply, Value};

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

/// Scripts that end things run even when Redis is full, and so do those without which nobody could end anything; those
/// that begin something are refused before their first write.
///
/// Lua makes each function anew whenever a script runs, so a script has only the openings that it needs. What it needs
/// seldom is in `on_demand`, which makes the named functions when it is called and returns a table of them.
macro_rules! source {
    (ends: $($file:literal),+ $(; on_demand $names:tt: $($rare:literal),+; $($rest:literal),+)?) => {
        concat!("#!lua flags=allow-oom\n", parts!($($file),+), $(rare!($names, $($rare),+), parts!($($rest),+))?)
    };
    (begins: $($file:literal),+ $(; on_demand $names:tt: $($rare:literal),+; $($rest:literal),+)?) => {
        concat!("#!lua\n", parts!($($file),+), $(rare!($names, $($rare),+), parts!($($rest),+))?)
    };
}

/// Files one after the other.
macro_rules! parts {
    ($($file:literal),+) => { concat!($(include_str!(concat!("scripts/", $file, ".lua")), "\n"),+) };
}

/// A function that makes what is in these files and returns a table of what is named.
macro_rules! rare {
    ([$($name:literal),+], $($file:literal),+) => {
        concat!(
            "local function on_demand()\n",
            parts!($($file),+),
            "return {", $($name, " = ", $name, ", "),+, "}\nend\n"
        )
    };
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

    /// The Lua text, to be loaded with SCRIPT LOAD on every new connection.
    pub fn source(self) -> &'static str {
        match self {
            Script::Join => source!(ends: "members", "suspension", "join"),
            Script::Renew => source!(ends: "members", "suspension", "renew"),
            Script::MarkDead => source!(ends: "members", "mark_dead"),
            Script::Leave => source!(ends: "members", "leave"),
            Script::Take => source!(ends: "base", "generation", "step", "tell", "take"),
            Script::Accept => source!(
                begins: "base", "stewardship", "step", "steward", "say", "tell", "claim", "dispatch";
                on_demand ["load_ticket", "next_turn", "tell_again"]: "ticket", "slots", "turns", "again";
                "accept"
            ),
            Script::Begin => source!(ends: "base", "generation", "step", "begin"),
            Script::Finish => source!(
                ends: "base", "generation", "step", "tell", "say", "ticket", "slots", "outcome";
                on_demand ["next_turn"]: "claim", "dispatch", "turns";
                "finish"
            ),
            Script::Peek => source!(ends: "base", "generation", "step", "ticket", "peek"),
            Script::Forward => source!(ends: "base", "generation", "step", "tell", "forward"),
            Script::Sweep => source!(
                ends: "base", "stewardship", "step", "steward";
                on_demand ["go_through"]:
                "tell", "say", "ticket", "slots", "claim", "dispatch", "turns", "again", "move", "outcome", "error",
                "journal";
                "sweep"
            ),
            Script::Expire => source!(
                ends: "base", "stewardship", "step", "steward";
                on_demand ["bury_registration"]:
                "tell", "say", "ticket", "slots", "outcome", "error", "registration", "bury";
                "expire"
            ),
            Script::Register => source!(
                begins: "base", "generation", "step", "tell", "claim", "registration", "lifetime", "uplink";
                on_demand ["end_unclear", "begin_anew", "next_turn"]:
                "say", "ticket", "slots", "dispatch", "turns", "move", "outcome", "error", "replace";
                "register"
            ),
            Script::Update => source!(
                begins: "base", "generation", "step", "claim", "registration", "uplink";
                on_demand ["change_way", "change_members", "merge_attributes", "tell_if_earliest", "next_turn"]:
                "tell", "ticket", "slots", "dispatch", "turns", "lifetime", "way", "attributes", "pieces";
                "update"
            ),
            Script::Deregister => source!(
                ends: "base", "generation", "step", "tell", "say", "ticket", "slots", "outcome", "error",
                "registration", "uplink", "bury", "deregister"
            ),
        }
    }
}

/// The number of arguments that every script of a partition begins with.
pub const CONTEXT_ARGUMENTS: usize = 10;
/// Where the caller's lease stands among the arguments: it is renewed when a call is sent again.
pub const LEASE_ARGUMENT: usize = 1;

/// Where an accept says that its request is not new.
pub const REPLAY_ARGUMENT: usize = CONTEXT_ARGUMENTS + 8;

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
