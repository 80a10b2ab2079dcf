//! The checker against hand-written histories: lawful ones pass, and each rule is broken once by a history that breaks
//! nothing else.

use super::*;
use crate::history::Event;
use crate::history::RegistrationChannel;

const MS: u64 = 1000;
const RULES: Rules = Rules {
    bound_us: 1_500 * MS,
    lease_us: 1_000 * MS,
};

/// A history under construction; times are milliseconds.
#[derive(Default)]
struct Story {
    entries: Vec<Entry>,
}

impl Story {
    /// Two instances, a connected back end.
    fn begin() -> Story {
        let mut story = Story::default();
        story.add(
            0,
            Event::Era {
                reason: "start".into(),
            },
        );
        story.add(0, Event::BackEnd { connected: true });
        story.ready(0, "A").ready(0, "B")
    }

    fn add(&mut self, at_ms: u64, event: Event) {
        self.entries.push(Entry {
            at_us: at_ms * MS,
            event,
        });
    }

    fn with(mut self, at_ms: u64, event: Event) -> Story {
        self.add(at_ms, event);
        self
    }

    fn ready(self, at_ms: u64, id: &str) -> Story {
        self.with(at_ms, Event::InstanceReady { id: id.into() })
    }

    fn request(self, at_ms: u64, ticket: &str, kind: &str, path: &str, attempt: u32) -> Story {
        let argument = match kind {
            "execute" => Some(format!("0='{ticket}'")),
            "write" => Some(ticket.to_string()),
            _ => None,
        };
        self.with(
            at_ms,
            Event::Sent {
                ep: "dev-1".into(),
                ticket: ticket.into(),
                kind: kind.into(),
                path: path.into(),
                repeatable: kind != "execute",
                argument,
                timeout_ms: 10_000,
                intended_us: at_ms * MS,
                attempt,
                probe: false,
                published: true,
            },
        )
    }

    fn read(self, at_ms: u64, ticket: &str) -> Story {
        self.request(at_ms, ticket, "read", "/3/0/0", 1)
    }

    fn execute(self, at_ms: u64, ticket: &str) -> Story {
        self.request(at_ms, ticket, "execute", "/3303/0/5605", 1)
    }

    fn heard(self, at_ms: u64, message: &str) -> Story {
        self.with(
            at_ms,
            Event::Heard {
                message: message.into(),
            },
        )
    }

