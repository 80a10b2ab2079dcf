//! The planted bugs, where each is looked for, and what it may look like.

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
    /// The names of the rules one of which the first violation has to break.
    pub verdicts: &'static [&'static str],
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

/// A code that the history does not explain.
const UNLAWFUL: &[&str] = &["unlawful_error"];

/// No device recognises a copy.
const FORGETFUL: &[&str] = &["devices.deduplicate=0"];

const fn case(
    mutant: &'static str,
    set: &'static [&'static str],
    arguments: &'static [&'static str],
    seeds: u64,
    verdicts: &'static [&'static str],
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
    verdicts: &'static [&'static str],
) -> Case {
    Case {
        scenario,
        ..case(mutant, set, &[], seeds, verdicts)
    }
}

pub const CASES: &[Case] = &[
    case("no-ring", ONCE, &[], 100, &["lost"]),
    case(
        "unrecorded-refusal",
        &[],
        &["--queue-per-endpoint", "1"],
        100,
        &["double_terminal", "terminal_before_ack"],
    ),
    case(
        "unchecked-term",
        &[],
        &[],
        100,
        &["double_ack", "double_terminal"],
    ),
    case(
        "local-message-ids",
        &[],
        &[],
        100,
        &["unserved", "double_execution"],
    ),
    case("owner-finishes", &[], &[], 100, &["unserved"]),
    case("resent-anew", &[], &[], 100, &["double_execution"]),
    case("no-begin", &[], &[], 100, &["wrong_value"]),
    case("early-ack", &[], &[], 100, &["two_voices", "double_ack"]),
    case("dropped-deadline", &[], &[], 100, &["late", "no_terminal"]),
    case("queue-backwards", &[], &[], 100, &["out_of_order"]),
    case("stale-expiry", &[], &[], 100, &["event"]),
    case("silent-replacement", &[], &[], 100, &["event"]),
    case("replay-copies", &[], &[], 100, &["double_terminal", "double_ack"]),
    case("ticket-kept", &[], &[], 100, &["double_terminal"]),
    case(
        "outcome-without-endpoint",
        IMPATIENT,
        &[],
        100,
        &[
            "not_recovered",
            "no_ack",
            "wrong_value",
            "double_terminal",
            "terminal_before_ack",
        ],
    ),
    case(
        "unmarked-copies",
        IMPATIENT,
        &[],
        100,
        &["double_terminal", "double_ack"],
    ),
    case("uncounted-updates", &[], &[], 100, &["event"]),
    case("dead-holders-kept", &[], &[], 100, &["unserved"]),
    case(
        "forgotten-outcomes",
        &[],
        &[],
        100,
        &["terminal_before_ack", "double_terminal", "double_execution"],
    ),
    case("slot-kept", &[], &[], 100, &["unserved", "late", "not_recovered"]),
    case("no-turns", &[], &[], 100, &["out_of_order"]),
    case("sent-denied", &[], &[], 100, &["wrong_value"]),
    case(
        "open-ticket-forgotten",
        &[],
        &[],
        100,
        &["unlawful_error", "double_ack", "two_voices", "double_execution"],
    ),
    case("newborn-steward", ONCE, &[], 200, &["lost"]),
    case("stalled-queue", &[], &[], 100, &["unserved"]),
    case("premature-answer", &[], &[], 100, &["event"]),
    case("register-twice", &[], &[], 100, &["event"]),
    case_in("stall", "blind-to-lease", WRITES, 60, &["double_execution"]),
    case_in("stall", "stopped-clock", WRITES, 60, &["double_execution"]),
    case_in(
        "stall",
        "old-mail",
        WRITES,
        60,
        &["double_execution", "terminal_before_ack"],
    ),
    case(
        "unmarked-take",
        LATE_EARS,
        &[],
        100,
        &["double_terminal", "double_ack"],
    ),
    case("same-incarnation", FORGETFUL, &[], 100, &["double_execution"]),
    case("deaf-member", HALF_OPEN, &[], 100, &["lost"]),
    case(
        "repeat-calls-next",
        IMPATIENT,
        &[],
        100,
        &["unlawful_error", "out_of_order"],
    ),
    case_in("devices", "old-deregister", &[], 250, &["event"]),
    case(
        "mixed-pair",
        TWO_MASTERS,
        &[],
        250,
        &["double_execution", "out_of_order"],
    ),
    case("counted-anew", EMPTIED, &[], 250, &["two_voices"]),
    case("unconfirmed-calls", TWO_MASTERS, &[], 250, &["two_voices"]),
    // Service: the form is kept, and the devices' owners are badly served all the same.
    case("all-unknown", &[], &[], 200, UNLAWFUL),
    case("orphans-unknown", &[], &[], 200, UNLAWFUL),
    case("overloaded-by-one", &[], &[], 200, UNLAWFUL),
    case("bad-requests-while-busy", &[], &[], 200, UNLAWFUL),
    case("unreachable-while-busy", &[], &[], 200, UNLAWFUL),
    case("undecodable-while-busy", &[], &[], 200, UNLAWFUL),
    case("internal-for-strays", &[], &[], 200, UNLAWFUL),
    case("another-code", &[], &[], 200, &["unlawful_error", "wrong_value"]),
    case("hasty-timeouts", &[], &[], 200, UNLAWFUL),
    case("late-timeouts", &[], &[], 200, &["late", "no_terminal"]),
    case("reads-end-with-holder", &[], &[], 200, UNLAWFUL),
    case("gone-with-holder", &[], &[], 200, UNLAWFUL),
    case_in("devices", "rejected-by-register", &[], 200, UNLAWFUL),
    case("swapped-answers", &[], &[], 200, &["wrong_value"]),
    case_in("devices", "never-expires", &[], 200, &["event"]),
    case_in("devices", "late-expiry", &[], 200, &["event"]),
    case_in("devices", "unsaid-expiry", &[], 200, &["event", "unlawful_error"]),
    case_in(
        "devices",
        "unsaid-deregistration",
        &[],
        200,
        &["event", "unlawful_error"],
    ),
    case_in(
        "devices",
        "stale-address",
        &[],
        200,
        &["unlawful_error", "unserved"],
    ),
    case_in("devices", "kept-ids", &[], 200, &["not_recovered"]),
    case_in("devices", "immortal-tombstones", &[], 200, &["not_recovered"]),
    case("immortal-outcomes", &[], &[], 200, &["not_recovered"]),
    case(
        "slot-kept-by-sweep",
        &[],
        &[],
        200,
        &["unserved", "not_recovered"],
    ),
    case(
        "unheld-takeover",
        &[],
        &[],
        200,
        &["lost", "unserved", "no_terminal", "late"],
    ),
    case(
        "nobody-buried",
        &[],
        &[],
        200,
        &["lost", "unserved", "no_terminal", "late"],
    ),
];
