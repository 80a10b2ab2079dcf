//! The ticket contract, rule by rule, through kills, pauses and cuts of instances (northbound contract 1 to 7).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use lwm2m::coap::{Code, Kind, Message};
use server::instance::Limits;
use server::partition::Partition;
use std::time::Duration;
use support::ledger::{endpoint_of, requests};
use support::{World, device};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// An endpoint whose steward is not the instance that serves its Register, and which one it is.
fn endpoint_with_steward(world: &mut World, steward: &str) -> String {
    for n in 0..200 {
        let ep = format!("probe-{n}");
        world.read(&ep, "who");
        if world.answers()[0].ends_with(&format!(r#""by":"{steward}"}}"#)) {
            return ep;
        }
    }
    panic!("no partition of {steward} found");
}

#[test]
fn a_read_is_acked_sent_and_answered() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    assert_eq!(
        world.answers(),
        [r#"{"ticket":"t1","ep":"dev","ack":true,"by":"A#1"}"#]
    );
    let request = world.one_request();
    assert_eq!(
        (request.to, request.message.code, request.message.kind),
        (device(1), Code::GET, Kind::Confirmable)
    );
    world.answer(A, &request, Code::CONTENT, "Model");
    assert_eq!(
        world.answers(),
        [
            r#"{"ticket":"t1","ep":"dev","resp":{"kind":"read","code":"CONTENT","node":{"kind":"singleresource","id":1,"type":"string","value":"Model"}},"by":"A#1"}"#
        ]
    );
}

#[test]
fn the_steward_acks_and_the_owner_sends() {
    let mut world = World::new(3);
    let ep = endpoint_with_steward(&mut world, "C#1");
    world.advance(11_000);
    world.register(A, &ep, device(1));
    world.read(&ep, "t1");
    assert_eq!(
        world.answers(),
        [format!(r#"{{"ticket":"t1","ep":"{ep}","ack":true,"by":"C#1"}}"#)]
    );
    let request = world.one_request();
    assert_eq!(request.node, A);
    world.answer(A, &request, Code::CONTENT, "Model");
    assert!(world.answers()[0].ends_with(r#""by":"A#1"}"#));
}

#[test]
fn an_unknown_endpoint_is_refused_once_and_its_repeat_gets_a_copy() {
    let mut world = World::new(3);
    world.read("nobody", "t1");
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].starts_with(
        r#"{"ticket":"t1","ep":"nobody","err":{"errorMessage":"no device is registered with the endpoint client name nobody","code":"UNKNOWN_ENDPOINT"},"by":""#
    ));
    world.register(A, "nobody", device(1));
    world.read("nobody", "t1");
    assert!(world.answers()[0].contains(r#""code":"UNKNOWN_ENDPOINT"},"again":true,"by":""#));
    world.advance(11_000);
    world.read("nobody", "t1");
    assert!(world.answers()[0].contains(r#""ack":true,"by""#));
}

#[test]
fn malformed_requests_with_a_ticket_are_answered_once() {
    let mut world = World::new(3);
    for (ticket, text) in [
        (
            "m1",
            r#"{"ep":"dev","ticket":"m1","req":{"kind":"read","path":"/3/x"}}"#,
        ),
        ("m2", r#"{"ep":"dev","ticket":"m2","req":{"kind":"#),
        (
            "m3",
            r#"{"ep":7,"ticket":"m3","req":{"kind":"read","path":"/3/0"}}"#,
        ),
        ("m4", r#"{"ticket":"m4","req":{"kind":"read","path":"/3/0"}}"#),
    ] {
        world.publish(text);
        let answers = world.answers();
        assert_eq!(answers.len(), 1, "{text}: {answers:?}");
        assert!(
            answers[0].contains(&format!(r#""ticket":"{ticket}""#)),
            "{answers:?}"
        );
        assert!(answers[0].contains(r#""code":"BAD_REQUEST""#), "{answers:?}");
    }
    world.publish("not json at all");
    world.publish(r#"{"ticket":17}"#);
    assert_eq!(world.answers(), [""; 0]);
}

#[test]
fn a_repeat_of_an_ended_ticket_gets_a_copy_and_is_not_executed() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.execute_request("dev", "t1");
    let request = world.one_request();
    world.answer(A, &request, Code::CHANGED, "");
    let first = world.answers();
    world.execute_request("dev", "t1");
    let copies = world.answers();
    assert_eq!(world.sent().len(), 0);
    assert!(copies[0].starts_with(
        r#"{"ticket":"t1","ep":"dev","resp":{"kind":"execute","code":"CHANGED"},"again":true,"by":""#
    ));
    assert_eq!((first.len(), copies.len()), (2, 1));
}

#[test]
fn requests_to_one_device_go_one_after_the_other_in_the_order_of_their_acks() {
    let mut world = World::new(3);
    world.register(B, "dev", device(1));
    for ticket in ["t1", "t2", "t3"] {
        world.read("dev", ticket);
    }
    let acks = world.answers();
    assert_eq!(acks.len(), 3);
    for ticket in ["t1", "t2", "t3"] {
        let request = world.one_request();
        world.answer(B, &request, Code::CONTENT, ticket);
        assert!(world.answers()[0].contains(&format!(r#""ticket":"{ticket}""#)));
    }
}

#[test]
fn a_full_queue_is_refused() {
    let mut world = World::with_limits(
        1,
        Limits {
            queue_per_endpoint: 2,
            ..Limits::default()
        },
    );
    world.register(A, "dev", device(1));
    for ticket in ["t1", "t2", "t3"] {
        world.read("dev", ticket);
    }
    world.answers();
    world.read("dev", "t4");
    let refusal = world.answers();
    assert!(refusal[0].contains(r#""code":"OVERLOADED""#), "{refusal:?}");
}

#[test]
fn a_ticket_ends_at_its_timeout_and_the_next_one_begins() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.publish(r#"{"ep":"dev","ticket":"t1","timeout":3000,"req":{"kind":"read","path":"/3/0/1"}}"#);
    world.read("dev", "t2");
    let first = world.one_request();
    world.answers();
    world.advance(2500);
    assert!(
        world
            .sent()
            .iter()
            .all(|s| s.message.token == first.message.token)
    );
    world.advance(2000);
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].contains(r#""ticket":"t1","ep":"dev","err":{"errorMessage":"no outcome within the timeout of the request","code":"TIMEOUT","sent":true}"#));
    let second = world
        .sent()
        .into_iter()
        .rfind(|s| s.message.token != first.message.token)
        .unwrap();
    world.answer(A, &second, Code::CONTENT, "x");
    assert!(world.answers()[0].contains(r#""ticket":"t2""#));
}

#[test]
fn a_device_that_never_answers_is_unreachable() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    world.advance(100_000);
    let answers = world.answers();
    assert!(
        answers[1].contains(r#""code":"UNREACHABLE","sent":true}"#),
        "{answers:?}"
    );
    // The first transmission and MAX_RETRANSMIT copies, all the same message.
    let sent = world.sent();
    let requests: Vec<_> = sent.iter().filter(|s| s.message.code == Code::GET).collect();
    assert_eq!(requests.len(), 5);
    assert!(
        requests
            .iter()
            .all(|s| s.message.message_id == requests[0].message.message_id)
    );
}

#[test]
fn a_survivor_goes_on_with_the_same_exchange_when_the_owner_dies() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let first = world.one_request();
    assert_eq!(first.node, A);
    world.answers();
    world.kill(A);
    world.advance(1200);
    let again = world.one_request();
    assert_ne!(again.node, A);
    assert_eq!(
        (again.message.message_id, again.message.token),
        (first.message.message_id, first.message.token)
    );
    world.answer(again.node, &again, Code::CONTENT, "x");
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].contains(r#""resp""#), "{answers:?}");
    world.advance(10_000);
    assert_eq!(world.answers(), [""; 0]);
}

#[test]
fn what_may_be_sent_once_ends_with_an_unknown_outcome_when_its_holder_dies() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.execute_request("dev", "t1");
    let first = world.one_request();
    assert_eq!(first.node, A);
    world.answers();
    world.kill(A);
    world.advance(1200);
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(
        answers[0].contains(r#""code":"OUTCOME_UNKNOWN","sent":true}"#),
        "{answers:?}"
    );
    assert_eq!(world.sent().len(), 0);
    // The device's answer comes too late to change it.
    world.answer(B, &first, Code::CHANGED, "");
    world.advance(10_000);
    assert_eq!(world.answers(), [""; 0]);
}

#[test]
fn a_request_that_the_steward_read_and_never_stored_is_replayed_by_the_next() {
    let mut world = World::new(3);
    let ep = endpoint_with_steward(&mut world, "C#1");
    world.advance(11_000);
    world.register(A, &ep, device(1));
    world.pause(C);
    world.read(&ep, "t1");
    world.execute_request(&ep, "t2");
    assert_eq!(world.answers(), [""; 0]);
    world.advance(1200);
    let acks = world.answers();
    assert_eq!(acks.len(), 2);
    assert!(
        acks[0].contains(r#""ticket":"t1""#) && acks[1].contains(r#""ticket":"t2""#),
        "{acks:?}"
    );
    let request = world.one_request();
    world.answer(A, &request, Code::CONTENT, "x");
    world.answers();
    // The zombie wakes with both requests in its inbox: it has to forget them.
    world.resume(C);
    world.advance(500);
    let request = world.one_request();
    assert_eq!(request.message.code, Code::POST);
    world.answer(A, &request, Code::CHANGED, "");
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].contains(r#""ticket":"t2""#));
    assert_eq!(world.ready(C), ["C#1", "C#2"]);
}

#[test]
fn a_dispatch_that_a_paused_owner_never_read_is_sent_by_another() {
    let mut world = World::new(3);
    let ep = endpoint_with_steward(&mut world, "C#1");
    world.advance(11_000);
    world.register(A, &ep, device(1));
    world.pause(A);
    world.execute_request(&ep, "t1");
    assert_eq!(world.answers().len(), 1);
    world.advance(1200);
    // It was dispatched to A but not begun, so it was not sent: another may.
    let request = world.one_request();
    assert_ne!(request.node, A);
    world.resume(A);
    world.advance(3000);
    world.answer(request.node, &request, Code::CHANGED, "");
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].contains(r#""code":"CHANGED""#), "{answers:?}");
    assert_eq!(
        world
            .sent()
            .iter()
            .filter(|s| s.node == A && s.message.code == Code::POST)
            .count(),
        0
    );
}

#[test]
fn an_answer_that_comes_to_another_instance_finds_its_way() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let request = world.one_request();
    world.answers();
    world.answer(B, &request, Code::CONTENT, "x");
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].contains(r#""value":"x"}},"by":"A#1"}"#), "{answers:?}");
    assert_eq!(world.instance(B).statistics().strays_forwarded, 1);
}

#[test]
fn an_empty_message_that_two_members_believe_to_be_the_others_is_passed_on_once() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.register(B, "other", device(1));
    // Answers to each come to the other, and so both know that the device is the other's.
    for (ep, ticket, at) in [("dev", "t1", B), ("other", "t2", A)] {
        world.read(ep, ticket);
        let request = world.one_request();
        world.answer(at, &request, Code::CONTENT, "x");
    }
    world.datagram(A, device(1), &Message::empty(Kind::Acknowledgement, 4711));
    world.advance(5000);
    let forwarded = |n| world.instance(n).statistics().strays_forwarded;
    assert_eq!((forwarded(A), forwarded(B)), (2, 1));
}

#[test]
fn an_answer_whose_holder_is_dead_is_finished_through_the_store() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let request = world.one_request();
    world.answers();
    world.kill(A);
    world.answer(B, &request, Code::CONTENT, "x");
    let answers = world.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].contains(r#""value":"x"}},"by":"B#1"}"#), "{answers:?}");
    world.advance(5000);
    assert_eq!((world.answers(), world.sent().len()), (vec![], 0));
}

#[test]
fn a_reset_of_the_device_rejects_the_request() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let request = world.one_request();
    let reset = Message::empty(Kind::Reset, request.message.message_id);
    world.datagram(A, device(1), &reset);
    assert!(world.answers()[1].contains(r#""code":"REJECTED","sent":true}"#));
}

#[test]
fn what_cannot_be_encoded_for_the_device_ends_with_an_error_that_says_nothing_was_sent() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.publish(
        r#"{"ep":"dev","ticket":"t1","req":{"kind":"write","path":"/3/0/15","contentFormat":60,"node":{"kind":"singleresource","id":15,"type":"string","value":"x"}}}"#,
    );
    let answers = world.answers();
    assert!(
        answers.last().unwrap().contains(r#""code":"BAD_REQUEST""#),
        "{answers:?}"
    );
    assert_eq!(world.sent().len(), 0);
}

#[test]
fn answers_go_to_the_channel_that_the_request_names() {
    let mut world = World::new(1);
    world.publish(
        r#"{"ep":"dev","ticket":"t1","replyTo":"LESHAN_RESP_mine","req":{"kind":"read","path":"/3/0/1"}}"#,
    );
    assert_eq!(world.answers(), [""; 0]);
    world
        .publish(r#"{"ep":"dev","ticket":"t2","replyTo":"elsewhere","req":{"kind":"read","path":"/3/0/1"}}"#);
    assert!(world.answers()[0].contains("BAD_REQUEST"));
}

#[test]
fn a_re_registration_asks_again_what_may_be_asked_again_and_leaves_open_what_may_not() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let first = world.one_request();
    world.answers();
    world.register(B, "dev", device(1));
    world.advance(10);
    world.answer(B, &first, Code::CONTENT, "x");
    assert!(world.answers()[0].contains(r#""by":"B#1""#));
    world.execute_request("dev", "t2");
    world.answers();
    world.register(A, "dev", device(1));
    assert!(world.answers()[0].contains(r#""code":"OUTCOME_UNKNOWN""#));
}

#[test]
fn a_de_registration_ends_what_waits() {
    let mut world = World::new(1);
    let id = world.register(A, "dev", device(1));
    world.read("dev", "t1");
    world.execute_request("dev", "t2");
    world.answers();
    let mid = world.next_mid();
    world.datagram(
        A,
        device(1),
        &support::request(Code::DELETE, mid, &format!("/rd/{id}")),
    );
    let answers = world.answers();
    assert!(answers[0].contains(r#""ticket":"t1""#) && answers[0].contains(r#""code":"GONE","sent":true"#));
    assert!(answers[1].contains(r#""ticket":"t2""#) && answers[1].contains(r#""code":"GONE","sent":false"#));
    world.sent();
    world.advance(30_000);
    assert_eq!(world.sent().len(), 0, "a stopped exchange is not retransmitted");
}

#[test]
fn partitions_of_tickets_without_an_endpoint_follow_the_ticket() {
    assert_eq!(Partition::of("m4"), Partition::of("m4"));
    let mut world = World::new(3);
    world.publish(r#"{"ticket":"m4"}"#);
    assert_eq!(world.answers().len(), 1);
}

/// How often a partition was swept since the last count.
fn sweeps(world: &mut World) -> usize {
    let trace = world.trace();
    trace
        .iter()
        .filter(|(script, _, command, _)| script == "Sweep" && command == "TIME")
        .count()
}

#[test]
fn a_partition_is_swept_for_an_own_exchange_that_lasts_and_for_none_that_does_not() {
    let mut world = World::new(1);
    world.trace_scripts();
    world.register(A, "dev", device(1));
    world.advance(2_000);
    sweeps(&mut world);
    for n in 0..10 {
        world.read("dev", &format!("quick-{n}"));
        let request = world.one_request();
        world.answer(A, &request, Code::CONTENT, "Model");
        world.advance(1_500);
    }
    assert_eq!(sweeps(&mut world), 0);
    world.read("dev", "slow");
    world.advance(900);
    assert_eq!(sweeps(&mut world), 0);
    world.advance(700);
    assert!(sweeps(&mut world) > 0);
}

#[test]
fn what_was_refused_is_not_executed_when_a_long_lease_lets_it_be_replayed_late() {
    let mut world = World::with_lease(2, Limits::default(), Duration::from_secs(10));
    let ep = endpoint_of(&mut world, "A#1");
    world.execute_request(&ep, "t1");
    assert!(world.answers()[0].contains("UNKNOWN_ENDPOINT"));
    world.advance(4000);
    world.register(B, &ep, device(1));
    world.kill(A);
    world.advance(25_000);
    assert_eq!(requests(&mut world).len(), 0);
    assert_eq!(world.answers(), Vec::<String>::new());
}
