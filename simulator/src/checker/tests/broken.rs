//! One broken rule each.

use super::*;

#[test]
fn a_request_that_is_never_answered_though_nothing_failed_is_lost() {
    let judgement = Story::begin().read(100, "t1").judged();
    let violation = assert_only(&judgement, Breach::Lost, "t1");
    assert_eq!(violation.at_us, 1_600 * MS);
    assert_eq!(
        violation.story.len(),
        3,
        "the era, the connection and the publication"
    );
}

#[test]
fn a_request_that_is_repeated_after_a_crash_and_never_answered_is_lost() {
    let story = Story::begin()
        .kill(99, "A")
        .read(100, "t1")
        .request(1700, "t1", "read", "/3/0/0", 2);
    assert_only(&story.judged(), Breach::Lost, "t1");
}

#[test]
fn what_is_stored_is_owed_by_instances_that_ended_though_no_fault_said_so() {
    let exits = |expected: bool| {
        let exited = |story: Story, id: &str| {
            let (id, status) = (id.to_owned(), crate::history::ExitStatus::Signal(9));
            story.with(4_000, Event::InstanceExited { id, status, expected })
        };
        let story = Story::begin().accepted_read(3_900, "t1", "A#1");
        exited(exited(story, "A"), "B").judged()
    };
    assert_only(&exits(false), Breach::NoTerminal, "t1");
    let judgement = exits(true);
    assert_lawful(&judgement);
    assert_eq!(
        judgement.judged[&Breach::NoTerminal].excused,
        [(Excuse::Nobody, 1)].into()
    );
}

#[test]
fn an_outcome_that_was_due_before_the_last_fault_is_not_excused_by_it() {
    // Due at 11.6 s; everybody dies, and the back end hears nothing, long after that.
    let open = || Story::begin().accepted_read(100, "t1", "A#1");
    let late_kill = open().kill(30_000, "A").kill(30_000, "B");
    assert_only(&late_kill.judged(), Breach::NoTerminal, "t1");
    let late_gap = open()
        .with(20_000, Event::LoadStopped)
        .disconnected(30_000, 31_000);
    assert_only(&late_gap.judged(), Breach::NoTerminal, "t1");
    // What was missed is no excuse once it was asked for again.
    let again = |story: Story| story.request(6_000, "t1", "read", "/3/0/0", 2);
    assert_lawful(&open().disconnected(5_000, 5_900).judged());
    assert_only(
        &again(open().disconnected(5_000, 5_900)).judged(),
        Breach::NoTerminal,
        "t1",
    );
}

#[test]
fn an_acked_request_that_never_ends_has_no_terminal() {
    let judgement = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .kill(102, "A")
        .judged();
    assert_only(&judgement, Breach::NoTerminal, "t1");
}

#[test]
fn a_response_without_an_ack_is_reported() {
    let judgement = Story::begin()
        .read(100, "t1")
        .value(103, "t1", "Acme", "A#1")
        .judged();
    assert_only(&judgement, Breach::NoAck, "t1");
}

#[test]
fn a_second_ack_that_is_no_copy_is_reported() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .ack(102, "t1", "A#1");
    assert_only(
        &story.value(103, "t1", "Acme", "A#1").judged(),
        Breach::DoubleAck,
        "t1",
    );
}

#[test]
fn a_copy_of_an_ack_that_no_repeat_asked_for_is_reported() {
    let story = Story::begin().accepted_read(100, "t1", "A#1");
    let story = story.says(102, "t1", r#""ack":true,"again":true"#, "A#1");
    assert_only(
        &story.value(103, "t1", "Acme", "A#1").judged(),
        Breach::DoubleAck,
        "t1",
    );
}

#[test]
fn a_second_outcome_is_reported() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .value(103, "t1", "Acme", "A#1");
    assert_only(
        &story.value(104, "t1", "Acme", "B#1").judged(),
        Breach::DoubleTerminal,
        "t1",
    );
}

#[test]
fn a_copy_that_differs_from_the_outcome_is_reported() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .ran(102, "t1", 7);
    let story = story
        .changed(103, "t1", "A#1")
        .request(1700, "t1", "execute", "/3303/0/5605", 2);
    let other = r#""err":{"errorMessage":"A died","code":"OUTCOME_UNKNOWN","sent":true},"again":true"#;
    assert_only(
        &story.says(1701, "t1", other, "B#1").judged(),
        Breach::DoubleTerminal,
        "t1",
    );
}

