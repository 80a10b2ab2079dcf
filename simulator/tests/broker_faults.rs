//! Faults of the broker and of the connections to it, one at a time, in the virtual world: what the cluster makes of
//! each, and that the contract holds.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]

mod support;

use simulator::history::{Entry, Event};
use simulator::report::Report;
use simulator::scenario::Scenario;
use support::fault;

/// Thirty devices behind three instances, eight seconds of requests of all kinds.
const BASE: &str = r#"
name = "broker-fault"
question = "Does the contract hold?"
duration = "10s"
[cluster]
instances = 3
[devices]
count = 30
register_rate = 100
lifetime = "6s"
[[load]]
kind = { read = 3, write = 1, execute = 1, write-update = 1 }
rate = 30
start = "1s"
timeout = "6s"
[expect]
"tickets.violations" = 0
"#;

struct Run {
    report: Report,
    entries: Vec<Entry>,
}

/// Runs the base scenario with these faults and demands what always has to hold: nothing is violated, and every request
/// of which the broker's memory was not lost has ended.
fn survives(faults: &str) -> Run {
    let scenario = Scenario::parse(&format!("{BASE}{faults}"), "broker-fault.toml").unwrap();
    let support::Ran { report, entries, .. } = support::run(&scenario, 7);
    assert_eq!(
        (report.tickets.violations, report.events.violations),
        (0, 0),
        "{:#?}",
        report.counter_examples
    );
    assert_eq!(report.warnings, Vec::<String>::new());
    let tickets = &report.tickets;
    let ended = tickets.responses + tickets.errors + tickets.lost_with_broker;
    assert!(tickets.sent > 200 && ended == tickets.sent, "{tickets:?}");
    Run { report, entries }
}

impl Run {
    /// The members that were heard, in order.
    fn speakers(&self) -> Vec<String> {
        let mut speakers: Vec<String> = Vec::new();
        for entry in &self.entries {
            if let Event::Heard { message } = &entry.event
                && let Some((_, by)) = message.split_once("\"by\":\"")
            {
                speakers.push(by.trim_end_matches("\"}").to_owned());
            }
        }
        speakers.sort();
        speakers.dedup();
        speakers
    }

    /// What was said of the connections of an instance or of the back end: up or not, and when in milliseconds.
    fn links(&self, who: &str) -> Vec<(bool, u64)> {
        let links = self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Link { id, up } if id == who => Some((*up, entry.at_us / 1000)),
            _ => None,
        });
        links.collect()
    }

    fn back_end_connections(&self) -> Vec<bool> {
        let events = self.entries.iter().filter_map(|entry| match entry.event {
            Event::BackEnd { connected } => Some(connected),
            _ => None,
        });
        events.collect()
    }
}

/// Every instance speaks as another member than before, and no device noticed.
fn assert_all_joined_again(run: &Run) {
    let speakers = run.speakers();
    for member in ["A#2", "B#2", "C#2"] {
        assert!(speakers.contains(&member.to_owned()), "{speakers:?}");
    }
    assert_eq!(run.report.devices.reregistrations, 0);
}

#[test]
fn commands_that_were_cut_off_are_given_again_by_the_same_members() {
    let run = survives(&fault(4000, "do = \"redis-cut\"\nconnection = \"command\""));
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!((run.report.tickets.errors, run.report.tickets.repeats), (0, 0));
    for id in ["A", "B", "C"] {
        let links = run.links(id);
        assert_eq!(links.iter().map(|(up, _)| *up).collect::<Vec<_>>(), [false, true]);
        let took = links[1].1 - links[0].1;
        assert!(
            (100..110).contains(&took),
            "the server tries again after 100 ms, not {took}"
        );
    }
}

#[test]
fn a_deaf_member_is_declared_dead_and_others_take_what_it_does_not_hear() {
    let run = survives(&fault(
        4000,
        "do = \"redis-cut\"\nconnection = \"subscriber\"\ninstance = \"B\"\nhalf_open = \"3s\"",
    ));
    assert_eq!(run.speakers(), ["A#1", "B#1", "B#2", "C#1"]);
    assert_eq!(run.report.tickets.errors, 0);
    let back = run.links("B")[1].1;
    assert!(
        (5000..5600).contains(&back),
        "it lives on for less than 1.5 leases, not until {back}"
    );
}

