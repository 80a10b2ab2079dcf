//! The one table of everything a scenario file can say. The reader takes its known keys and names from here, and
//! `simulator schema` renders it as JSON Schema.

mod fault;
mod json;

use std::ops::RangeInclusive;

use super::{BalancerPolicy, Unhealthy};
use crate::operation::REQUEST_NAMES;
use crate::targets::MAX_INSTANCES;

pub use fault::FAULT;
pub use json::json_schema;

/// One simulator process addresses its devices in 127.0.0.0/8; this is far beyond what was ever run.
pub const MAX_DEVICES: u32 = 1_000_000;
/// The largest payload of a UDP datagram.
const MAX_DATAGRAM: i64 = 65_507;

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// As in the file.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// A value as it would be written.
    pub example: &'static str,
    /// What the example is.
    pub role: Role,
    /// One sentence.
    pub doc: &'static str,
}

/// Whether a key has to be there.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The table means nothing without it.
    Required,
    /// Without it, things are as with the example.
    Default,
    /// It need not be there, and the example is no more than that.
    Optional,
}

/// Names that a value can take, and those that are planned but not there yet.
#[derive(Debug)]
pub struct Names {
    /// Can be used.
    pub now: &'static [&'static str],
    /// Are known, and refused with a clear message.
    pub later: &'static [&'static str],
}

/// What a key holds.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A list of whole numbers.
    Integers,
    /// A whole number in this range.
    Integer(RangeInclusive<i64>),
    /// Any number.
    Number,
    /// A number above zero.
    Rate,
    /// 0 to 1, or `"2%"`.
    Share,
    /// `"200ms"`
    Duration,
    /// true or false.
    Flag,
    /// One of these names.
    OneOf(Names),
    /// One of these names, a list of them, or a table of weights.
    Mix(Names),
    /// A path, a list of paths, or a table of these by kind.
    Paths,
    /// A request timeout: milliseconds or a duration.
    Timeout,
    /// An id, an index or one of these names.
    Instance(&'static [&'static str]),
    /// A table.
    Table(&'static [Key]),
    /// Tables, `[[name]]`.
    Tables(&'static [Key]),
    /// A table, or several, `[[name]]`.
    OneOrMany(&'static [Key]),
    /// Limits by path of report.json.
    Limits,
    /// Known, but not there yet.
    Later,
}

const fn key(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        example,
        role: Role::Optional,
        doc,
    }
}

impl Key {
    const fn required(self) -> Key {
        self.with(Role::Required)
    }

    const fn default(self) -> Key {
        self.with(Role::Default)
    }

    const fn with(mut self, role: Role) -> Key {
        self.role = role;
        self
    }
}

/// The top level.
pub const SCENARIO: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "\"failover\"",
        "Names the report directory; letters, digits, - and _.",
    )
    .required(),
    key(
        "question",
        Kind::Text,
        "\"What do devices see when …?\"",
        "What the run answers, in one sentence.",
    )
    .required(),
    key(
        "seed",
        Kind::Integer(0..=i64::MAX),
        "42",
        "Decides every random choice.",
    )
    .default(),
    key(
        "duration",
        Kind::Duration,
        "\"40s\"",
        "How long load and faults last; open tickets may end after it.",
    )
    .required(),
    key(
        "calm",
        Kind::Duration,
        "\"60s\"",
        "After the drain all faults are over, every device registers again and is asked once: within this time each has \
         answered, no ticket is open and the broker keeps nothing that nobody refers to. None without it. Only \
         `--virtual`.",
    ),
    key("cluster", Kind::Table(CLUSTER), "", "The servers under test."),
    key(
        "devices",
        Kind::OneOrMany(DEVICES),
        "",
        "The fleet: [devices], or [[devices]] for each group of devices that are alike.",
    ),
    key(
        "balancer",
        Kind::Table(BALANCER),
        "",
        "What stands between fleet and cluster.",
    ),
    key("load", Kind::Tables(LOAD), "", "What the back end asks for."),
    key("fault", Kind::Tables(FAULT), "", "What goes wrong."),
    key(
        "expect",
        Kind::Limits,
        "",
        "The pass/fail line: a limit for each path of report.json that matters.",
    ),
];