#[test]
fn an_ack_after_the_outcome_is_reported() {
    let story = Story::begin()
        .read(100, "t1")
        .refused(101, "t1", "UNKNOWN_ENDPOINT", "A#1")
        .ack(102, "t1", "A#1");
    assert_only(&story.judged(), Breach::TerminalBeforeAck, "t1");
}

#[test]
fn a_superseded_incarnation_that_speaks_is_a_second_voice() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#2")
        .accepted_read(110, "t2", "A#1");
    let story = story
        .value(120, "t1", "Acme", "A#2")
        .value(121, "t2", "Acme", "A#2");
    assert_only(&story.judged(), Breach::TwoVoices, "t2");
}

#[test]
fn two_members_that_ack_one_ticket_are_two_voices() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .ack(102, "t1", "B#1");
    assert_only(
        &story.value(103, "t1", "Acme", "A#1").judged(),
        Breach::TwoVoices,
        "t1",
    );
}

#[test]
fn a_message_about_a_ticket_that_nobody_sent_is_an_orphan() {
    assert_only(
        &Story::begin().ack(101, "t9", "A#1").judged(),
        Breach::Orphan,
        "t9",
    );
}

#[test]
fn a_ticket_of_another_endpoint_is_an_orphan() {
    let err = r#"{"ep":"dev-2","ticket":"t1","err":{"code":"BAD_REQUEST"},"by":"A#1"}"#;
    let story = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .value(102, "t1", "Acme", "A#1");
    assert_only(&story.heard(103, err).judged(), Breach::Orphan, "t1");
}

#[test]
fn an_execution_that_nobody_asked_for_is_an_orphan() {
    assert_only(
        &Story::begin().ran(101, "t9", 7).judged(),
        Breach::Orphan,
        "0='t9'",
    );
}

#[test]
fn an_execute_that_ran_twice_is_reported_with_both_exchanges() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .ran(102, "t1", 7)
        .kill(103, "A");
    let judgement = story.ran(1700, "t1", 8).changed(1701, "t1", "B#1").judged();
    let violation = assert_only(&judgement, Breach::DoubleExecution, "t1");
    assert!(
        violation
            .explanation
            .contains("message ID 7 token 0007, this one 8 0008"),
        "{}",
        violation.explanation
    );
    assert_eq!(
        violation.story.len(),
        8,
        "both executions are in the story: {:#?}",
        violation.story
    );
}

#[test]
fn a_reboot_excuses_no_execution_in_another_exchange_nor_before_it() {
    let begin = || Story::begin().accepted_execute(100, "t1", "A#1");
    let other_exchange = begin().ran(102, "t1", 7).rebooted(103).ran(2100, "t1", 8);
    let before_it = begin().ran(102, "t1", 7).ran(2100, "t1", 7).rebooted(2200);
    let two_after_it = begin().rebooted(101).ran(102, "t1", 7).ran(2100, "t1", 7);
    for story in [other_exchange, before_it, two_after_it] {
        let judgement = story.changed(2300, "t1", "A#1").judged();
        assert_only(&judgement, Breach::DoubleExecution, "t1");
    }
}

#[test]
fn another_instance_that_takes_up_what_may_be_sent_once_is_reported_of_a_forgetful_device_too() {
    let story = Story::begin().forgetful().accepted_execute(100, "t1", "A#1");
    let story = story.ran_for(102, "A").kill(103, "A").ran_for(1700, "B");
    let violation = assert_only(
        &story.changed(1701, "t1", "B#1").judged(),
        Breach::DoubleExecution,
        "t1",
    );
    assert!(
        violation
            .explanation
            .ends_with("token 0007 by A, this one 7 0007 by B"),
        "{}",
        violation.explanation
    );
}