#[test]
fn a_subscription_that_was_cut_is_made_again_within_the_lease_of_the_member() {
    let run = survives(&fault(
        4000,
        "do = \"redis-cut\"\nconnection = \"subscriber\"\ninstance = \"all\"",
    ));
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!(run.report.tickets.errors, 0);
}

#[test]
fn the_back_end_publishes_open_tickets_again_after_its_connections_were_cut() {
    let run = survives(&fault(
        4000,
        "do = \"redis-cut\"\nconnection = \"subscriber\"\ninstance = \"back-end\"\nhalf_open = \"1s\"",
    ));
    assert_eq!(run.back_end_connections(), [true, false, true]);
    assert_eq!(run.links("back-end").len(), 2);
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert!(run.report.tickets.repeats > 10, "{:?}", run.report.tickets);
    assert!(run.report.tickets.repeat_copies > 0, "{:?}", run.report.tickets);
}

#[test]
fn a_broker_that_stalls_for_less_than_a_lease_delays_and_breaks_nothing() {
    let run = survives(&fault(4000, "do = \"redis-slow\"\nstall = \"400ms\""));
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!(run.links("A"), [(false, 4000), (true, 4400)]);
    assert_eq!(run.report.tickets.errors, 0);
}

#[test]
fn after_a_stall_of_the_broker_that_outlasts_all_leases_every_member_joins_again() {
    let run = survives(&fault(4000, "do = \"redis-slow\"\nstall = \"2s\""));
    assert_all_joined_again(&run);
}

#[test]
fn a_slow_subscriber_is_dropped_when_the_brokers_buffer_is_full() {
    let slow = fault(
        4000,
        "do = \"redis-slow\"\nconnection = \"subscriber\"\ninstance = \"back-end\"\nstall = \"600ms\"",
    );
    let waits = survives(&slow);
    assert_eq!(waits.back_end_connections(), [true]);
    let dropped = survives(&format!("{slow}output_buffer = 1000\n"));
    assert_eq!(dropped.back_end_connections(), [true, false, true]);
}

#[test]
fn a_partitioned_instance_is_replaced_and_comes_back_as_another_member() {
    let cut = fault(4000, "do = \"partition\"\ninstance = \"B\"");
    let heal = fault(7000, "do = \"heal\"\ninstance = \"last-faulted\"");
    let run = survives(&(cut + &heal));
    assert_eq!(run.links("B")[0], (false, 4000));
    assert!(run.links("B")[1].1 >= 7000);
    assert!(run.report.failover_ms.detect.is_some());
    let speakers = run.speakers();
    assert!(
        speakers.contains(&"B#1".to_owned()) && !speakers.contains(&"A#2".to_owned()),
        "{speakers:?}"
    );
}

/// Requests that ended without an answer, and devices whose registration ended, although both would have been in time.
fn lost_to_the_clock(run: &Run) -> (u64, u64) {
    (run.report.tickets.errors, run.report.devices.reregistrations)
}

#[test]
fn where_the_brokers_clock_is_set_back_leases_and_timeouts_end_later() {
    let run = survives(&fault(4000, "do = \"clock-jump\"\nby = \"-3s\""));
    let clock = run.entries.iter().find_map(|entry| match &entry.event {
        Event::Clock {
            of,
            ahead_us,
            rate_ppm,
        } => Some((entry.at_us, &of[..], *ahead_us, *rate_ppm)),
        _ => None,
    });
    assert_eq!(clock, Some((4_000_000, "redis", -3_000_000, 0)));
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!(lost_to_the_clock(&run), (0, 0));
}

#[test]
fn where_the_brokers_clock_is_set_forward_all_leases_are_over_and_no_device_is() {
    let run = survives(&fault(4000, "do = \"clock-jump\"\nby = \"10s\""));
    assert_all_joined_again(&run);
}

#[test]
fn a_machine_that_was_suspended_for_longer_than_its_lease_comes_back_as_another_member() {
    let run = survives(&fault(4000, "do = \"clock-jump\"\nby = \"2s\"\ninstance = \"B\""));
    assert_eq!(run.speakers(), ["A#1", "B#1", "B#2", "C#1"]);
    assert_eq!(lost_to_the_clock(&run), (0, 0));
}

