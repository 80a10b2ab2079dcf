//! The one table of everything a scenario file can say. The reader takes its known keys and names from here, and
//! `simulator schema` renders it as JSON Schema.

mod fault;

use serde_json::{Map, Value as Json, json};

use crate::operation::REQUEST_NAMES;

pub use fault::FAULT;

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// As in the file.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// A value as it would be written; the default where there is one.
    pub example: &'static str,
    /// One sentence.
    pub doc: &'static str,
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
    /// A whole number.
    Integer,
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
        doc,
    }
}

/// The top level.
pub const SCENARIO: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "\"failover\"",
        "Names the report directory; letters, digits, - and _.",
    ),
    key(
        "question",
        Kind::Text,
        "\"What do devices see when …?\"",
        "What the run answers, in one sentence.",
    ),
    key("seed", Kind::Integer, "42", "Decides every random choice."),
    key(
        "duration",
        Kind::Duration,
        "\"40s\"",
        "How long load and faults last; open tickets may end after it.",
    ),
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
        Kind::Integer,
        "3",
        "How many instances; their ids are A, B, C …",
    ),
    key(
        "redis",
        Kind::Text,
        "\"auto\"",
        "auto, embedded or redis://…; --redis and REDIS_URL win.",
    ),
    key(
        "lease",
        Kind::Duration,
        "\"1s\"",
        "How long a member lives without renewing its lease.",
    ),
    key(
        "channel_prefix",
        Kind::Text,
        "\"\"",
        "Put before every channel name.",
    ),
    key("log", Kind::Text, "\"info\"", "The log filter of the instances."),
    key(
        "arguments",
        Kind::Texts,
        "[]",
        "Further arguments of every instance.",
    ),
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
    key("count", Kind::Integer, "1000", "How many devices."),
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
    ),
    key(
        "security",
        Kind::OneOf(Names {
            now: &["none"],
            later: &["psk"],
        }),
        "\"none\"",
        "How the devices secure their datagrams.",
    ),
    key(
        "lifetime",
        Kind::Duration,
        "\"60s\"",
        "The registration lifetime, in whole seconds.",
    ),
    key(
        "binding",
        Kind::OneOf(Names {
            now: &["U"],
            later: &["UQ", "Q"],
        }),
        "\"U\"",
        "The binding mode.",
    ),
    key("register_rate", Kind::Rate, "500", "New devices per second."),
    key(
        "deduplicate",
        Kind::Share,
        "1.0",
        "The share of devices that recognise a copy of a request (RFC 7252, 4.5); the others execute it again.",
    ),
    key(
        "separate",
        Kind::Share,
        "0.0",
        "The share of devices that acknowledge a request and answer later in a message of its own, CON or NON.",
    ),
    key(
        "reject",
        Kind::Share,
        "0.0",
        "The share of requests that devices reject with a Reset.",
    ),
    key(
        "nonsense",
        Kind::Share,
        "0.0",
        "The share of reads that devices answer so that nobody can read it: broken content, blocks, an unknown critical option; they end with UNDECODABLE.",
    ),
    key(
        "network",
        Kind::Table(NETWORK),
        "",
        "What the network does to each datagram, in each direction.",
    ),
];

/// `devices.network`, `fault.network`
pub const NETWORK: &[Key] = &[
    key("latency", Kind::Duration, "\"0s\"", "The least delay."),
    key(
        "jitter",
        Kind::Duration,
        "\"0s\"",
        "Added to it, uniform between zero and this.",
    ),
    key("loss", Kind::Share, "0.0", "The share that vanishes."),
    key("duplicate", Kind::Share, "0.0", "The share that arrives twice."),
    key(
        "duplicate_delay",
        Kind::Duration,
        "\"0s\"",
        "A copy comes by up to so much later, as old as a datagram may be: 247 s.",
    ),
    key(
        "mtu",
        Kind::Integer,
        "1280",
        "Datagrams with more bytes of payload vanish; 0: none does.",
    ),
    key(
        "reorder",
        Kind::Share,
        "0.0",
        "The share that later ones overtake.",
    ),
];