#[test]
fn an_instance_that_takes_up_after_a_restart_what_may_be_sent_once_is_reported_too() {
    let judged = |again_ms: u64| {
        let story = Story::begin()
            .forgetful()
            .execute(100, "t1")
            .ack(101, "t1", "A#1");
        let (id, pid) = ("A".into(), 0);
        let story = story.ran_for(102, "A").kill(103, "A");
        let story = story.with(200, Event::InstanceStarted { id, pid });
        let story = story.ran_for(again_ms, "A");
        story.changed(again_ms + 1, "t1", "B#1").judged()
    };
    assert_only(&judged(1_301), Breach::DoubleExecution, "t1");
    // This one may have been under way since before the kill.
    assert_lawful(&judged(1_300));
}

#[test]
fn a_write_that_is_executed_long_after_its_end_is_reported() {
    let judged = |again_ms: u64| {
        let story = Story::begin()
            .request(100, "t1", "write", "/3/0/15", 1)
            .ack(101, "t1", "A#1");
        let write = |story: Story, at_ms: u64| story.executed(at_ms, "write", "/3/0/15", 7, Err("t1"));
        let story = write(story, 102).changed(103, "t1", "A#1");
        write(story, again_ms).ended_at(again_ms + 1)
    };
    let violation = assert_only(&judged(248_300), Breach::DoubleExecution, "t1");
    assert_eq!(
        violation.explanation,
        "sent and executed 248.197 s after it had ended"
    );
    assert_lawful(&judged(248_200));
}

#[test]
fn a_forgetful_device_excuses_no_other_exchange() {
    let story = Story::begin().forgetful().accepted_execute(100, "t1", "A#1");
    let judgement = story
        .ran(102, "t1", 7)
        .ran(900, "t1", 8)
        .changed(901, "t1", "A#1")
        .judged();
    assert_only(&judgement, Breach::DoubleExecution, "t1");
}

#[test]
fn a_copy_that_comes_when_no_copy_can_be_under_way_is_reported_of_a_rebooted_device_too() {
    let story = Story::begin().accepted_execute(100, "t1", "A#1");
    let story = story.ran(102, "t1", 7).changed(103, "t1", "A#1").rebooted(104);
    let judgement = story.ran(250_000, "t1", 7).ended_at(251_000);
    assert_only(&judgement, Breach::DoubleExecution, "t1");
}

#[test]
fn a_write_that_was_sent_again_in_another_exchange_is_reported() {
    let story = Story::begin()
        .request(100, "t1", "write", "/3/0/15", 1)
        .ack(101, "t1", "A#1");
    let story =
        story
            .executed(102, "write", "/3/0/15", 7, Err("t1"))
            .executed(900, "write", "/3/0/15", 8, Err("t1"));
    assert_only(
        &story.changed(901, "t1", "A#1").judged(),
        Breach::DoubleExecution,
        "t1",
    );
}

#[test]
fn executions_in_another_order_than_the_acks_are_reported() {
    let story = Story::begin()
        .execute(100, "t1")
        .execute(101, "t2")
        .ack(102, "t1", "A#1")
        .ack(103, "t2", "A#1");
    let story = story
        .ran(104, "t2", 8)
        .ran(105, "t1", 7)
        .changed(106, "t1", "A#1")
        .changed(107, "t2", "A#1");
    assert_only(&story.judged(), Breach::OutOfOrder, "t2");
}

#[test]
fn a_value_that_the_device_never_returned_is_reported() {
    let story = Story::begin()
        .accepted_read(100, "t1", "A#1")
        .executed(102, "read", "/3/0/0", 7, Ok("Acme"));
    assert_only(
        &story.value(103, "t1", "Emca", "A#1").judged(),
        Breach::WrongValue,
        "t1",
    );
}

#[test]
fn a_value_from_before_the_ticket_was_sent_is_reported() {
    let story = Story::begin().executed(50, "read", "/3/0/0", 6, Ok("old"));
    let story = story
        .accepted_read(100, "t1", "A#1")
        .executed(102, "read", "/3/0/0", 7, Ok("new"));
    assert_only(
        &story.value(103, "t1", "old", "A#1").judged(),
        Breach::WrongValue,
        "t1",
    );
}

