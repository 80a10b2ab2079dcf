//! What a correct cluster does under faults, and must not be accused of.

use super::*;
use crate::history::REDIS;

#[test]
fn a_read_that_is_acked_and_answered_is_lawful() {
    let story = Story::begin().accepted_read(100, "t1", "A#1");
    let story = story
        .executed(102, "read", "/3/0/0", 7, Ok("Acme"))
        .value(103, "t1", "Acme", "A#1");
    assert_lawful(&story.judged());
}

#[test]
fn copies_that_repeats_bring_are_lawful_and_counted() {
    let story = Story::begin().accepted_execute(100, "t1", "A#1");
    let story = story.request(1700, "t1", "execute", "/3303/0/5605", 2);
    let story = story
        .says(1701, "t1", r#""ack":true,"again":true"#, "A#1")
        .ran(1800, "t1", 7);
    let story = story
        .changed(1801, "t1", "A#1")
        .request(3000, "t1", "execute", "/3303/0/5605", 3);
    let copy = r#""resp":{"kind":"execute","code":"CHANGED"},"again":true"#;
    let judgement = story.says(3001, "t1", copy, "B#1").judged();
    assert_lawful(&judgement);
    assert_eq!(judgement.repeat_copies, 2);
}

#[test]
fn a_refusal_needs_no_ack() {
    assert_lawful(
        &Story::begin()
            .read(100, "t1")
            .refused(101, "t1", "UNKNOWN_ENDPOINT", "A#1")
            .judged(),
    );
}

/// A refusal, and after jumps of the broker's clock a request under the same name, as if it were the first.
fn refused_and_asked_again(jumps_s: &[i64]) -> Judgement {
    let story = Story::begin()
        .read(100, "t1")
        .refused(101, "t1", "UNKNOWN_ENDPOINT", "A#1");
    let story = story.request(5000, "t1", "read", "/3/0/0", 2);
    let jump = |story: Story, ahead_s: &i64| {
        let clock = Event::Clock {
            of: REDIS.to_owned(),
            ahead_us: ahead_s * 1_000_000,
            rate_ppm: 0,
        };
        story.with(5001, clock)
    };
    let story = jumps_s.iter().fold(story, jump);
    story
        .ack(5002, "t1", "A#1")
        .executed(5003, "read", "/3/0/0", 7, Ok("Acme"))
        .value(5004, "t1", "Acme", "A#1")
        .judged()
}

#[test]
fn a_refusal_may_be_forgotten_after_ten_seconds_of_the_brokers_clock_and_no_sooner() {
    assert_lawful(&refused_and_asked_again(&[6]));
    assert_lawful(&refused_and_asked_again(&[6, 0]));
    assert_eq!(
        refused_and_asked_again(&[4, 0]).counts.keys().collect::<Vec<_>>(),
        [&Breach::DoubleTerminal, &Breach::TerminalBeforeAck]
    );
}

/// The back end hears nothing for 12 s, publishes again for the last time then, and hears all at once: that it was refused,
/// and that.
fn refused_unheard_and_asked_again(again_ms: u64, rest: &str) -> Judgement {
    Story::begin()
        .linked(1000, false)
        .read(2000, "t1")
        .request(again_ms, "t1", "read", "/3/0/0", 2)
        .linked(13_000, true)
        .refused(13_000, "t1", "UNKNOWN_ENDPOINT", "A#1")
        .says(13_000, "t1", rest, "A#1")
        .judged()
}

#[test]
fn a_refusal_that_was_heard_late_may_have_been_forgotten_when_the_request_came_again() {
    let refused = r#""err":{"errorMessage":"no","code":"UNKNOWN_ENDPOINT"}"#;
    assert_lawful(&refused_unheard_and_asked_again(12_500, refused));
    let acked = refused_unheard_and_asked_again(12_500, r#""ack":true"#);
    assert_eq!(acked.count(Breach::TerminalBeforeAck), 0);
    // What came at once after it was heard cannot have been forgotten.
    let prompt = |rest| {
        let story = Story::begin()
            .read(2000, "t1")
            .refused(2001, "t1", "UNKNOWN_ENDPOINT", "A#1");
        story
            .request(9000, "t1", "read", "/3/0/0", 2)
            .says(9001, "t1", rest, "A#1")
            .judged()
    };
    assert_eq!(prompt(refused).count(Breach::DoubleTerminal), 1);
    assert_eq!(prompt(r#""ack":true"#).count(Breach::TerminalBeforeAck), 1);
}

/// A#2 speaks, its process is followed by another, and that is A#1.
fn counted_anew(emptied: bool) -> Judgement {
    let start = |story: Story, at_ms| {
        let id = "A".to_owned();
        story.with(at_ms, Event::InstanceStarted { id, pid: 1 })
    };
    let mut story = start(Story::begin(), 50);
    if emptied {
        story = story.era(1000, "emptied");
    }
    let story = story
        .read(2000, "t1")
        .refused(2001, "t1", "UNKNOWN_ENDPOINT", "A#2");
    let story = start(story, 3000).read(4000, "t2");
    story.refused(4001, "t2", "UNKNOWN_ENDPOINT", "A#1").judged()
}

#[test]
fn a_process_that_follows_one_of_an_earlier_era_may_be_counted_anew_and_no_other() {
    assert_lawful(&counted_anew(true));
    assert_eq!(counted_anew(false).count(Breach::TwoVoices), 1);
}

#[test]
fn an_unknown_outcome_after_a_crash_is_lawful_whether_the_device_executed_it_or_not() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .kill(102, "A")
        .ran(103, "t1", 7);
    assert_lawful(&story.failed(1500, "t1", "OUTCOME_UNKNOWN", true, "B#1").judged());
}

#[test]
fn a_request_that_nobody_survived_to_store_may_vanish() {
    let story = Story::begin().kill(50, "B").read(100, "t1").kill(101, "A");
    let judgement = story.ready(5000, "A").judged();
    assert_lawful(&judgement);
    assert_eq!(judgement.open, 1);
}

#[test]
fn what_the_back_end_missed_while_it_was_disconnected_is_not_missing() {
    let story = Story::begin().read(2000, "t1").disconnected(2100, 2500);
    let story = story.request(2501, "t1", "read", "/3/0/0", 2);
    let story = story.executed(2400, "read", "/3/0/0", 7, Ok("Acme"));
    let copy =
        r#""resp":{"kind":"read","code":"CONTENT","node":{"type":"string","value":"Acme"}},"again":true"#;
    assert_lawful(&story.says(2502, "t1", copy, "A#1").judged());
}

#[test]
fn a_dead_incarnation_may_be_read_late_until_its_successor_speaks() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .kill(102, "A")
        .ready(400, "A");
    let story = story
        .value(401, "t1", "Acme", "A#1")
        .accepted_read(5000, "t2", "A#2");
    assert_lawful(&story.value(5002, "t2", "Acme", "A#2").judged());
}

#[test]
fn a_broker_that_forgot_begins_a_new_era() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#3")
        .accepted_execute(110, "t2", "A#3");
    let story = story.ran(112, "t2", 7).era(200, "the broker restarted empty");
    let story = story
        .request(2000, "t2", "execute", "/3303/0/5605", 2)
        .ack(2001, "t2", "A#1");
    let judgement = story.ran(2002, "t2", 9).changed(2003, "t2", "A#1").judged();
    assert_lawful(&judgement);
    assert_eq!(judgement.lost_with_broker, 1);
}

#[test]
fn an_interrupted_run_leaves_its_tickets_open() {
    let story = Story::begin().accepted_read(100, "t1", "A#1");
    let judgement = story.with(900, Event::Ended { interrupted: true }).cut_off();
    assert_lawful(&judgement);
    assert_eq!(judgement.open, 1);
}

#[test]
fn a_late_datagram_of_a_ticket_that_timed_out_breaks_no_order() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .accepted_execute(110, "t2", "A#1");
    let story = story
        .asleep(105, 10_250)
        .failed(10_200, "t1", "TIMEOUT", true, "A#1")
        .ran(10_300, "t2", 8)
        .changed(10_301, "t2", "A#1");
    assert_lawful(&story.ran(10_400, "t1", 7).judged());
}

