//! From histories to figures.

mod comparison;
mod figures;

use super::assemble::Reading;
use super::*;
use crate::fault::FaultKind;
use crate::history::{Entry, Event, LossReason, RegistrationChannel};
use crate::operation::RequestKind;
use crate::scenario::Scenario;

const SCENARIO: &str =
    "name = \"x\"\nquestion = \"?\"\nduration = \"60s\"\n[expect]\n\"failover_ms.unrecovered\" = 0\n";

#[derive(Default)]
struct Story(Vec<Entry>);

impl Story {
    fn with(mut self, at_ms: u64, event: Event) -> Story {
        self.0.push(Entry {
            at_us: at_ms * 1000,
            event,
        });
        self
    }

    /// A read that is acked at once and answered after `millis` by `by`.
    fn read(self, at_ms: u64, ep: &str, millis: u64, by: &str) -> Story {
        let ticket = format!("{ep}-{at_ms}");
        let sent = Event::Sent {
            ep: ep.into(),
            ticket: ticket.clone(),
            kind: RequestKind::Read,
            path: "/3/0/0".into(),
            repeatable: true,
            argument: None,
            timeout_ms: 20_000,
            intended_us: (at_ms - 1) * 1000,
            attempt: 1,
            probe: false,
            published: true,
        };
        let heard = |rest: &str| {
            let message = format!(r#"{{"ep":"{ep}","ticket":"{ticket}",{rest},"by":"{by}"}}"#);
            Event::Heard { message }
        };
        let response = heard(r#""resp":{"kind":"read","code":"CONTENT"}"#);
        self.with(at_ms, sent)
            .with(at_ms, heard(r#""ack":true"#))
            .with(at_ms + millis, response)
    }

    fn fault(self, at_ms: u64, action: &str, harmful: bool, affected: &[&str]) -> Story {
        let affected = affected.iter().map(ToString::to_string).collect();
        self.with(
            at_ms,
            Event::Fault {
                action: FaultKind::named(action).expect("a kind of fault"),
                instances: vec!["A".into()],
                affected,
                harmful,
                lasts_us: None,
            },
        )
    }

    fn report(self, facts: &RunFacts) -> Report {
        let scenario = Scenario::parse(SCENARIO, "x.toml").unwrap();
        let mut reading = Reading::new(&scenario);
        self.0.iter().for_each(|entry| reading.observe(entry));
        reading.finish(&scenario, facts).report
    }
}

#[test]
fn latency_counts_from_the_intended_time_and_is_apart_around_faults() {
    let story = Story::default()
        .read(1000, "d1", 9, "B#1")
        .fault(5000, "kill", true, &[]);
    let story = story
        .read(5100, "d1", 1499, "B#1")
        .read(9499, "d1", 5, "B#1")
        .read(9502, "d1", 19, "B#1");
    let latency = story.report(&RunFacts::default()).latency_ms;
    // Three significant digits: values stand for the end of their bucket. The window after the fault at 5 s is F (1.5 s) and a retransmission (3 s): it ends at 9.5 s.
    assert_eq!((latency.steady.n, latency.fault.n), (2, 2));
    assert_eq!(
        (latency.steady.p50, latency.steady.max),
        (Some(10.007), Some(20.015))
    );
    assert_eq!(latency.fault.p50, Some(6.003));
    assert_eq!(latency.uncorrected.p50, Some(9.007));
    assert_eq!(latency.overall.n, 4);
}

#[test]
fn failover_is_the_time_to_the_first_success_by_another_than_the_incarnation_that_was_hit() {
    let story = Story::default()
        .read(1000, "d1", 9, "A#1")
        .fault(5000, "kill", true, &["d1", "d2", "d3"]);
    let story = story.with(
        5300,
        Event::Health {
            id: "A".into(),
            healthy: false,
        },
    );
    // The dead A#1 had already published this one; it proves nothing.
    let story = story
        .read(5001, "d1", 9, "A#1")
        .read(6000, "d1", 100, "B#1")
        .read(6900, "d2", 100, "A#2");
    let report = story.report(&RunFacts::default());
    let failover = &report.failover_ms;
    assert_eq!((failover.devices, failover.n, failover.unrecovered), (3, 2, 1));
    assert_eq!(
        (failover.p50, failover.max, failover.detect),
        (Some(2000.0), Some(2000.0), Some(300.0)),
        "the third one takes longer than is known"
    );
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!(report.expectations[0].actual, 1);
}

#[test]
fn an_instance_that_was_paused_briefly_recovers_its_own_devices() {
    let story = Story::default()
        .read(1000, "d1", 9, "A#1")
        .fault(5000, "pause", true, &["d1"]);
    let story = story
        .fault(5400, "resume", false, &[])
        .read(5500, "d1", 100, "A#1");
    let report = story.report(&RunFacts::default());
    assert_eq!((report.failover_ms.n, report.failover_ms.unrecovered), (1, 0));
    assert_eq!(report.verdict, Verdict::Pass);
}

#[test]
fn devices_and_events_are_counted() {
    let registered = |ep: &str, again| Event::DeviceRegistered {
        ep: ep.into(),
        registration: "r".into(),
        again,
        after_us: 4000,
    };
    let event = |channel, message: &str| Event::Registration {
        channel,
        message: message.into(),
    };
    let story = Story::default()
        .with(0, registered("d1", false))
        .with(500, registered("d2", false));
    let story = story.with(1000, registered("d3", false)).with(
        1500,
        Event::DeviceUpdated {
            ep: "d1".into(),
            after_us: 7000,
        },
    );
    let story = story.with(
        2000,
        Event::DeviceLostRegistration {
            ep: "d2".into(),
            reason: LossReason::NotFound,
            after_us: 9000,
        },
    );
    let story = story.with(
        2100,
        Event::DeviceLostRegistration {
            ep: "d3".into(),
            reason: LossReason::NotFound,
            after_us: 9000,
        },
    );
    let story = story.with(2200, registered("d2", true));
    let story = story.with(
        2200,
        event(RegistrationChannel::New, r#"{"ep":"d2","regId":"r2","rev":1}"#),
    );
    let report = story.report(&RunFacts::default());
    let expected = Devices {
        count: 1000,
        registered: 2,
        registrations: 4,
        updates: 1,
        reregistrations: 1,
        lost_registrations: 2,
        ..Devices::default()
    };
    assert_eq!(report.devices, expected);
    assert_eq!(
        report.events,
        Events {
            new: 1,
            // What d1 and d2 were told of first was never announced.
            violations: 2,
            ..Events::default()
        }
    );
    assert_eq!(report.throughput.registrations_per_s, Some(3.0));
}

#[test]
fn cost_is_per_operation_and_a_multiple_of_the_floor() {
    let instance = InstanceCost {
        id: "A".into(),
        cpu_s: 0.5,
        rss_peak_kib: 9000,
        operations: Some(1000),
    };
    let facts = RunFacts {
        instances: vec![instance],
        floor: Some(Floor {
            cpu_us_per_datagram: 5.0,
            datagrams_per_s: 180_000.0,
        }),
        ..RunFacts::default()
    };
    let story = Story::default()
        .read(1000, "d1", 9, "A#1")
        .read(2000, "d1", 9, "A#1");
    let cost = story.report(&facts).cost;
    assert_eq!(cost.instances[0].cpu_us_per_op, Some(500.0));
    assert_eq!(cost.cluster.cpu_us_per_op, Some(250_000.0), "two tickets");
    assert_eq!(cost.cluster.cpu_floors_per_op, Some(50_000.0));
}

#[test]
fn the_screen_is_one_screen_and_names_the_verdict_first() {
    let report = Story::default()
        .read(1000, "d1", 9, "A#1")
        .report(&RunFacts::default());
    let plain = screen(&report, std::path::Path::new("reports/x"), Style::Plain);
    assert!(plain.starts_with("pass  x (seed 42"), "{plain}");
    assert!(plain.lines().count() <= 24, "{plain}");
    assert!(plain.contains("reports/x") && !plain.contains('\x1b'));
    let coloured = screen(&report, std::path::Path::new("reports/x"), Style::Coloured);
    assert!(coloured.starts_with("\x1b[1;32mpass\x1b[0m"), "{coloured}");
}

#[test]
fn the_screen_counts_broken_events_too_and_says_whose_they_are() {
    let mut report = Story::default()
        .read(1000, "d1", 9, "A#1")
        .report(&RunFacts::default());
    report.events.violations = 2;
    report.tickets.broken.insert(Breach::Late, 1);
    report.counter_examples = vec![Violation {
        breach: Breach::Event,
        at_us: 7_931_000,
        ep: "d1".to_owned(),
        ticket: String::new(),
        explanation: "rev 1 after rev 1: expected 2".to_owned(),
        story: Vec::new(),
    }];
    let plain = screen(&report, std::path::Path::new("reports/x"), Style::Plain);
    let broken =
        "\n  broken     1 late, 2 event\n        7.931 s  event  d1: rev 1 after rev 1: expected 2\n";
    assert!(plain.contains(broken), "{plain}");
}

#[test]
fn the_histogram_file_has_the_form_that_plotters_read() {
    let mut durations = durations::Durations::new();
    (1..=1000).for_each(|millis| durations.note(millis * 1000, true));
    let text = latency::hgrm(&durations.all());
    assert!(
        text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"),
        "{text}"
    );
    let row = text
        .lines()
        .find(|line| line.contains(" 0.500000000000 "))
        .expect("the median has a line");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["500.223", "0.500000000000", "500", "2.00"]
    );
    assert!(text.contains("Total count    =         1000]"), "{text}");
}

#[test]
fn the_schema_describes_a_report() {
    let report = Story::default()
        .read(1000, "d1", 9, "A#1")
        .report(&RunFacts::default())
        .to_json();
    let schema = schema::json_schema();
    for member in report.as_object().unwrap().keys() {
        assert!(schema["properties"].get(member).is_some(), "{member}");
    }
    assert!(schema::known_paths().contains(&"cost.simulator.bytes_per_device".to_string()));
}

#[test]
fn a_rule_that_nobody_broke_is_in_the_json_with_0_and_is_read_back() {
    let report = Story::default()
        .read(1000, "d1", 9, "A#1")
        .report(&RunFacts::default());
    let json = report.to_json();
    for breach in Breach::tickets() {
        assert_eq!(json["tickets"][breach.as_str()], 0, "{breach:?}");
    }
    assert!(json["tickets"].get("event").is_none());
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

/// What a harness says of itself that was so late and lost so much.
fn harness(lag_ms: f64, drops: u64) -> RunFacts {
    RunFacts {
        harness: Some(Harness {
            lag_ms,
            drops,
            ..Harness::default()
        }),
        ..RunFacts::default()
    }
}

/// A harmful fault after which nobody is served, so that the expectation of [`SCENARIO`] fails.
fn unserved() -> Story {
    Story::default().fault(5000, "kill", true, &["d1"])
}

#[test]
fn a_harness_that_was_too_late_proves_nothing_whatever_the_expectations_say() {
    for story in [Story::default(), unserved()] {
        let report = story.report(&harness(501.0, 0));
        let reason = "the harness's loop was 501 ms late, and the rules leave it 500 ms";
        assert_eq!(
            (report.verdict, report.reason.as_deref()),
            (Verdict::Inconclusive, Some(reason))
        );
    }
    let report = Story::default().report(&harness(0.0, 3));
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(Story::default().report(&harness(500.0, 0)).verdict, Verdict::Pass);
    assert_eq!(unserved().report(&harness(500.0, 0)).verdict, Verdict::Fail);
}

#[test]
fn an_instance_that_ended_by_itself_fails_a_run_in_which_every_expectation_holds() {
    let ended = Event::InstanceExited {
        id: "A".into(),
        status: "signal 9".to_owned().into(),
        expected: false,
    };
    let report = Story::default().with(4000, ended).report(&harness(900.0, 0));
    assert!(report.expectations.iter().all(|expectation| expectation.pass));
    assert_eq!((report.verdict, report.defects.count), (Verdict::Fail, 1));
}

#[test]
fn a_run_that_was_interrupted_is_no_pass() {
    let report = Story::default()
        .with(4000, Event::Ended { interrupted: true })
        .report(&RunFacts::default());
    let reason = Some("the run was interrupted".to_owned());
    assert_eq!((report.verdict, report.reason), (Verdict::Inconclusive, reason));
}

#[test]
fn a_load_that_was_not_sent_makes_no_pass_and_is_on_the_screen() {
    let text = format!("{SCENARIO}[[load]]\nkind = \"read\"\nrate = 1\n");
    let scenario = Scenario::parse(&text, "x.toml").unwrap();
    let judged = |story: Story, skipped, refused| {
        let mut reading = Reading::new(&scenario);
        story.0.iter().for_each(|entry| reading.observe(entry));
        let facts = RunFacts {
            unsent: Unsent { skipped, refused },
            ..RunFacts::default()
        };
        reading.finish(&scenario, &facts).report
    };
    let reads =
        |count: u64| (0..count).fold(Story::default(), |story, n| story.read(1000 + n, "d1", 1, "A#1"));
    let nothing = judged(Story::default(), 0, 0);
    assert_eq!(nothing.verdict, Verdict::Inconclusive);
    let plain = screen(&nothing, std::path::Path::new("x"), Style::Plain);
    let told = "nothing can be concluded: the scenario asks for a load, and nothing was sent";
    assert!(
        plain.starts_with("inconclusive  x") && plain.contains(told),
        "{plain}"
    );
    assert_eq!(judged(reads(99), 1, 0).verdict, Verdict::Pass);
    assert_eq!(judged(reads(98), 2, 0).verdict, Verdict::Inconclusive);
    assert_eq!(judged(reads(99), 0, 1).verdict, Verdict::Inconclusive);
    // What failed has failed, however much more there would have been.
    assert_eq!(judged(unserved(), 2, 0).verdict, Verdict::Fail);
}