/// `[cluster]`
pub const CLUSTER: &[Key] = &[
    key(
        "instances",
        Kind::Integer(1..=MAX_INSTANCES as i64),
        "3",
        "How many instances; their ids are A, B, C …",
    )
    .default(),
    key(
        "redis",
        Kind::Text,
        "\"auto\"",
        "auto, embedded or redis://…; --redis and REDIS_URL win.",
    )
    .default(),
    key(
        "lease",
        Kind::Duration,
        "\"1s\"",
        "How long a member lives without renewing its lease.",
    )
    .default(),
    key(
        "channel_prefix",
        Kind::Text,
        "\"\"",
        "Put before every channel name.",
    )
    .default(),
    key("log", Kind::Text, "\"info\"", "The log filter of the instances.").default(),
    key(
        "arguments",
        Kind::Texts,
        "[]",
        "Further arguments of every instance.",
    )
    .default(),
    key(
        "launch",
        Kind::Later,
        "",
        "Another implementation to test instead of the built-in server.",
    ),
];

/// `[devices]`
pub const DEVICES: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "\"mains\"",
        "What a load calls this group of devices; letters, digits, - and _.",
    ),
    key("count", Kind::Integer(1..=MAX_DEVICES as i64), "1000", "How many devices.").default(),
    key(
        "share",
        Kind::Share,
        "0.1",
        "Instead of count: this share of all devices; other groups have a count.",
    ),
    key(
        "endpoint",
        Kind::Text,
        "\"dev-{n}\"",
        "The endpoint name; {n}, or {n:05} with leading zeros, is the number of the device, from 0 through all groups.",
    ).default(),
    key(
        "security",
        Kind::OneOf(Names {
            now: &["none"],
            later: &["psk"],
        }),
        "\"none\"",
        "How the devices secure their datagrams.",
    ).default(),
    key(
        "lifetime",
        Kind::Duration,
        "\"60s\"",
        "The registration lifetime, in whole seconds.",
    ).default(),
    key(
        "binding",
        Kind::OneOf(Names {
            now: &["U"],
            later: &["UQ", "Q"],
        }),
        "\"U\"",
        "The binding mode.",
    ).default(),
    key("register_rate", Kind::Rate, "500", "New devices per second.").default(),
    key(
        "deduplicate",
        Kind::Share,
        "1.0",
        "The share of devices that recognise a copy of a request (RFC 7252, 4.5); the others execute it again.",
    ).default(),
    key(
        "separate",
        Kind::Share,
        "0.0",
        "The share of devices that acknowledge a request and answer later in a message of its own, CON or NON.",
    ).default(),
    key(
        "reject",
        Kind::Share,
        "0.0",
        "The share of requests that devices reject with a Reset.",
    ).default(),
    key(
        "nonsense",
        Kind::Share,
        "0.0",
        "The share of reads that devices answer so that nobody can read it: broken content, blocks, an unknown critical option; they end with UNDECODABLE.",
    ).default(),
    key(
        "network",
        Kind::Table(NETWORK),
        "",
        "What the network does to each datagram, in each direction.",
    ),
];

/// `devices.network`, `fault.network`
pub const NETWORK: &[Key] = &[
    key("latency", Kind::Duration, "\"0s\"", "The least delay.").default(),
    key(
        "jitter",
        Kind::Duration,
        "\"0s\"",
        "Added to it, uniform between zero and this.",
    )
    .default(),
    key("loss", Kind::Share, "0.0", "The share that vanishes.").default(),
    key("duplicate", Kind::Share, "0.0", "The share that arrives twice.").default(),
    key(
        "duplicate_delay",
        Kind::Duration,
        "\"0s\"",
        "A copy comes by up to so much later, as old as a datagram may be: 247 s.",
    )
    .default(),
    key(
        "mtu",
        Kind::Integer(0..=MAX_DATAGRAM),
        "1280",
        "Datagrams with more bytes of payload vanish; 0: none does.",
    ),
    key(
        "reorder",
        Kind::Share,
        "0.0",
        "The share that later ones overtake.",
    )
    .default(),
];