/// The device answers a read of its instance with two values, and the back end hears these.
fn instance_heard(serial: &str, voltage: u32) -> Judgement {
    let story = Story::begin()
        .request(100, "t1", "read", "/3/0", 1)
        .ack(101, "t1", "A#1");
    let mut story = story.executed(102, "read", "/3/0", 7, Ok(""));
    if let Some(Event::DeviceExecuted { value, values, .. }) =
        story.entries.last_mut().map(|last| &mut last.event)
    {
        let of_device = [("2", "dev-1"), ("7/0", "3800")];
        *values = Some(
            of_device
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .into(),
        );
        *value = None;
    }
    let node = format!(
        r#"{{"kind":"instance","id":0,"resources":{{"2":{{"kind":"singleresource","id":2,"type":"string","value":"{serial}"}},"7":{{"kind":"multipleresource","id":7,"type":"integer","values":{{"0":{voltage}}}}}}}}}"#
    );
    let resp = format!(r#""resp":{{"kind":"read","code":"CONTENT","node":{node}}}"#);
    story.says(103, "t1", &resp, "A#1").judged()
}

#[test]
fn an_instance_is_compared_value_by_value() {
    assert_lawful(&instance_heard("dev-1", 3800));
    let violation = assert_only(&instance_heard("dev-2", 3800), Breach::WrongValue, "t1");
    assert_eq!(
        violation.explanation,
        "the value \"dev-2\" at /3/0/2, which the device did not return since it was asked"
    );
    assert_only(&instance_heard("dev-1", 3801), Breach::WrongValue, "t1");
}

#[test]
fn the_serial_number_of_another_device_is_reported() {
    let story = Story::begin()
        .request(100, "t1", "read", "/3/0/2", 1)
        .ack(101, "t1", "A#1");
    assert_only(
        &story.value(103, "t1", "dev-2", "A#1").judged(),
        Breach::WrongValue,
        "t1",
    );
}

#[test]
fn a_success_that_the_device_never_performed_is_reported() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .ran(102, "t1", 7)
        .changed(103, "t1", "A#1");
    let story = story.accepted_execute(200, "t2", "A#1").changed(202, "t2", "A#1");
    assert_only(&story.judged(), Breach::WrongValue, "t2");
}

#[test]
fn a_request_that_was_never_sent_and_yet_executed_is_reported() {
    let story = Story::begin()
        .accepted_execute(100, "t1", "A#1")
        .kill(9_000, "B")
        .failed(10_200, "t1", "TIMEOUT", false, "A#1");
    assert_only(&story.ran(10_300, "t1", 7).judged(), Breach::WrongValue, "t1");
}

#[test]
fn an_outcome_after_the_timeout_and_f_is_late() {
    let story = Story::begin().accepted_read(100, "t1", "A#1");
    let judgement = story.value(11_601, "t1", "Acme", "A#1").judged();
    let violation = assert_only(&judgement, Breach::Late, "t1");
    assert_eq!(
        violation.explanation,
        "the outcome came 0.001 s after timeout (10000 ms) and F"
    );
}

#[test]
fn what_is_no_request_must_be_called_so() {
    let malformed = |rest| {
        let story = Story::begin().request(100, "t1", "malformed", "/3/0/0", 1);
        story.says(101, "t1", rest, "A#1").judged()
    };
    assert_lawful(&malformed(r#""err":{"errorMessage":"","code":"BAD_REQUEST"}"#));
    let other = malformed(r#""err":{"errorMessage":"","code":"UNKNOWN_ENDPOINT"}"#);
    assert_only(&other, Breach::WrongValue, "t1");
    let taken = malformed(r#""ack":true"#);
    assert_eq!(taken.count(Breach::WrongValue), 1);
}

#[test]
fn what_is_not_well_after_all_faults_are_over_is_reported() {
    let not_recovered = |ticket: &str| Event::NotRecovered {
        ep: "dev-1".into(),
        ticket: ticket.into(),
        what: "the ticket is open at the broker".into(),
    };
    let story = Story::begin().with(50_000, Event::Calm);
    let violation = assert_only(
        &story.with(52_000, not_recovered("t1")).judged(),
        Breach::NotRecovered,
        "t1",
    );
    assert_eq!(violation.explanation, "the ticket is open at the broker");
    assert!(
        violation
            .story
            .iter()
            .any(|entry| entry.event == not_recovered("t1")),
        "{:?}",
        violation.story
    );
}
