//! Figures from hand-written histories: who waited how long, what counts as disturbed, what became of what failed.

use super::*;
use crate::history::CoapCode;
use lwm2m::coap::Code;

impl Story {
    /// A read that ends with an error after `millis`.
    fn failed(self, at_ms: u64, ep: &str, millis: u64, code: &str) -> Story {
        let last = |story: &Story| story.0.len() - 1;
        let mut story = self.read(at_ms, ep, millis, "B#1");
        let index = last(&story);
        story.0[index].event = Event::Heard {
            message: format!(
                r#"{{"ep":"{ep}","ticket":"{ep}-{at_ms}","err":{{"code":"{code}"}},"by":"B#1"}}"#
            ),
        };
        story
    }

    /// A fault of the broker or of nobody's instance.
    fn broker_fault(self, at_ms: u64, action: &str, lasts_ms: Option<u64>, affected: &[&str]) -> Story {
        let mut story = self.fault(
            at_ms,
            action,
            FaultKind::named(action).unwrap().harms_cluster(),
            affected,
        );
        if let Some(Entry {
            event: Event::Fault {
                instances, lasts_us, ..
            },
            ..
        }) = story.0.last_mut()
        {
            instances.clear();
            *lasts_us = lasts_ms.map(|millis| millis * 1000);
        }
        story
    }

    fn told(self) -> Report {
        self.report(&RunFacts::default())
    }
}

#[test]
fn an_instance_that_goes_on_after_a_cut_recovers_its_devices_with_what_was_asked_since() {
    let story = Story::default().read(1000, "d1", 9, "A#1");
    // Asked before the cut: it may have been said before it too.
    let story = story
        .read(4990, "d1", 20, "A#1")
        .fault(5000, "redis-cut", true, &["d1"])
        .read(5001, "d1", 299, "A#1");
    let mut story = story;
    story.0.sort_by_key(|entry| entry.at_us);
    let failover = story.told().failover_ms;
    assert_eq!((failover.n, failover.unrecovered), (1, 0));
    assert_eq!((failover.p50, failover.detect), (Some(300.0), None));
}

#[test]
fn after_a_fault_of_the_broker_a_device_is_back_with_the_first_answer_to_what_was_asked_since() {
    let story = Story::default()
        .broker_fault(5000, "redis-kill", None, &["d1", "d2"])
        .failed(5000, "d2", 900, "TIMEOUT")
        .read(5000, "d1", 2000, "A#1")
        .broker_fault(6500, "redis-restart", None, &[])
        .read(6700, "d2", 800, "A#1");
    let failover = story.told().failover_ms;
    assert_eq!((failover.devices, failover.n, failover.unrecovered), (2, 2, 0));
    assert_eq!((failover.p50, failover.max), (Some(2000.0), Some(2500.0)));
}

#[test]
fn a_device_that_never_recovered_counts_as_one_that_took_longer_than_there_was_time() {
    let story = Story::default()
        .fault(5000, "kill", true, &["d1", "d2", "d3"])
        .read(5000, "d1", 100, "B#1")
        .read(5000, "d2", 200, "B#1")
        .with(15_000, Event::Ended { interrupted: false });
    let failover = story.told().failover_ms;
    assert_eq!((failover.n, failover.unrecovered), (2, 1));
    assert_eq!(
        (failover.p50, failover.p90, failover.max),
        (Some(200.0), Some(10_000.0), Some(10_000.0))
    );
}

#[test]
fn what_ended_in_an_error_or_never_makes_no_percentile_better() {
    let answered = (0..8).fold(Story::default(), |story, n| {
        story.read(1000 + 100 * n, "d1", 9, "A#1")
    });
    let story = answered.failed(2000, "d2", 5999, "TIMEOUT");
    let mut story = story.read(2001, "d3", 1, "A#1");
    // Its answer never came.
    story.0.pop();
    let latency = story.with(10_000, Event::LoadStopped).told().latency_ms;
    assert_eq!((latency.overall.n, latency.overall.unanswered), (8, 2));
    assert_eq!(latency.overall.p50, Some(10.007));
    // 8 s less 1 ms, at least.
    assert_eq!(
        (latency.overall.p90, latency.overall.max),
        (Some(8003.583), Some(8003.583))
    );
    let reads = &latency.by_kind[&RequestKind::Read];
    assert_eq!((reads.n, reads.unanswered), (8, 2));
}

#[test]
fn a_freeze_of_six_seconds_does_not_leak_into_steady() {
    let story = Story::default()
        .read(1000, "d1", 9, "A#1")
        .fault(5000, "pause", true, &["d1"])
        .read(5000, "d1", 6100, "A#1")
        .read(10_500, "d2", 700, "A#1")
        .fault(11_000, "resume", false, &[]);
    let mut story = story;
    story.0.sort_by_key(|entry| entry.at_us);
    // The last device recovered at 11.1 s; F (1.5 s) and a retransmission (3 s) later all is well.
    let latency = story
        .read(15_500, "d1", 99, "A#1")
        .read(15_602, "d1", 9, "A#1")
        .told()
        .latency_ms;
    assert_eq!((latency.steady.n, latency.fault.n), (2, 3));
    assert_eq!(latency.steady.max, Some(10.007));
}