/// `[balancer]`
pub const BALANCER: &[Key] = &[
    key(
        "policy",
        Kind::OneOf(Names {
            now: &BalancerPolicy::NAMES,
            later: &["connection-id"],
        }),
        "\"source-hash\"",
        "How an instance is chosen for a datagram.",
    )
    .default(),
    key(
        "flow_timeout",
        Kind::Duration,
        "\"300s\"",
        "How long a silent flow stays with its instance.",
    )
    .default(),
    key(
        "health",
        Kind::Table(HEALTH),
        "",
        "The health check; a warning if detection takes longer than the lease.",
    ),
    key(
        "unhealthy",
        Kind::OneOf(Names {
            now: &Unhealthy::NAMES,
            later: &[],
        }),
        "\"fail-open\"",
        "When no instance is healthy: all get traffic, or none.",
    )
    .default(),
];

/// `balancer.health`
pub const HEALTH: &[Key] = &[
    key(
        "interval",
        Kind::Duration,
        "\"200ms\"",
        "Between two probes of an instance.",
    )
    .default(),
    key(
        "failures",
        Kind::Integer(1..=1000),
        "2",
        "So many failures in a row take it out.",
    )
    .default(),
];

/// The kinds of requests.
pub const KINDS: Names = Names {
    now: &REQUEST_NAMES,
    later: &[
        "observe",
        "cancelObserve",
        "discover",
        "writeAttributes",
        "create",
        "delete",
        "readComposite",
        "observeComposite",
        "writeComposite",
        "cancel",
    ],
};

/// `[[load]]`
pub const LOAD: &[Key] = &[
    key(
        "kind",
        Kind::Mix(KINDS),
        "\"read\"",
        "What is asked for: a kind, a list, or { read = 8, write = 1 }.",
    )
    .required(),
    key(
        "path",
        Kind::Paths,
        "\"/3/0/0\"",
        "A path, a list of paths, or a table of these by kind.",
    ),
    key(
        "rate",
        Kind::Rate,
        "300",
        "Arrivals per second (open model, Poisson).",
    ),
    key(
        "devices",
        Kind::Text,
        "\"battery\"",
        "The name of the group of devices that are asked; all of them if absent.",
    ),
    key(
        "stages",
        Kind::Tables(STAGE),
        "",
        "Instead of a rate and stop: rates that follow each other from start on.",
    ),
    key(
        "ramp",
        Kind::Flag,
        "false",
        "Each stage begins with the rate before it and changes evenly; before the first one the rate is `rate`, or 0.",
    ),
    key("start", Kind::Duration, "\"0s\"", "The first possible arrival.").default(),
    key(
        "stop",
        Kind::Duration,
        "\"35s\"",
        "No arrival from here on; the end of the run if absent.",
    ),
    key(
        "timeout",
        Kind::Timeout,
        "\"20s\"",
        "The time within which each ticket must end; a bare number is ms.",
    )
    .default(),
    key(
        "repeat",
        Kind::Flag,
        "true",
        "Publish again what has neither ack nor err for F, until the terminal.",
    )
    .default(),
    key(
        "impatience",
        Kind::Share,
        "0.0",
        "The share of tickets that are published once more within 4 s, whatever has become of them.",
    )
    .default(),
    key(
        "shared_tickets",
        Kind::Share,
        "0.0",
        "The share of requests that get the ticket of the one before them, with another endpoint.",
    )
    .default(),
];

/// `load.stages`
pub const STAGE: &[Key] = &[
    key("for", Kind::Duration, "\"10s\"", "How long the stage lasts.").required(),
    key(
        "rate",
        Kind::Number,
        "300",
        "Arrivals per second, at its end if it is a ramp; 0 is a pause.",
    )
    .required(),
    key("ramp", Kind::Flag, "false", "As in the load, for this stage."),
];