/// `[balancer]`
pub const BALANCER: &[Key] = &[
    key(
        "policy",
        Kind::OneOf(Names {
            now: &["source-hash", "round-robin", "random"],
            later: &["connection-id"],
        }),
        "\"source-hash\"",
        "How an instance is chosen for a datagram.",
    ),
    key(
        "flow_timeout",
        Kind::Duration,
        "\"300s\"",
        "How long a silent flow stays with its instance.",
    ),
    key(
        "health",
        Kind::Table(HEALTH),
        "",
        "The health check; a warning if detection takes longer than the lease.",
    ),
    key(
        "unhealthy",
        Kind::OneOf(Names {
            now: &["fail-open", "fail-closed"],
            later: &[],
        }),
        "\"fail-open\"",
        "When no instance is healthy: all get traffic, or none.",
    ),
];

/// `balancer.health`
pub const HEALTH: &[Key] = &[
    key(
        "interval",
        Kind::Duration,
        "\"200ms\"",
        "Between two probes of an instance.",
    ),
    key(
        "failures",
        Kind::Integer,
        "2",
        "So many failures in a row take it out.",
    ),
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
    ),
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
    key("start", Kind::Duration, "\"0s\"", "The first possible arrival."),
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
    ),
    key(
        "repeat",
        Kind::Flag,
        "true",
        "Publish again what has neither ack nor err for F, until the terminal.",
    ),
    key(
        "impatience",
        Kind::Share,
        "0.0",
        "The share of tickets that are published once more within 4 s, whatever has become of them.",
    ),
    key(
        "shared_tickets",
        Kind::Share,
        "0.0",
        "The share of requests that get the ticket of the one before them, with another endpoint.",
    ),
];

/// `load.stages`
pub const STAGE: &[Key] = &[
    key("for", Kind::Duration, "\"10s\"", "How long the stage lasts."),
    key(
        "rate",
        Kind::Number,
        "300",
        "Arrivals per second, at its end if it is a ramp; 0 is a pause.",
    ),
    key("ramp", Kind::Flag, "false", "As in the load, for this stage."),
];

/// The JSON Schema (2020-12) of the scenario file.
pub fn json_schema() -> Json {
    let mut schema = table_schema(SCENARIO, &["name", "question", "duration"]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Scenario of the LwM2M cluster simulator");
    schema
}

fn table_schema(keys: &[Key], required: &[&str]) -> Json {
    let properties: Map<String, Json> = keys
        .iter()
        .filter(|key| !matches!(key.kind, Kind::Later))
        .map(|key| (key.name.into(), key_schema(key)))
        .collect();
    json!({
        "type": "object", "additionalProperties": false, "properties": properties, "required": required,
    })
}

fn key_schema(key: &Key) -> Json {
    let mut schema = match &key.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Integers => json!({"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}),
        Kind::Integer => json!({"type": "integer", "minimum": 0}),
        Kind::Number => json!({"type": "number"}),
        Kind::Rate => json!({"type": "number", "exclusiveMinimum": 0}),
        Kind::Share => json!({"oneOf": [
            {"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": "^[0-9.]+%$"}
        ]}),
        Kind::Duration => duration_schema(),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::OneOf(names) => json!({"enum": names.now}),
        Kind::Mix(names) => {
            let weights: Map<String, Json> = names
                .now
                .iter()
                .map(|name| ((*name).into(), json!({"type": "integer", "minimum": 1})))
                .collect();
            json!({"oneOf": [
                {"enum": names.now}, {"type": "array", "items": {"enum": names.now}, "minItems": 1},
                {"type": "object", "additionalProperties": false, "properties": weights}
            ]})
        }
        Kind::Paths => {
            let paths = json!({"oneOf": [
                {"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]});
            json!({"oneOf": [
                {"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {"type": "object", "additionalProperties": paths}
            ]})
        }
        Kind::Timeout => json!({"oneOf": [{"type": "integer", "minimum": 1}, duration_schema()]}),
        Kind::Instance(_) => json!({"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}),
        Kind::Table(keys) => table_schema(keys, &[]),
        Kind::Tables(keys) => json!({"type": "array", "items": table_schema(keys, &[])}),
        Kind::OneOrMany(keys) => json!({"oneOf": [
            table_schema(keys, &[]), {"type": "array", "items": table_schema(keys, &[]), "minItems": 1}
        ]}),
        Kind::Limits => json!({"type": "object", "additionalProperties": {
            "oneOf": [{"type": "number"}, {"type": "boolean"}, {"type": "string"}]
        }}),
        Kind::Later => Json::Bool(false),
    };
    schema["description"] = json!(key.doc);
    if !key.example.is_empty() {
        schema["examples"] = json!([key.example]);
    }
    schema
}

fn duration_schema() -> Json {
    json!({"type": "string", "pattern": "^[0-9.]+ ?(us|ms|s|m|min|h|d)$"})
}
