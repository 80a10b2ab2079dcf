//! The keys of `[[fault]]`, and the names of all faults.

use super::{Key, Kind, NETWORK, Names, key};
use crate::fault::FAULT_NAMES;

/// An instance makes far fewer outputs in the time for which a fault waits for them.
const MAX_OUTPUTS: i64 = 10_000;

/// `[[fault]]`
pub const FAULT: &[Key] = &[
    key("at", Kind::Duration, "\"15s\"", "When.").required(),
    key(
        "every",
        Kind::Duration,
        "\"30s\"",
        "Again and again after so long, until the end of the run.",
    ),
    key(
        "do",
        Kind::OneOf(Names {
            now: &FAULT_NAMES,
            later: &[],
        }),
        "\"kill\"",
        "What.",
    )
    .required(),
    key(
        "instance",
        Kind::Instance(&[
            "busiest",
            "random",
            "steward",
            "owner",
            "last-faulted",
            "all",
            "back-end",
        ]),
        "\"busiest\"",
        "To which: an id, an index, busiest, random, last-faulted, all, or the steward or owner of the endpoint with the \
         most open tickets. For `redis-cut` and `redis-slow` also back-end.",
    ),
    key(
        "outputs",
        Kind::Integer(1..=MAX_OUTPUTS),
        "7",
        "Virtual world: strikes between two outputs of the instance, after so many of them (else after 50 ms).",
    ),
    key(
        "connection",
        Kind::OneOf(Names {
            now: &["command", "subscriber", "both"],
            later: &[],
        }),
        "\"both\"",
        "For `redis-cut` and `redis-slow`: which of the two connections to the broker.",
    ),
    key(
        "half_open",
        Kind::Duration,
        "\"0s\"",
        "For `redis-cut`: so much later the client notices.",
    ),
    key(
        "stall",
        Kind::Duration,
        "\"2s\"",
        "For `redis-slow`: so long nothing passes, then all of it; without instance and connection the broker itself stalls.",
    ),
    key(
        "keeps",
        Kind::Text,
        "\"150ms\"",
        "For `redis-kill`: all, nothing, or how much of the last it forgets.",
    ),
    key(
        "lag",
        Kind::Duration,
        "\"200ms\"",
        "For `redis-failover`: what was executed in this last time is not in the replica that takes over; at most 1m.",
    ),
    key(
        "old_master",
        Kind::Duration,
        "\"0s\"",
        "For `redis-failover`: so long the old master speaks on to those who have not noticed; what it is told is lost.",
    ),
    key(
        "clients",
        Kind::Texts,
        "[\"A\", \"B command\", \"back-end subscriber\"]",
        "For `redis-failover`: who has not noticed, with both connections or with one; else the first half of the instances.",
    ),
    key(
        "output_buffer",
        Kind::Integer(1..=u32::MAX as i64),
        "33554432",
        "For `redis-slow`: bytes beyond which the broker drops a subscriber that does not read.",
    ),
    key(
        "of",
        Kind::OneOf(Names {
            now: &["redis", "instance"],
            later: &[],
        }),
        "\"redis\"",
        "For `clock-jump` and `clock-drift`: whose clock; with `instance` it is that of instances.",
    ),
    key(
        "by",
        Kind::Text,
        "\"-3s\"",
        "For `clock-jump`: how far the clock goes on, or back; at most 1m. That of an instance goes on only.",
    ),
    key(
        "rate",
        Kind::Number,
        "0.01",
        "For `clock-drift`: what the clock gains from then on, as a share; -0.1 to 0.1, 0 ends it.",
    ),
    key(
        "network",
        Kind::Table(NETWORK),
        "",
        "For `do = \"network\"`: the impairment from then on.",
    ),
    key(
        "share",
        Kind::Share,
        "0.1",
        "For faults of devices: this share of those that are switched on, drawn by the seed; at least one.",
    ),
    key(
        "devices",
        Kind::Integers,
        "[3, 17]",
        "For faults of devices, instead of a share: these, by number.",
    ),
    key(
        "off",
        Kind::Duration,
        "\"1s\"",
        "For `do = \"reboot\"` and `\"deregister\"`: how long the devices stay away.",
    ),
    key(
        "duration",
        Kind::Duration,
        "\"5s\"",
        "For `do = \"sleep\"`: how long the devices hear and say nothing. For `\"redis-full\"`: how long there is no memory.",
    ),
];
