//! The virtual world as a whole: the shipped scenarios at a reduced size, and that a seed decides everything.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use simulator::checker::Breach;
use simulator::history::{Entry, Event};
use simulator::report::{Report, Verdict};
use simulator::scenario::Scenario;
use support::scenario;

/// A hundred devices, ten seconds of load, faults at 4 and 9 s.
const REDUCED: [&str; 9] = [
    "duration=14s",
    "devices.count=100",
    "devices.register_rate=100",
    "load.0.rate=60",
    "load.0.start=2s",
    "load.0.stop=13s",
    r#"expect."tickets.responses"=">= 500""#,
    r#"expect."failover_ms.n"=">= 20""#,
    r#"expect."devices.registered"=100"#,
];
const FAULTS: [&str; 2] = ["fault.0.at=4s", "fault.1.at=9s"];

/// The history, and what the judge says of it.
fn run(scenario: &Scenario, seed: u64) -> (Vec<u8>, Report) {
    let ran = support::run(scenario, seed);
    (ran.history, ran.report)
}

fn passes(name: &str, overrides: &[&str]) -> Report {
    let scenario = scenario(name, &[&REDUCED, overrides].concat());
    let (_, report) = run(&scenario, 42);
    let failed: Vec<_> = report.expectations.iter().filter(|one| !one.pass).collect();
    assert!(
        report.verdict == Verdict::Pass,
        "{failed:#?} {:#?}",
        report.counter_examples
    );
    assert_eq!(report.world, "virtual");
    assert_eq!(report.warnings, Vec::<String>::new());
    report
}

#[test]
fn a_seed_decides_every_byte_of_the_history() {
    let scenario = scenario(
        "failover",
        &[&REDUCED, &FAULTS[..], &["devices.network.loss=0.05"]].concat(),
    );
    let (first, _) = run(&scenario, 1);
    let (again, _) = run(&scenario, 1);
    let (other, _) = run(&scenario, 2);
    assert!(first == again, "the same seed gave another history");
    assert!(first != other, "another seed gave the same history");
}

#[test]
fn the_busiest_instance_is_killed_and_its_devices_are_served_by_the_others() {
    let report = passes("failover", &FAULTS);
    assert_eq!(report.tickets.broken[&Breach::Lost], 0);
}

#[test]
fn a_killed_instance_behind_a_balancer_without_flows() {
    passes(
        "failover",
        &[&FAULTS[..], &["balancer.policy=round-robin"]].concat(),
    );
}

#[test]
fn without_faults_every_request_is_answered_once() {
    // Without faults nothing fails over.
    let overrides = [
        r#"expect."failover_ms.n"=0"#,
        r#"expect."devices.updates"=">= 0""#,
    ];
    let report = passes("steady", &overrides);
    assert_eq!((report.tickets.errors, report.tickets.repeats), (0, 0));
    assert_eq!(report.tickets.responses, report.tickets.sent);
}

#[test]
fn an_instance_that_was_buried_while_it_was_paused_does_no_harm_when_it_wakes() {
    passes("zombie", &FAULTS);
}

#[test]
fn a_zombie_behind_a_balancer_without_flows() {
    passes(
        "zombie",
        &[&FAULTS[..], &["balancer.policy=round-robin"]].concat(),
    );
}

#[test]
fn every_schedule_that_once_broke_the_contract_is_survived_now() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/regressions");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = format!(
            "regressions/{}",
            entry.unwrap().path().file_stem().unwrap().display()
        );
        let scenario = scenario(&name, &[]);
        // A drawn fault may have no effect (a restart of what runs still), which is a warning and nothing worse.
        let (_, report) = run(&scenario, scenario.seed);
        let violations = (
            report.tickets.violations,
            report.events.violations,
            report.defects.count,
        );
        let failed: Vec<_> = report.expectations.iter().filter(|one| !one.pass).collect();
        assert!(
            report.verdict == Verdict::Pass && violations == (0, 0, 0),
            "{name}: {failed:#?} {:#?}",
            report.counter_examples
        );
        count += 1;
    }
    assert!(count > 0, "no scenario found");
}

#[test]
fn after_all_faults_are_over_everything_becomes_well() {
    let scenario = scenario(
        "failover",
        &[
            &REDUCED[..],
            &[
                r#"fault=[{at="4s",do="kill",instance=0}]"#,
                "calm=60s",
                "devices.network.loss=0.2",
                "devices.reject=0.1",
            ],
        ]
        .concat(),
    );
    let ran = support::run(&scenario, 1);
    let calm = ran.entries.iter().position(|entry| entry.event == Event::Calm);
    let calm = &ran.entries[calm.unwrap()..];
    let started = |entry: &Entry| matches!(&entry.event, Event::InstanceStarted { id, .. } if id == "A");
    assert!(calm.iter().any(started), "A was killed and comes back");
    let count = |is: &dyn Fn(&Event) -> bool| calm.iter().filter(|entry| is(&entry.event)).count();
    assert_eq!(
        count(&|event| matches!(event, Event::DeviceRegistered { .. })),
        100
    );
    assert_eq!(
        count(&|event| matches!(event, Event::Sent { attempt: 1, .. })),
        100
    );
    assert_eq!(ran.report.counter_examples, []);
}