#[test]
fn clocks_that_drift_apart_by_less_than_a_lease_can_bear_change_nothing() {
    let drift =
        |whose: &str, rate: &str| fault(3000, &format!("do = \"clock-drift\"\nrate = {rate}\n{whose}"));
    let faults = drift("", "0.02") + &drift("instance = \"A\"", "-0.02") + &drift("instance = \"B\"", "0.02");
    let run = survives(&faults);
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!(lost_to_the_clock(&run), (0, 0));
}

/// The broker dies for 300 ms and has this of its memory then.
fn restarts_with(keeps: &str) -> Run {
    let kill = fault(4000, &format!("do = \"redis-kill\"\nkeeps = \"{keeps}\""));
    survives(&(kill + &fault(4300, "do = \"redis-restart\"")))
}

#[test]
fn a_broker_that_restarts_with_everything_it_executed_loses_nothing() {
    let run = restarts_with("all");
    assert_eq!(run.report.eras.len(), 1);
    assert_eq!(run.report.tickets.lost_with_broker, 0);
    assert_eq!(run.report.devices.reregistrations, 0);
    assert_eq!(run.back_end_connections(), [true, false, true]);
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
}

#[test]
fn a_broker_that_restarts_empty_begins_an_era_and_the_devices_register_again() {
    let run = restarts_with("nothing");
    let eras: Vec<_> = run
        .report
        .eras
        .iter()
        .map(|era| (era.start_s, &era.reason[..]))
        .collect();
    assert_eq!(
        eras,
        [(0.0, "the run began"), (4.3, "the broker restarted empty")]
    );
    // What is asked for before a device has noticed is refused.
    let refused: Vec<_> = run.report.tickets.errors_by_code.keys().collect();
    assert_eq!(refused, ["UNKNOWN_ENDPOINT"]);
    assert_eq!(
        (run.report.devices.registered, run.report.devices.reregistrations),
        (30, 30)
    );
}

#[test]
fn a_broker_that_forgets_the_last_moments_begins_an_era_in_which_the_contract_holds() {
    let run = restarts_with("300ms");
    let eras = &run.report.eras;
    assert_eq!((eras.len(), eras[1].start_s), (2, 4.3));
    assert!(
        eras[1]
            .reason
            .starts_with("the broker restarted without its last ")
    );
    assert!(run.report.tickets.responses > 150, "{:?}", run.report.tickets);
}

/// A replica that lacks the last 300 ms takes over; these stay with the old master for two seconds.
fn fail_over(clients: &str) -> Run {
    let what =
        format!("do = \"redis-failover\"\nlag = \"300ms\"\nold_master = \"2s\"\nclients = [{clients}]");
    survives(&fault(4000, &what))
}

impl Run {
    /// When eras began, in milliseconds, and what the last one is about.
    fn eras(&self) -> (Vec<u64>, &str) {
        let eras = &self.report.eras;
        let starts = eras.iter().map(|era| (era.start_s * 1000.0).round() as u64);
        (starts.collect(), &eras[eras.len() - 1].reason)
    }
}

#[test]
fn where_a_replica_takes_over_all_at_once_the_cluster_goes_on_in_a_new_era() {
    let run = fail_over("");
    let (starts, reason) = run.eras();
    assert_eq!(starts, [0, 4001]);
    assert!(reason.starts_with("a replica without the last ") && reason.ends_with(" steps took over"));
    assert_eq!(run.back_end_connections(), [true, false, true]);
    // Whoever knew of something that was forgotten has joined again, once; who does hangs on who had just called.
    let speakers = run.speakers();
    let of_life = |life: &str| speakers.iter().filter(|by| by.ends_with(life)).count();
    assert_eq!(of_life("#1"), 3, "{speakers:?}");
    assert!(
        of_life("#2") > 0 && speakers.len() == 3 + of_life("#2"),
        "{speakers:?}"
    );
    assert_eq!(run.report.tickets.errors, 0);
}

#[test]
fn instances_that_stay_with_the_old_master_are_replaced_and_come_back_as_others() {
    let run = fail_over("\"A\"");
    let (starts, reason) = run.eras();
    assert_eq!(starts, [0, 4001]);
    assert!(reason.ends_with("; the old master speaks on to A"), "{reason}");
    let (gone, back) = (run.links("A")[0], run.links("A")[1]);
    assert_eq!(gone, (false, 4000));
    assert!((6100..6200).contains(&back.1), "{back:?}");
    assert!((4100..4200).contains(&run.links("B")[1].1));
    assert_eq!(run.report.tickets.errors, 0);
}