    /// `rest` stands between the ticket and the speaker.
    fn says(self, at_ms: u64, ticket: &str, rest: &str, by: &str) -> Story {
        self.heard(
            at_ms,
            &format!(r#"{{"ep":"dev-1","ticket":"{ticket}",{rest},"by":"{by}"}}"#),
        )
    }

    fn ack(self, at_ms: u64, ticket: &str, by: &str) -> Story {
        self.says(at_ms, ticket, r#""ack":true"#, by)
    }

    fn value(self, at_ms: u64, ticket: &str, value: &str, by: &str) -> Story {
        let node = format!(r#"{{"kind":"singleresource","id":0,"type":"string","value":"{value}"}}"#);
        self.says(
            at_ms,
            ticket,
            &format!(r#""resp":{{"kind":"read","code":"CONTENT","node":{node}}}"#),
            by,
        )
    }

    fn changed(self, at_ms: u64, ticket: &str, by: &str) -> Story {
        self.says(at_ms, ticket, r#""resp":{"kind":"execute","code":"CHANGED"}"#, by)
    }

    fn executed(self, at_ms: u64, kind: &str, path: &str, exchange: u16, said: Result<&str, &str>) -> Story {
        self.with(
            at_ms,
            Event::DeviceExecuted {
                ep: "dev-1".into(),
                kind: kind.into(),
                path: path.into(),
                message_id: exchange,
                token: format!("{exchange:04x}"),
                argument: said.err().map(Into::into),
                code: "2.05".into(),
                value: said.ok().map(Into::into),
            },
        )
    }

    fn ran(self, at_ms: u64, ticket: &str, exchange: u16) -> Story {
        self.executed(
            at_ms,
            "execute",
            "/3303/0/5605",
            exchange,
            Err(&format!("0='{ticket}'")),
        )
    }

    fn kill(self, at_ms: u64, id: &str) -> Story {
        self.with(
            at_ms,
            Event::Fault {
                action: "kill".into(),
                instances: vec![id.into()],
                affected: vec!["dev-1".into()],
                harmful: true,
            },
        )
    }

    fn disconnected(self, from_ms: u64, to_ms: u64) -> Story {
        self.with(from_ms, Event::BackEnd { connected: false })
            .with(to_ms, Event::BackEnd { connected: true })
    }

    fn registration(self, at_ms: u64, channel: RegistrationChannel, id: &str, rev: u64) -> Story {
        let plain = format!(r#"{{"ep":"dev-1","regId":"{id}","rev":{rev},"reason":"replaced"}}"#);
        let message = match channel {
            RegistrationChannel::Up => format!(r#"{{"regUpdate":{{"regId":"{id}"}},"regUpdated":{plain}}}"#),
            _ => plain,
        };
        self.with(at_ms, Event::Registration { channel, message })
    }

    fn judged(self) -> Judgement {
        self.ended_at(60_000)
    }

    fn ended_at(self, at_ms: u64) -> Judgement {
        let story = self
            .with(at_ms, Event::LoadStopped)
            .with(at_ms, Event::Ended { interrupted: false });
        story.cut_off()
    }

    fn cut_off(self) -> Judgement {
        let mut checker = Checker::new(RULES);
        self.entries.iter().for_each(|entry| checker.observe(entry));
        let (mut judgement, _) = checker.finish();
        tell_stories(&mut judgement.violations, self.entries.into_iter());
        judgement
    }
}

/// Exactly this rule is broken, exactly once, and the counter-example is about this ticket.
fn assert_only(judgement: &Judgement, breach: Breach, ticket: &str) -> Violation {
    let counts: Vec<_> = judgement
        .counts
        .iter()
        .map(|(breach, count)| (*breach, *count))
        .collect();
    assert_eq!(counts, [(breach, 1)], "{:#?}", judgement.violations);
    assert_eq!(judgement.violations.len(), 1);
    assert_eq!(judgement.violations[0].ticket, ticket);
    judgement.violations[0].clone()
}

fn assert_lawful(judgement: &Judgement) {
    assert_eq!(
        judgement.counts.values().sum::<u64>(),
        0,
        "{:#?}",
        judgement.violations
    );
}

// Lawful histories

#[test]
fn a_read_that_is_acked_and_answered_is_lawful() {
    let story = Story::begin().read(100, "t1").ack(101, "t1", "A#1");
    let story = story
        .executed(102, "read", "/3/0/0", 7, Ok("Acme"))
        .value(103, "t1", "Acme", "A#1");
    assert_lawful(&story.judged());
}

#[test]
fn copies_that_repeats_bring_are_lawful_and_counted() {
    let story = Story::begin().execute(100, "t1").ack(101, "t1", "A#1");
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
    let err = r#""err":{"errorMessage":"no registration for endpoint dev-1","code":"UNKNOWN_ENDPOINT"}"#;
    assert_lawful(
        &Story::begin()
            .read(100, "t1")
            .says(101, "t1", err, "A#1")
            .judged(),
    );
}

#[test]
fn an_unknown_outcome_after_a_crash_is_lawful_whether_the_device_executed_it_or_not() {
    let err = r#""err":{"errorMessage":"A died","code":"OUTCOME_UNKNOWN","sent":true}"#;
    let story = Story::begin()
        .execute(100, "t1")
        .ack(101, "t1", "A#1")
        .kill(102, "A")
        .ran(103, "t1", 7);
    assert_lawful(&story.says(1500, "t1", err, "B#1").judged());
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
        .read(100, "t1")
        .ack(101, "t1", "A#1")
        .kill(102, "A")
        .ready(400, "A");
    let story = story
        .value(401, "t1", "Acme", "A#1")
        .read(5000, "t2")
        .ack(5001, "t2", "A#2");
    assert_lawful(&story.value(5002, "t2", "Acme", "A#2").judged());
}

#[test]
fn a_broker_that_forgot_begins_a_new_era() {
    let story = Story::begin()
        .read(100, "t1")
        .ack(101, "t1", "A#3")
        .execute(110, "t2")
        .ack(111, "t2", "A#3");
    let story = story.ran(112, "t2", 7).with(
        200,
        Event::Era {
            reason: "the broker restarted empty".into(),
        },
    );
    let story = story
        .request(2000, "t2", "execute", "/3303/0/5605", 2)
        .ack(2001, "t2", "A#1");
    let judgement = story.ran(2002, "t2", 9).changed(2003, "t2", "A#1").judged();
    assert_lawful(&judgement);
    assert_eq!(judgement.lost_with_broker, 1);
}

#[test]
fn an_interrupted_run_leaves_its_tickets_open() {
    let story = Story::begin().read(100, "t1").ack(101, "t1", "A#1");
    let judgement = story.with(900, Event::Ended { interrupted: true }).cut_off();
    assert_lawful(&judgement);
    assert_eq!(judgement.open, 1);
}

#[test]
fn a_late_datagram_of_a_ticket_that_timed_out_breaks_no_order() {
    let err = r#""err":{"errorMessage":"no answer","code":"TIMEOUT","sent":true}"#;
    let story = Story::begin()
        .execute(100, "t1")
        .ack(101, "t1", "A#1")
        .execute(110, "t2")
        .ack(111, "t2", "A#1");
    let story = story
        .says(10_200, "t1", err, "A#1")
        .ran(10_300, "t2", 8)
        .changed(10_301, "t2", "A#1");
    assert_lawful(&story.ran(10_400, "t1", 7).judged());
}

// One broken rule each

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
fn an_acked_request_that_never_ends_has_no_terminal() {
    let judgement = Story::begin()
        .read(100, "t1")
        .ack(101, "t1", "A#1")
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
        .read(100, "t1")
        .ack(101, "t1", "A#1")
        .ack(102, "t1", "A#1");
    assert_only(
        &story.value(103, "t1", "Acme", "A#1").judged(),
        Breach::DoubleAck,
        "t1",
    );
}

#[test]
fn a_copy_of_an_ack_that_no_repeat_asked_for_is_reported() {
    let story = Story::begin().read(100, "t1").ack(101, "t1", "A#1");
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
        .read(100, "t1")
        .ack(101, "t1", "A#1")
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
        .execute(100, "t1")
        .ack(101, "t1", "A#1")
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
    let refused = r#""err":{"errorMessage":"no","code":"BAD_REQUEST"}"#;
    let story = Story::begin()
        .read(100, "t1")
        .says(101, "t1", refused, "A#1")
        .ack(102, "t1", "A#1");
    assert_only(&story.judged(), Breach::TerminalBeforeAck, "t1");
}

#[test]
fn a_superseded_incarnation_that_speaks_is_a_second_voice() {
    let story = Story::begin()
        .read(100, "t1")
        .ack(101, "t1", "A#2")
        .read(110, "t2")
        .ack(111, "t2", "A#1");
    let story = story
        .value(120, "t1", "Acme", "A#2")
        .value(121, "t2", "Acme", "A#2");
    assert_only(&story.judged(), Breach::TwoVoices, "t2");
}

#[test]
fn two_members_that_ack_one_ticket_are_two_voices() {
    let story = Story::begin()
        .read(100, "t1")
        .ack(101, "t1", "A#1")
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
        .read(100, "t1")
        .ack(101, "t1", "A#1")
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
        .execute(100, "t1")
        .ack(101, "t1", "A#1")
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
    let story =
        Story::begin()
            .read(100, "t1")
            .ack(101, "t1", "A#1")
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
        .read(100, "t1")
        .ack(101, "t1", "A#1")
        .executed(102, "read", "/3/0/0", 7, Ok("new"));
    assert_only(
        &story.value(103, "t1", "old", "A#1").judged(),
        Breach::WrongValue,
        "t1",
    );
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
        .execute(100, "t1")
        .ack(101, "t1", "A#1")
        .ran(102, "t1", 7)
        .changed(103, "t1", "A#1");
    let story = story
        .execute(200, "t2")
        .ack(201, "t2", "A#1")
        .changed(202, "t2", "A#1");
    assert_only(&story.judged(), Breach::WrongValue, "t2");
}

#[test]
fn a_request_that_was_never_sent_and_yet_executed_is_reported() {
    let err = r#""err":{"errorMessage":"too late","code":"TIMEOUT","sent":false}"#;
    let story = Story::begin()
        .execute(100, "t1")
        .ack(101, "t1", "A#1")
        .says(10_200, "t1", err, "A#1");
    assert_only(&story.ran(10_300, "t1", 7).judged(), Breach::WrongValue, "t1");
}

#[test]
fn an_outcome_after_the_timeout_and_f_is_late() {
    let story = Story::begin().read(100, "t1").ack(101, "t1", "A#1");
    let judgement = story.value(11_601, "t1", "Acme", "A#1").judged();
    let violation = assert_only(&judgement, Breach::Late, "t1");
    assert_eq!(
        violation.explanation,
        "the outcome came 0.001 s after timeout (10000 ms) and F"
    );
}

// Registration events

#[test]
fn registration_events_in_sequence_are_lawful() {
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
    let story = story.registration(2, RegistrationChannel::Up, "r1", 2);
    let story = story.registration(3, RegistrationChannel::Del, "r1", 3);
    assert_lawful(&story.registration(3, RegistrationChannel::New, "r2", 4).judged());
}

#[test]
fn a_gap_in_rev_is_a_violation_unless_the_back_end_was_away() {
    let gap = |story: Story| {
        story
            .registration(9000, RegistrationChannel::Up, "r1", 5)
            .judged()
    };
    let begin = || Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
    let judgement = gap(begin());
    assert_eq!((judgement.count(Breach::Event), judgement.event_gaps), (1, 0));
    assert_eq!(
        judgement.violations[0].explanation,
        "rev 5 after rev 1: expected 2"
    );
    let judgement = gap(begin().disconnected(4000, 5000));
    assert_eq!((judgement.count(Breach::Event), judgement.event_gaps), (0, 3));
}

#[test]
fn a_registration_that_is_not_announced_as_gone_cannot_be_replaced() {
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
    let judgement = story.registration(2, RegistrationChannel::New, "r2", 2).judged();
    assert_eq!(judgement.count(Breach::Event), 1);
    assert_eq!(
        judgement.violations[0].story.len(),
        4,
        "both events with era and connection"
    );
}

#[test]
fn nothing_is_published_between_the_end_of_a_registration_and_the_next() {
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
    let story = story.registration(2, RegistrationChannel::Del, "r1", 2);
    let judgement = story.registration(3, RegistrationChannel::Up, "r1", 3).judged();
    assert_eq!(judgement.count(Breach::Event), 1);
    assert_eq!(
        judgement.violations[0].explanation,
        "REG_UP r1 after REG_DEL: expected REG_NEW"
    );
}