#[test]
fn a_device_that_does_not_recognise_copies_may_execute_each_of_them() {
    let story = Story::begin().forgetful().accepted_execute(100, "t1", "A#1");
    let story = story.ran_for(102, "A").ran_for(2100, "A").ran_for(2101, "A");
    assert_lawful(&story.changed(2102, "t1", "A#1").judged());
}

#[test]
fn a_device_that_rebooted_may_execute_a_copy_of_the_same_message() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .ran(102, "t1", 7)
        .rebooted(103);
    assert_lawful(&story.ran(2100, "t1", 7).changed(3000, "t1", "A#1").judged());
}

#[test]
fn a_stored_request_waits_for_somebody_who_can_end_it() {
    let story = || {
        let story = Story::begin().accepted_read(100, "t1", "A#1");
        story.kill(200, "A").kill(300, "B")
    };
    let judgement = story().judged();
    assert_eq!((judgement.count(Breach::NoTerminal), judgement.open), (0, 1));
    // Both are gone when the request times out at 10.1 s; the one who comes back ends it.
    let late = story()
        .ready(14_000, "A")
        .failed(14_500, "t1", "TIMEOUT", true, "A#2")
        .judged();
    assert_eq!(late.count(Breach::Late), 0);
}

#[test]
fn the_time_of_a_request_counts_from_when_it_could_reach_the_cluster() {
    // Published at 2 s, under way for 3 s, due at 16.5 s.
    let stalled = |ended_ms| {
        let story = Story::begin().kill(1000, "B").linked(2000, false);
        let story = story.read(2010, "t1").linked(5000, true);
        let story = story
            .ack(5002, "t1", "A#1")
            .failed(ended_ms, "t1", "TIMEOUT", false, "A#1");
        story.judged().count(Breach::Late)
    };
    assert_eq!((stalled(16_500), stalled(16_503)), (0, 1));
    // What was said in time is heard when the back end hears again.
    let deaf = |until_ms| {
        let story = Story::begin().accepted_read(100, "t1", "A#1");
        let story = story.linked(10_000, false).linked(until_ms, true);
        story
            .failed(until_ms + 2, "t1", "TIMEOUT", false, "A#1")
            .judged()
            .count(Breach::Late)
    };
    assert_eq!((deaf(15_000), deaf(30_000)), (0, 0));
}

