//! The planted bugs, where each is looked for, and what it may look like.

use simulator::checker::Breach;

/// A bug, where it is looked for, and what it may look like.
pub struct Case {
    pub mutant: &'static str,
    /// The file in `scenarios/` that is searched.
    pub scenario: &'static str,
    /// Changes of the scenario.
    pub set: &'static [&'static str],
    /// Further arguments of the instances.
    pub arguments: &'static [&'static str],
    /// It has to be found within so many seeds.
    pub seeds: u64,
    /// What the first violation has to be.
    pub verdicts: &'static [Breach],
}

/// A request is published once; whoever loses it has lost it.
const ONCE: &[&str] = &["load.0.repeat=false"];

/// The back end publishes tickets again at any time, and has one ticket for several devices.
const IMPATIENT: &[&str] = &["load.0.impatience=0.2", "load.0.shared_tickets=0.5"];

/// Requests get lost on a subscription of which its owner does not know that it is cut.
const HALF_OPEN: &[&str] = &[
    "load.0.repeat=false",
    r#"fault=[{at="15s",do="redis-cut",instance="steward",connection="subscriber",half_open="6s"}]"#,
];

/// Members leave while the subscriptions of others lag.
const LATE_EARS: &[&str] = &[
    r#"fault=[{at="15s",do="redis-slow",instance=0,connection="subscriber",stall="500ms"},{at="15s",do="stop",instance=1}]"#,
];

/// For two seconds there are two masters, and one instance hears at the new one and speaks to the old one.
const TWO_MASTERS: &[&str] = &[
    r#"fault=[{at="15s",do="redis-failover",lag="300ms",old_master="2s",clients=["A command","B subscriber"]}]"#,
];

/// Somebody empties the broker, of which every instance was a member twice.
const EMPTIED: &[&str] = &[
    r#"fault=[{at="5s",do="kill",instance="all"},{at="6s",do="restart",instance="all"},{at="39s",do="redis-flush"}]"#,
];

/// What is asked is to write, so that stewards tell owners to.
const WRITES: &[&str] = &[r#"load.0.kind={write=1}"#, r#"load.0.path={write="/3/0/15"}"#];

/// No device recognises a copy.
const FORGETFUL: &[&str] = &["devices.deduplicate=0"];

const fn case(
    mutant: &'static str,
    set: &'static [&'static str],
    arguments: &'static [&'static str],
    seeds: u64,
    verdicts: &'static [Breach],
) -> Case {
    Case {
        mutant,
        scenario: "failover",
        set,
        arguments,
        seeds,
        verdicts,
    }
}

/// A case in another scenario.
const fn case_in(
    scenario: &'static str,
    mutant: &'static str,
    set: &'static [&'static str],
    seeds: u64,
    verdicts: &'static [Breach],
) -> Case {
    Case {
        scenario,
        ..case(mutant, set, &[], seeds, verdicts)
    }
}

pub const CASES: &[Case] = &[
    case("no-ring", ONCE, &[], 100, &[Breach::Lost]),
    case(
        "unrecorded-refusal",
        &[],
        &["--queue-per-endpoint", "1"],
        100,
        &[Breach::DoubleTerminal, Breach::TerminalBeforeAck],
    ),
    case(
        "unchecked-term",
        &[],
        &[],
        100,
        &[Breach::DoubleAck, Breach::DoubleTerminal],
    ),
    case("local-message-ids", &[], &[], 100, &[Breach::DoubleExecution]),
    case("owner-finishes", &[], &[], 100, &[Breach::Unserved]),
    case("resent-anew", &[], &[], 100, &[Breach::DoubleExecution]),
    case("no-begin", &[], &[], 100, &[Breach::WrongValue]),
    case(
        "early-ack",
        &[],
        &[],
        100,
        &[Breach::TwoVoices, Breach::DoubleAck],
    ),
    case(
        "dropped-deadline",
        &[],
        &[],
        100,
        &[Breach::Late, Breach::NoTerminal],
    ),
    case("queue-backwards", &[], &[], 100, &[Breach::OutOfOrder]),
    case("stale-expiry", &[], &[], 100, &[Breach::Event]),
    case("silent-replacement", &[], &[], 100, &[Breach::Event]),
    case(
        "replay-copies",
        &[],
        &[],
        100,
        &[Breach::DoubleTerminal, Breach::DoubleAck],
    ),
    case("ticket-kept", &[], &[], 100, &[Breach::DoubleTerminal]),
    case(
        "outcome-without-endpoint",
        IMPATIENT,
        &[],
        100,
        &[
            Breach::NoAck,
            Breach::WrongValue,
            Breach::DoubleTerminal,
            Breach::TerminalBeforeAck,
        ],
    ),
    case(
        "unmarked-copies",
        IMPATIENT,
        &[],
        100,
        &[Breach::DoubleTerminal, Breach::DoubleAck],
    ),
    case("uncounted-updates", &[], &[], 100, &[Breach::Event]),
    case("dead-holders-kept", &[], &[], 100, &[Breach::Unserved]),
    case(
        "forgotten-outcomes",
        &[],
        &[],
        100,
        &[
            Breach::TerminalBeforeAck,
            Breach::DoubleTerminal,
            Breach::DoubleExecution,
        ],
    ),
    case("slot-kept", &[], &[], 100, &[Breach::Unserved, Breach::Late]),
    case("no-turns", &[], &[], 100, &[Breach::OutOfOrder]),
    case("sent-denied", &[], &[], 100, &[Breach::WrongValue]),
    case(
        "open-ticket-forgotten",
        &[],
        &[],
        100,
        &[Breach::DoubleAck, Breach::TwoVoices, Breach::DoubleExecution],
    ),
    case("newborn-steward", ONCE, &[], 200, &[Breach::Lost]),
    case("stalled-queue", &[], &[], 100, &[Breach::Unserved]),
    case("premature-answer", &[], &[], 100, &[Breach::Event]),
    case("register-twice", &[], &[], 100, &[Breach::Event]),
    case_in("stall", "blind-to-lease", WRITES, 60, &[Breach::DoubleExecution]),
    case_in("stall", "stopped-clock", WRITES, 60, &[Breach::DoubleExecution]),
    case_in(
        "stall",
        "old-mail",
        WRITES,
        60,
        &[Breach::DoubleExecution, Breach::TerminalBeforeAck],
    ),
    case("unmarked-take", LATE_EARS, &[], 100, &[Breach::DoubleAck]),
    case(
        "same-incarnation",
        FORGETFUL,
        &[],
        100,
        &[Breach::DoubleExecution],
    ),
    case("deaf-member", HALF_OPEN, &[], 100, &[Breach::Lost]),
    case("repeat-calls-next", IMPATIENT, &[], 100, &[Breach::OutOfOrder]),
    case_in("devices", "old-deregister", &[], 250, &[Breach::Event]),
    case(
        "mixed-pair",
        TWO_MASTERS,
        &[],
        250,
        &[Breach::DoubleExecution, Breach::OutOfOrder],
    ),
    case("counted-anew", EMPTIED, &[], 250, &[Breach::TwoVoices]),
    case("unconfirmed-calls", TWO_MASTERS, &[], 250, &[Breach::TwoVoices]),
];
