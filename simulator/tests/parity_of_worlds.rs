//! The virtual world is held to the real one: a scenario without faults, run in both, has the same verdict and counts,
//! and the same median latency once the virtual network is given the delay that was measured in the real one.
//!
//! No time of this machine is asserted, only the ratio of two medians, and both contain the 20 ms of the simulated
//! network twice, beside which the machine's own delays are small. What is calibrated and what is compared are different
//! requests: the way from the ack to the device is measured with those that change something (the ledger of the device
//! names them), the median that has to agree is that of the reads, from their intended time to their answer.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use simulator::history::{Entry, Event, HistoryReader};
use simulator::operation::RequestKind;

const SCENARIO: &str = r#"
name = "parity"
question = "Is the virtual world like the real one?"
seed = 7
duration = "6s"

[cluster]
instances = 3
redis = "embedded"

[devices]
count = 50
register_rate = 50
network = { latency = "20ms", jitter = "2ms" }

[[load]]
kind = { read = 3, write = 1, execute = 1 }
rate = 80
start = "2s"

[expect]
"tickets.violations" = 0
"tickets.errors" = 0
"devices.registered" = 50
"#;
const LATENCY_US: u64 = 20_000;

/// A run that was late itself (the machine has other things to do) is no measure of anything: then both are run again.
const ATTEMPTS: u32 = 3;

struct Run {
    report: Json,
    entries: Vec<Entry>,
}

fn run(arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("parity.toml");
    std::fs::write(&file, SCENARIO).unwrap();
    let out = directory.path().join("report");
    let status = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .arg(&file)
        .args(["--quiet", "--out"])
        .arg(&out)
        .args(arguments)
        .env_remove("REDIS_URL")
        .stdout(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(0), "{arguments:?}: the run passes");
    read(&out)
}

fn read(out: &Path) -> Run {
    let report = std::fs::read_to_string(out.join("report.json")).unwrap();
    let reader = HistoryReader::open(&out.join("history.jsonl.zst")).unwrap();
    Run {
        report: serde_json::from_str(&report).unwrap(),
        entries: reader.map(|entry| entry.unwrap()).collect(),
    }
}

fn in_virtual_world(latency_us: u64) -> Run {
    let latency = format!("devices.network.latency={latency_us}us");
    run(&["--virtual", "--set", &latency])
}

/// What was meant to be sent when: the same for a seed in every world.
fn arrivals(run: &Run) -> Vec<(u64, RequestKind)> {
    let sent = run.entries.iter().filter_map(|entry| match &entry.event {
        Event::Sent {
            attempt: 1,
            intended_us,
            kind,
            ..
        } => Some((*intended_us, *kind)),
        _ => None,
    });
    sent.collect()
}

/// Everything of the report that is counted.
fn counts(run: &Run) -> Vec<(&'static str, Json)> {
    let paths = [
        "/verdict",
        "/devices/count",
        "/devices/registered",
        "/devices/registrations",
        "/devices/reregistrations",
        "/devices/updates",
        "/devices/lost_registrations",
        "/tickets/sent",
        "/tickets/acked",
        "/tickets/responses",
        "/tickets/errors",
        "/tickets/errors_by_code",
        "/tickets/repeats",
        "/tickets/violations",
        "/events/new",
        "/events/up",
        "/events/del",
        "/events/violations",
        "/latency_ms/overall/n",
        "/failover_ms/n",
    ];
    paths
        .map(|path| (path, run.report.pointer(path).cloned().unwrap()))
        .to_vec()
}

fn median(mut values: Vec<u64>) -> u64 {
    assert!(values.len() >= 50, "{} are too few for a median", values.len());
    values.sort_unstable();
    values[values.len() / 2]
}

/// For each ticket the first message about it that has this member.
fn heard(run: &Run, member: &str) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for entry in &run.entries {
        let Event::Heard { message } = &entry.event else {
            continue;
        };
        let message: Json = serde_json::from_str(message).unwrap();
        if message.get(member).is_some() {
            let ticket = message["ticket"].as_str().unwrap().to_owned();
            times.entry(ticket).or_insert(entry.at_us);
        }
    }
    times
}

/// From the ack of a changing request to its execution, the median: the way to a device.
fn way_to_a_device_us(run: &Run) -> u64 {
    let acks = heard(run, "ack");
    let ways = run.entries.iter().filter_map(|entry| match &entry.event {
        Event::DeviceExecuted {
            argument: Some(argument),
            ..
        } => {
            let ticket = argument.trim_start_matches("0='").trim_end_matches('\'');
            // The device may be quicker than the back end's subscription.
            Some(entry.at_us.saturating_sub(*acks.get(ticket)?))
        }
        _ => None,
    });
    median(ways.collect())
}

/// From the intended time of a read to its answer, the median.
fn read_latency_us(run: &Run) -> u64 {
    let answers = heard(run, "resp");
    let reads = run.entries.iter().filter_map(|entry| match &entry.event {
        Event::Sent {
            ticket,
            kind,
            intended_us,
            attempt: 1,
            ..
        } if *kind == RequestKind::Read => Some(answers.get(ticket)? - intended_us),
        _ => None,
    });
    median(reads.collect())
}

/// Says itself that it is no measure: warnings are about the harness, and there is nothing else to warn of here.
fn was_late(run: &Run) -> bool {
    run.report["warnings"]
        .as_array()
        .is_some_and(|warnings| !warnings.is_empty())
}

#[test]
fn both_worlds_count_the_same_and_are_as_quick_with_the_same_delays() {
    let mut real = run(&[]);
    for _ in 1..ATTEMPTS {
        if was_late(&real) {
            real = run(&[]);
        }
    }
    let bare = in_virtual_world(LATENCY_US);
    assert_eq!(
        (&real.report["world"], &bare.report["world"]),
        (&"real".into(), &"virtual".into())
    );
    assert_eq!(arrivals(&real), arrivals(&bare));
    assert_eq!(counts(&real), counts(&bare));

    let measured = way_to_a_device_us(&real).saturating_sub(way_to_a_device_us(&bare));
    let calibrated = in_virtual_world(LATENCY_US + measured);
    assert_eq!(counts(&real), counts(&calibrated));
    let ratio = read_latency_us(&real) as f64 / read_latency_us(&calibrated) as f64;
    println!(
        "real {} us, virtual {} us with {measured} us more latency, {} us without: ratio {ratio:.3}",
        read_latency_us(&real),
        read_latency_us(&calibrated),
        read_latency_us(&bare),
    );
    assert!((0.8..=1.2).contains(&ratio), "{ratio}");
}