/// B was told to leave and A is paused: nobody is there to answer what is asked later.
fn asked_while_the_rest_leaves(then: &[&str]) -> Judgement {
    let story = Story::begin()
        .suffers(1000, "B", "stop")
        .suffers(2000, "A", "pause");
    let story = then
        .iter()
        .fold(story, |story, action| story.suffers(3000, "B", action));
    story.request(9000, "t1", "read", "/3/0/0", 1).judged()
}

#[test]
fn an_instance_that_is_leaving_does_not_stay_because_it_is_paused_and_resumed() {
    assert_lawful(&asked_while_the_rest_leaves(&[]));
    assert_lawful(&asked_while_the_rest_leaves(&["pause", "resume"]));
}

#[test]
fn an_instance_that_is_only_resumed_has_to_answer() {
    let story = Story::begin()
        .suffers(1000, "B", "pause")
        .suffers(2000, "A", "pause");
    let judgement = story.suffers(3000, "B", "resume").read(9000, "t1").judged();
    assert_only(&judgement, Breach::Lost, "t1");
}

#[test]
fn an_instance_that_is_not_ready_yet_does_not_stay_because_it_is_paused_and_resumed() {
    let started = |id: &str| Event::InstanceStarted {
        id: id.into(),
        pid: 0,
    };
    let again = || {
        Story::begin()
            .kill(1000, "A")
            .kill(1000, "B")
            .with(1100, started("B"))
    };
    let judged = |story: Story| story.request(9000, "t1", "read", "/3/0/0", 1).judged();
    assert_lawful(&judged(
        again().suffers(2000, "B", "pause").suffers(2000, "B", "resume"),
    ));
    assert_only(&judged(again().ready(2000, "B")), Breach::Lost, "t1");
}
