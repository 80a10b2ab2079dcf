//! The moods of devices, their network and the balancer in the virtual world: each has its effect, and none breaks the
//! contract.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]

mod support;

use simulator::fault::FaultKind;
use simulator::history::Event;
use simulator::report::{Report, judge};
use simulator::run::RunOptions;
use simulator::scenario::{RedisChoice, Scenario};
use simulator::virtual_world;
use support::fault;

/// Twenty devices on a bad network, and everything is asked of them.
const SETTING: &str = r#"
name = "moods"
question = "Does the contract hold whatever devices do?"
duration = "14s"

[cluster]
instances = 3

[devices]
count = 20
lifetime = "10s"
register_rate = 50
network = { latency = "5ms", jitter = "5ms", loss = 0.05, duplicate = 0.05, reorder = 0.05 }

[[load]]
kind = { read = 2, write = 2, write-update = 1, execute = 2 }
rate = 60
start = "1s"
timeout = "6s"

[expect]
"tickets.violations" = 0
"#;

/// The busiest instance dies in the middle of whatever else happens.
fn with_a_crash(faults: &[String]) -> String {
    let kill = fault(6500, "do = \"kill\"\ninstance = \"busiest\"");
    let restart = fault(9000, "do = \"restart\"\ninstance = \"last-faulted\"");
    format!("{SETTING}{}{kill}{restart}", faults.concat())
}

fn run(text: &str, options: &[&str], seed: u64) -> (Vec<Event>, Report) {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    let scenario = Scenario::parse_with(text, "moods.toml", &options).unwrap();
    let ran = support::run(&scenario, seed);
    (
        ran.entries.into_iter().map(|entry| entry.event).collect(),
        ran.report,
    )
}

/// Without a violation; returns what was counted over these seeds by `count`.
fn holds(text: &str, options: &[&str], count: impl Fn(&[Event], &Report) -> u64) -> u64 {
    let counts = (1..=4).map(|seed| {
        let (events, report) = run(text, options, seed);
        let violations = (report.tickets.violations, report.events.violations);
        assert_eq!(violations, (0, 0), "seed {seed}: {:#?}", report.counter_examples);
        // One or two may just be on their way back.
        let registered = report.devices.registered;
        assert!(registered >= 17, "seed {seed}: {registered} registered");
        count(&events, &report)
    });
    counts.sum()
}

fn affected(events: &[Event], wanted: &str) -> u64 {
    let hit = events.iter().map(|event| match event {
        Event::Fault { action, affected, .. } if action.as_str() == wanted => affected.len() as u64,
        _ => 0,
    });
    hit.sum()
}

/// How often a device executed again what it had executed before.
fn executed_again(events: &[Event]) -> u64 {
    let mut known = std::collections::BTreeSet::new();
    let again = events.iter().filter(|event| match event {
        Event::DeviceExecuted {
            ep,
            argument: Some(argument),
            ..
        } => !known.insert((ep.clone(), argument.clone())),
        _ => false,
    });
    again.count() as u64
}

#[test]
fn devices_reboot_and_register_again() {
    let faults = [3000, 6600, 7000].map(|at| fault(at, "do = \"reboot\"\nshare = 0.5\noff = \"200ms\""));
    let rebooted = holds(&with_a_crash(&faults), &[], |events, report| {
        let said = events
            .iter()
            .filter(|event| matches!(event, Event::DeviceRebooted { .. }));
        assert_eq!(said.count() as u64, affected(events, "reboot"));
        assert!(
            report.devices.reregistrations >= 10,
            "{}",
            report.devices.reregistrations
        );
        affected(events, "reboot")
    });
    assert_eq!(rebooted, 4 * 30);
}

#[test]
fn devices_sleep_and_what_they_sleep_through_times_out_or_waits() {
    let faults =
        [3000, 6600].map(|at| fault(at, "do = \"sleep\"\ndevices = [1, 3, 5, 7]\nduration = \"4s\""));
    let timeouts = holds(&with_a_crash(&faults), &["load.0.timeout=3s"], |_, report| {
        report.tickets.errors_by_code.get("TIMEOUT").copied().unwrap_or(0)
    });
    assert!(timeouts > 50, "{timeouts}");
}

#[test]
fn devices_get_other_addresses_and_are_found_again_by_their_updates() {
    let faults = [3000, 6600].map(|at| fault(at, "do = \"nat-rebind\"\nshare = 0.5"));
    let rebound = holds(
        &with_a_crash(&faults),
        &["devices.lifetime=2s"],
        |events, report| {
            let timeouts = report.tickets.errors_by_code.get("TIMEOUT").copied().unwrap_or(0);
            assert!(
                timeouts < report.tickets.sent / 10,
                "an Update tells the new address: {timeouts}"
            );
            affected(events, "nat-rebind")
        },
    );
    assert_eq!(rebound, 4 * 20);
}

#[test]
fn devices_take_leave_and_come_back() {
    let faults = [3000, 6600].map(|at| fault(at, "do = \"deregister\"\nshare = 0.5\noff = \"500ms\""));
    let gone = holds(&with_a_crash(&faults), &[], |events, report| {
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::DeviceDeregistered { .. }))
        );
        let code = |code: &str| report.tickets.errors_by_code.get(code).copied().unwrap_or(0);
        code("GONE") + code("UNKNOWN_ENDPOINT")
    });
    assert!(gone > 0);
}