#[test]
fn a_broker_that_is_down_until_it_is_restarted_disturbs_all_that_time() {
    let story = Story::default()
        .broker_fault(5000, "redis-kill", None, &[])
        .read(20_000, "d1", 9, "A#1")
        .broker_fault(25_000, "redis-restart", None, &[])
        .read(29_400, "d1", 9, "A#1")
        .read(29_502, "d1", 9, "A#1");
    let latency = story.told().latency_ms;
    assert_eq!((latency.steady.n, latency.fault.n), (1, 2));
}

#[test]
fn a_fault_that_lasts_disturbs_until_its_own_end() {
    let story = Story::default()
        .broker_fault(5000, "redis-full", Some(7000), &[])
        .read(16_400, "d1", 9, "A#1")
        .read(16_502, "d1", 9, "A#1");
    let latency = story.told().latency_ms;
    assert_eq!((latency.steady.n, latency.fault.n), (1, 1));
}

#[test]
fn a_device_that_sleeps_disturbs_nobody_but_itself() {
    let story = Story::default()
        .broker_fault(5000, "sleep", Some(3000), &["d1"])
        .read(9000, "d1", 9, "A#1")
        .read(9000, "d2", 9, "A#1");
    let latency = story.told().latency_ms;
    assert_eq!((latency.steady.n, latency.fault.n), (1, 1));
}

#[test]
fn a_network_that_is_worse_disturbs_until_it_is_as_the_scenario_has_it_again() {
    let text = format!(
        "{SCENARIO}[devices]\nnetwork = {{ latency = \"5ms\" }}\n\
         [[fault]]\nat = \"5s\"\ndo = \"network\"\nnetwork = {{ loss = 0.5, latency = \"5ms\" }}\n\
         [[fault]]\nat = \"9s\"\ndo = \"network\"\nnetwork = {{ latency = \"5ms\" }}\n"
    );
    let scenario = Scenario::parse(&text, "x.toml").unwrap();
    let story = Story::default()
        .read(4000, "d1", 9, "A#1")
        .broker_fault(5000, "network", None, &[])
        .read(8000, "d1", 9, "A#1")
        .broker_fault(9000, "network", None, &[])
        .read(13_400, "d1", 9, "A#1")
        .read(13_502, "d1", 9, "A#1");
    let mut reading = Reading::new(&scenario);
    story.0.iter().for_each(|entry| reading.observe(entry));
    let latency = reading.finish(&scenario, &RunFacts::default()).report.latency_ms;
    assert_eq!((latency.steady.n, latency.fault.n), (2, 2));
}

#[test]
fn registers_and_updates_take_as_long_as_the_devices_say() {
    let ep = || "d1".to_owned();
    let story = Story::default()
        .with(
            10,
            Event::DeviceUnanswered {
                ep: ep(),
                after_us: 62_000_000,
            },
        )
        .with(
            20,
            Event::DeviceRegistered {
                ep: ep(),
                registration: "r".into(),
                again: false,
                after_us: 20_000,
            },
        )
        .with(
            30,
            Event::DeviceRefused {
                ep: ep(),
                update: true,
                code: CoapCode(Code::SERVICE_UNAVAILABLE),
                after_us: 5_000,
            },
        )
        .with(
            40,
            Event::DeviceUpdated {
                ep: ep(),
                after_us: 40_000,
            },
        );
    let Uplink { register, update } = story.told().uplink_ms;
    assert_eq!((register.n, register.unanswered), (1, 1));
    assert_eq!(register.p50, Some(20.015));
    assert_eq!((update.n, update.unanswered, update.p50), (1, 1, Some(40.031)));
}

#[test]
fn the_series_has_a_row_for_each_second_with_what_happened_in_it() {
    let sample = |at_ms: u64, cpu_s| UsageSample {
        at_us: at_ms * 1000,
        id: "A".into(),
        cpu_s,
        rss_kib: 4096,
    };
    let facts = RunFacts {
        usage: vec![sample(10, 1.0), sample(1010, 1.25)],
        ..RunFacts::default()
    };
    let story = Story::default()
        .with(
            100,
            Event::DeviceRegistered {
                ep: "d1".into(),
                registration: "r".into(),
                again: false,
                after_us: 0,
            },
        )
        .read(900, "d1", 299, "A#1")
        .failed(3000, "d1", 9, "GONE");
    let series = story.report(&facts).series;
    let row = |s| Second {
        s,
        registered: 1,
        ..Second::default()
    };
    let first = Second {
        sent: 1,
        registrations: 1,
        open: 1,
        ..row(0)
    };
    let used = InstanceSecond {
        cpu: 0.25,
        rss_kib: 4096,
    };
    let second = Second {
        answered: 1,
        p50_ms: Some(300.0),
        p99_ms: Some(300.0),
        max_ms: Some(300.0),
        instances: [("A".to_owned(), used)].into(),
        ..row(1)
    };
    let last = Second {
        sent: 1,
        failed: 1,
        p50_ms: Some(10.0),
        p99_ms: Some(10.0),
        max_ms: Some(10.0),
        ..row(3)
    };
    assert_eq!(series, [first, second, row(2), last]);
}

#[test]
fn cpu_time_that_nobody_measured_is_not_there() {
    let cost = Story::default().told().cost;
    assert_eq!((cost.cluster.cpu_s, cost.cluster.cpu_us_per_op), (None, None));
}