#[test]
fn a_back_end_that_stays_with_the_old_master_is_heard_there_and_asks_again_in_the_end() {
    let run = fail_over("\"A\", \"back-end\"");
    let (starts, reason) = run.eras();
    assert_eq!(starts, [0, 4001, 6001]);
    assert_eq!(reason, "the old master is gone, with what it was told since");
    let heard = |who: &str, from: u64, to: u64| {
        let by = format!("\"by\":\"{who}#");
        let said = |entry: &&Entry| {
            (from..to).contains(&(entry.at_us / 1000))
                && matches!(&entry.event, Event::Heard { message } if message.contains(&by))
        };
        run.entries.iter().filter(said).count()
    };
    // Until the others are dead there too, A accepts what is its own and then everything.
    assert!(heard("A", 4001, 6000) > 20);
    assert_eq!((heard("B", 4001, 6000), heard("C", 4001, 6000)), (0, 0));
    assert!(heard("B", 6000, 10_000) > 20 && heard("C", 6000, 10_000) > 20);
    assert!(run.report.tickets.repeats > 10, "{:?}", run.report.tickets);
    assert_eq!(run.report.tickets.errors, 0);
}

#[test]
fn a_failover_that_loses_nothing_is_no_new_era() {
    let run = survives(&fault(4000, "do = \"redis-failover\"\nlag = \"0s\""));
    assert_eq!(run.eras().0, [0]);
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!(
        (run.report.tickets.errors, run.report.devices.reregistrations),
        (0, 0)
    );
}

#[test]
fn an_instance_that_hears_the_new_master_and_speaks_to_the_old_one_executes_nothing() {
    let run = fail_over("\"A command\", \"B subscriber\"");
    assert_eq!(run.eras().0, [0, 4001]);
    let executed = |who: &str, from: u64, to: u64| {
        let done = |entry: &&Entry| {
            (from..to).contains(&(entry.at_us / 1000))
                && matches!(&entry.event, Event::DeviceExecuted { from: Some(id), .. } if id == who)
        };
        run.entries.iter().filter(done).count()
    };
    // What it had begun before may end; requests that it hears from 4.1 s on are the others' to accept.
    assert_eq!(executed("A", 4100, 6000), 0);
    assert!(executed("A", 0, 4000) > 10 && executed("C", 4100, 6000) > 5);
    assert_eq!(run.report.tickets.errors, 0);
}

#[test]
fn a_full_broker_refuses_what_begins_and_the_back_end_asks_again_when_there_is_room() {
    let run = survives(&fault(4000, "do = \"redis-full\"\nduration = \"500ms\""));
    let said = run.entries.iter().filter_map(|entry| match entry.event {
        Event::BrokerFull { full } => Some((full, entry.at_us / 1000)),
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), [(true, 4000), (false, 4500)]);
    let within = |entry: &&Entry| (4_010_000..4_500_000).contains(&entry.at_us);
    let acks =
        run.entries.iter().filter(within).filter(
            |entry| matches!(&entry.event, Event::Heard { message } if message.contains("\"ack\":true")),
        );
    assert_eq!(acks.count(), 0);
    let devices = &run.report.devices;
    assert!(devices.refused > 0 && devices.registered == 30, "{devices:?}");
    assert!(run.report.tickets.repeats >= 10, "{:?}", run.report.tickets);
    assert_eq!(run.report.tickets.errors, 0);
    assert_eq!(run.speakers(), ["A#1", "B#1", "C#1"]);
    assert_eq!(run.report.eras.len(), 1);
}

#[test]
fn a_broker_that_is_emptied_begins_an_era_though_every_connection_stands() {
    let run = survives(&fault(4000, "do = \"redis-flush\""));
    assert_eq!(run.eras(), (vec![0, 4001], "the broker was emptied (FLUSHALL)"));
    assert_eq!(run.back_end_connections(), [true]);
    let refused: Vec<_> = run.report.tickets.errors_by_code.keys().collect();
    assert_eq!(refused, ["UNKNOWN_ENDPOINT"]);
    let devices = &run.report.devices;
    assert_eq!((devices.registered, devices.reregistrations), (30, 30));
}