#[test]
fn the_balancer_forgets_its_flows_in_mid_exchange() {
    let faults = [3000, 6600, 10_000].map(|at| fault(at, "do = \"flow-reset\""));
    holds(&with_a_crash(&faults), &[], |events, report| {
        let resets = events.iter().filter(
            |event| matches!(event, Event::Fault { action, harmful: false, .. } if *action == FaultKind::FlowReset),
        );
        assert_eq!(resets.count(), 3);
        assert_eq!(report.warnings, Vec::<String>::new());
        0
    });
}

#[test]
fn a_balancer_without_flows_has_none_to_forget() {
    let text = format!("{SETTING}{}", fault(3000, "do = \"flow-reset\""));
    let (_, report) = run(&text, &["balancer.policy=round-robin"], 1);
    assert_eq!(
        report.warnings,
        ["the fault `flow-reset` at 3.000000 s had no effect: the balancer's policy knows no flows"]
    );
}

#[test]
fn devices_that_do_not_recognise_copies_execute_them_and_nobody_else_sends_what_may_be_sent_once() {
    let again = holds(&with_a_crash(&[]), &["devices.deduplicate=0.5"], |events, _| {
        executed_again(events)
    });
    assert!(again > 50, "{again}");
    let again = holds(&with_a_crash(&[]), &[], |events, _| executed_again(events));
    assert_eq!(again, 0, "all recognise copies");
}

#[test]
fn devices_answer_separately_or_reject() {
    let options = ["devices.separate=0.5", "devices.reject=0.05"];
    let rejected = holds(&with_a_crash(&[]), &options, |_, report| {
        report
            .tickets
            .errors_by_code
            .get("REJECTED")
            .copied()
            .unwrap_or(0)
    });
    assert!(rejected > 30, "{rejected}");
}

#[test]
fn what_devices_say_is_nonsense_now_and_then_and_only_that_is_called_undecodable() {
    let undecodable = holds(
        &with_a_crash(&[]),
        &["devices.nonsense=0.2", "devices.deduplicate=0.5"],
        |events, report| {
            let codes = &report.tickets.errors_by_code;
            let ended = codes.get("UNDECODABLE").copied().unwrap_or(0);
            let said = events
                .iter()
                .filter(|event| matches!(event, Event::DeviceExecuted { nonsense: true, .. }));
            assert!(ended <= said.count() as u64);
            ended
        },
    );
    assert!(undecodable > 50, "{undecodable}");
}

#[test]
fn copies_of_registrations_come_seconds_later() {
    let options = [
        "devices.network.duplicate=0.3",
        "devices.network.duplicate_delay=8s",
        "devices.lifetime=4s",
    ];
    let faults = [fault(5000, "do = \"deregister\"\nshare = 0.5\noff = \"0s\"")];
    holds(&with_a_crash(&faults), &options, |_, _| 0);
}

#[test]
fn what_is_larger_than_the_mtu_never_arrives() {
    let text = SETTING.replace("kind = {", "path = { read = \"/3\" }\nkind = {");
    let (_, report) = run(&text, &["devices.network.mtu=120", "devices.network.loss=0"], 1);
    assert_eq!(report.tickets.violations, 0, "{:#?}", report.counter_examples);
    assert!(
        report.tickets.errors_by_code["TIMEOUT"] > 100,
        "{:?}",
        report.tickets
    );
    assert!(
        report.warnings[0].ends_with("datagrams were larger than the network's MTU and vanished"),
        "{:?}",
        report.warnings
    );
}

#[test]
fn a_closed_balancer_lets_nothing_through_while_all_are_paused() {
    let faults = [
        fault(4000, "do = \"pause\"\ninstance = \"all\""),
        fault(4900, "do = \"resume\"\ninstance = \"all\""),
    ];
    let text = format!("{SETTING}{}", faults.concat());
    for (mood, drops) in [("fail-open", false), ("fail-closed", true)] {
        let (_, report) = run(
            &text,
            &[&format!("balancer.unhealthy={mood}"), "devices.lifetime=2s"],
            1,
        );
        assert_eq!(
            report.tickets.violations, 0,
            "{mood}: {:#?}",
            report.counter_examples
        );
        let dropped = report
            .warnings
            .iter()
            .any(|text| text.contains("no instance was healthy"));
        assert_eq!(dropped, drops, "{mood}: {:?}", report.warnings);
    }
}

#[test]
fn a_run_that_is_interrupted_ends_in_order() {
    let scenario = Scenario::parse(SETTING, "moods.toml").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions {
        seed: 1,
        redis: RedisChoice::Embedded,
        out: directory.path().to_owned(),
        quiet: true,
    };
    let steps = std::cell::Cell::new(0);
    let outcome = virtual_world::run_until(&scenario, &options, &|| {
        steps.set(steps.get() + 1);
        steps.get() > 1000
    });
    let outcome = outcome.unwrap();
    assert!(outcome.interrupted);
    let report = judge(&outcome.history, &scenario, &outcome.facts).unwrap().report;
    assert!(report.interrupted);
    assert_eq!(report.tickets.violations, 0, "what is open says nothing");
    assert!(
        report.duration_s > 0.5 && report.duration_s < 14.0,
        "{}",
        report.duration_s
    );
}
