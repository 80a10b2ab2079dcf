//! Fault schedules: replies that vanish, connections cut in the middle of a pipeline, takeovers one after the other,
//! copies and races. Each is followed by the contract: one ack, one terminal, nothing sent twice that may be sent once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use lwm2m::coap::{Code, Kind, Message};
use support::ledger::{Ledger, endpoint_of, field, requests};
use support::{Sent, World, device, request};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

#[test]
fn a_reply_that_is_lost_at_any_call_of_a_ticket_costs_no_ack_and_no_second_outcome() {
    // Calls: accept, begin where the steward is not the owner, finish. The cut comes after the k-th.
    for steward in ["A#1", "B#1"] {
        for kind in ["read", "execute"] {
            for k in 0..4 {
                let mut world = World::new(2);
                let ep = endpoint_of(&mut world, steward);
                world.register(A, &ep, device(1));
                let mut ledger = Ledger::default();
                for n in [A, B] {
                    world.cut_after_calls(n, k);
                }
                let request = |world: &mut World| match kind {
                    "read" => world.read(&ep, "t1"),
                    _ => world.execute_request(&ep, "t1"),
                };
                request(&mut world);
                let mut sent = requests(&mut world);
                for s in &sent {
                    world.answer(A, s, Code::CHANGED, "");
                }
                for n in [A, B] {
                    world.cut_command(n);
                    world.connect_again(n);
                }
                request(&mut world);
                for _ in 0..4 {
                    let more = requests(&mut world);
                    for s in &more {
                        world.answer(A, s, Code::CHANGED, "");
                    }
                    sent.extend(more);
                    world.advance(500);
                }
                ledger.read(&mut world);
                ledger.assert_ended("t1", "CHANGED");
                let mids: Vec<u16> = sent.iter().map(|s| s.message.message_id).collect();
                assert_eq!(mids.len(), 1, "{kind} through {steward}, cut after {k}: {mids:?}");
            }
        }
    }
}

#[test]
fn a_reply_that_is_lost_at_a_registration_costs_no_second_event() {
    let mut world = World::new(2);
    world.lose_replies(A);
    let register = world.register_request("dev", "lt=600");
    world.datagram(A, device(1), &register);
    world.cut_command(A);
    assert!(world.sent().is_empty(), "no success before the reply");
    world.connect_again(A);
    let id = world.registration_id(A, device(1));
    world.lose_replies(A);
    let update = request(Code::POST, 900, &format!("/rd/{id}"));
    world.datagram(A, device(1), &update);
    world.cut_command(A);
    world.connect_again(A);
    assert_eq!(world.sent()[0].message.code, Code::CHANGED);
    world.lose_replies(A);
    let end = request(Code::DELETE, 901, &format!("/rd/{id}"));
    world.datagram(A, device(1), &end);
    world.cut_command(A);
    world.connect_again(A);
    assert_eq!(world.sent()[0].message.code, Code::DELETED);
    let channels: Vec<String> = world.events().into_iter().map(|(channel, _)| channel).collect();
    assert_eq!(channels, ["NEW", "UP", "DEL"]);
}

#[test]
fn a_pipeline_that_is_cut_anywhere_is_executed_once_and_in_order() {
    for k in 0..6 {
        let mut world = World::new(1);
        for n in 1..=5 {
            world.register(A, &format!("dev-{n}"), device(n));
        }
        world.events();
        world.cut_after_calls(A, k);
        for n in 1..=5 {
            world.read(&format!("dev-{n}"), &format!("t{n}"));
        }
        world.cut_command(A);
        world.connect_again(A);
        let mut ledger = Ledger::default();
        let acks = ledger.read(&mut world);
        let order: Vec<String> = acks.iter().map(|text| field(text, "ticket")).collect();
        assert_eq!(order, ["t1", "t2", "t3", "t4", "t5"], "cut after {k}");
        world.advance(1500);
        for s in requests(&mut world) {
            world.answer(A, &s, Code::CONTENT, "x");
        }
        ledger.read(&mut world);
        for n in 1..=5 {
            ledger.assert_ended(&format!("t{n}"), "CONTENT");
        }
    }
}

#[test]
fn two_takeovers_go_on_with_the_same_exchange_and_after_its_lifetime_a_fresh_one_begins() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.publish(r#"{"ep":"dev","ticket":"t1","timeout":600000,"req":{"kind":"read","path":"/3/0/1"}}"#);
    let first = world.one_request();
    let identity = |s: &Sent| (s.message.message_id, s.message.token);
    world.kill(A);
    world.advance(1200);
    let second = world.one_request();
    assert_eq!(identity(&second), identity(&first));
    // The device says that it has it, and will answer later: nothing is repeated any more.
    world.datagram(
        second.node,
        device(1),
        &Message::empty(Kind::Acknowledgement, second.message.message_id),
    );
    world.kill(second.node);
    world.advance(1200);
    let third = world.one_request();
    assert_eq!(identity(&third), identity(&first));
    assert!(![A, second.node].contains(&third.node));
    // Nobody is left, for longer than the device may remember the message ID.
    world.kill(third.node);
    world.advance(250_000);
    // It may declare others dead once it has itself renewed for a lease and a half.
    world.start(A);
    world.advance(2500);
    let fourth = world.one_request();
    assert_eq!(fourth.node, A);
    assert_ne!(fourth.message.token, first.message.token);
    assert_ne!(fourth.message.message_id, first.message.message_id);
    world.answer(A, &fourth, Code::CONTENT, "x");
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    ledger.assert_ended("t1", "CONTENT");
}

#[test]
fn message_ids_of_an_endpoint_go_on_through_their_end_and_through_de_registration() {
    let mut world = World::new(2);
    let mut id = world.register(A, "dev", device(1));
    // It is ahead of the broker's clock, which it follows otherwise.
    let ahead = (1_u64 << 39) + 65_534;
    world.set_field("dev", "mi", &ahead.to_string());
    let mut mids = Vec::new();
    for n in 0..3 {
        world.read("dev", &format!("t{n}"));
        let s = world.one_request();
        mids.push(s.message.message_id);
        world.answer(s.node, &s, Code::CONTENT, "x");
        world.sent();
        world.datagram(
            A,
            device(1),
            &request(Code::DELETE, 700 + n, &format!("/rd/{id}")),
        );
        world.sent();
        id = world.register(B, "dev", device(1));
    }
    assert_eq!(mids, [65535, 0, 1]);
}

#[test]
fn a_broker_that_forgot_the_last_exchanges_gives_none_of_their_message_ids_again() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    let mut mids = Vec::new();
    for n in 0..4 {
        world.read("dev", &format!("t{n}"));
        let s = world.one_request();
        mids.push(s.message.message_id.wrapping_sub(*mids.first().unwrap_or(&0)));
        world.answer(s.node, &s, Code::CONTENT, "x");
        if n == 1 {
            // What the last two exchanges counted is lost.
            world.set_field("dev", "mi", "0");
        }
        world.advance(100);
    }
    // They are as far from each other as 100 ms are from the next.
    assert_eq!(mids[1..], [20, 40, 60]);
}

#[test]
fn a_takeover_sends_what_was_dispatched_and_never_what_may_have_been_sent() {
    for begun in [false, true] {
        let mut world = World::new(3);
        let ep = endpoint_of(&mut world, "C#1");
        world.register(A, &ep, device(1));
        // The dispatch reaches A, its `begin` does or does not reach the broker.
        world.cut_after_calls(A, usize::from(begun));
        world.execute_request(&ep, "t1");
        assert_eq!(requests(&mut world).len(), 0, "no reply, no datagram");
        world.kill(A);
        world.advance(1200);
        let sent = requests(&mut world);
        let mut ledger = Ledger::default();
        if begun {
            assert_eq!(sent.len(), 0);
            ledger.read(&mut world);
            ledger.assert_ended("t1", "OUTCOME_UNKNOWN");
        } else {
            assert_eq!(sent.len(), 1);
            world.answer(sent[0].node, &sent[0], Code::CHANGED, "");
            ledger.read(&mut world);
            ledger.assert_ended("t1", "CHANGED");
        }
    }
}

#[test]
fn one_ticket_of_two_back_ends_is_executed_once_and_both_are_answered() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.execute_request("dev", "t1");
    // The second one asks for something else and elsewhere: the first body counts, its copies go where it says.
    world.publish(
        r#"{"ep":"dev","ticket":"t1","replyTo":"LESHAN_RESP","req":{"kind":"write","path":"/3/0/15","node":{"kind":"singleresource","id":15,"type":"string","value":"x"}}}"#,
    );
    let s = world.one_request();
    assert_eq!(s.message.code, Code::POST);
    let answers = world.answers();
    assert_eq!(answers.len(), 2);
    assert!(
        !answers[0].contains("again") && answers[1].contains(r#""ack":true,"again":true,"#),
        "{answers:?}"
    );
    world.answer(A, &s, Code::CHANGED, "");
    world.publish(
        r#"{"ep":"dev","ticket":"t1","replyTo":"LESHAN_RESP","req":{"kind":"read","path":"/3/0/0"}}"#,
    );
    let answers = world.answers();
    assert_eq!(answers.len(), 2);
    assert!(
        answers[0].contains(r#""resp":{"kind":"execute","code":"CHANGED"},"by""#),
        "{answers:?}"
    );
    assert!(
        answers[1].contains(r#""resp":{"kind":"execute","code":"CHANGED"},"again":true,"#),
        "{answers:?}"
    );
    assert_eq!(requests(&mut world).len(), 0);
}

#[test]
fn a_re_registration_at_the_holder_itself_sends_the_open_request_again() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let first = world.one_request();
    // The device promised an answer and rebooted: without a new transmission nothing would ever come.
    world.datagram(
        A,
        device(1),
        &Message::empty(Kind::Acknowledgement, first.message.message_id),
    );
    let register = world.register_request("dev", "lt=600");
    world.datagram(A, device(2), &register);
    let sent = requests(&mut world);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].to, sent[0].message.token),
        (device(2), first.message.token)
    );
    world.answer(A, &sent[0], Code::CONTENT, "x");
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    ledger.assert_ended("t1", "CONTENT");
}

#[test]
fn an_exchange_that_comes_back_to_a_former_holder_is_sent_by_it() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let first = world.one_request();
    world.register(B, "dev", device(1));
    world.kill(B);
    world.advance(1500);
    let again = requests(&mut world);
    let last = again.last().expect("A sends what B held");
    assert_eq!((last.node, last.message.token), (A, first.message.token));
    world.answer(A, last, Code::CONTENT, "x");
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    ledger.assert_ended("t1", "CONTENT");
}

#[test]
fn a_late_copy_of_an_earlier_register_does_not_replace_a_newer_one() {
    let mut world = World::new(2);
    let first = world.register_request("dev", "lt=600");
    world.datagram(A, device(1), &first);
    world.registration_id(A, device(1));
    let id = world.register(B, "dev", device(1));
    world.events();
    world.datagram(A, device(1), &first);
    assert_eq!(world.sent()[0].message.code, Code::CREATED);
    assert_eq!(world.events(), []);
    let mid = world.next_mid();
    world.datagram(A, device(1), &request(Code::POST, mid, &format!("/rd/{id}")));
    assert_eq!(world.sent()[0].message.code, Code::CHANGED);
}

#[test]
fn a_storm_of_registrations_publishes_each_change_once_and_loses_no_request() {
    let mut world = World::new(3);
    let mut ledger = Ledger::default();
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    world.read("dev", "t2");
    for n in 0..30_u16 {
        let register = world.register_request("dev", "lt=600");
        for copy in 0..3 {
            world.datagram(usize::from(n + copy) % 3, device(n % 4), &register);
        }
    }
    let events = world.events();
    assert_eq!(events.len(), 1 + 60);
    let replaced = events.iter().filter(|(channel, _)| channel == "DEL").count();
    assert_eq!(replaced, 30);
    let holder = 29 % 3;
    let sent = requests(&mut world);
    let last = sent.last().unwrap();
    assert_eq!((last.node, last.to), (holder, device(1)));
    world.answer(holder, last, Code::CONTENT, "x");
    let next = world.one_request();
    world.answer(holder, &next, Code::CONTENT, "x");
    ledger.read(&mut world);
    ledger.assert_ended("t1", "CONTENT");
    ledger.assert_ended("t2", "CONTENT");
}

#[test]
fn a_de_registration_that_races_the_answer_leaves_one_outcome() {
    for late in [A, B] {
        let mut world = World::new(2);
        let id = world.register(A, "dev", device(1));
        world.execute_request("dev", "t1");
        world.read("dev", "t2");
        let s = world.one_request();
        // A can't speak to the broker when the answer comes; the device has said good-bye to B by then.
        world.cut_after_calls(A, 0);
        world.answer(late, &s, Code::CHANGED, "");
        world.datagram(B, device(1), &request(Code::DELETE, 800, &format!("/rd/{id}")));
        world.cut_command(A);
        world.connect_again(A);
        world.advance(3000);
        let mut ledger = Ledger::default();
        ledger.read(&mut world);
        ledger.assert_ended("t1", "OUTCOME_UNKNOWN");
        ledger.assert_ended("t2", "GONE");
        assert_eq!(
            requests(&mut world)
                .iter()
                .filter(|r| r.message.code == Code::GET)
                .count(),
            0
        );
    }
}

#[test]
fn an_update_elsewhere_moves_the_exchange_in_flight_to_the_new_address() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    world.execute_request("dev", "t1");
    let first = world.one_request();
    let mid = world.next_mid();
    world.datagram(B, device(2), &request(Code::POST, mid, &format!("/rd/{id}")));
    world.sent();
    world.advance(3200);
    let copies = requests(&mut world);
    assert_eq!(copies.len(), 1);
    assert_eq!(
        (copies[0].node, copies[0].to, copies[0].message.token),
        (A, device(2), first.message.token)
    );
    world.answer(B, &copies[0], Code::CHANGED, "");
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    ledger.assert_ended("t1", "CHANGED");
}

#[test]
fn copies_of_an_update_do_not_take_two_requests_from_the_queue() {
    let mut world = World::new(3);
    let id = world.register(A, "dev", device(1));
    for ticket in ["t1", "t2", "t3"] {
        world.read("dev", ticket);
    }
    world.sent();
    let mid = world.next_mid();
    let update = request(Code::POST, mid, &format!("/rd/{id}"));
    for n in [B, C, A, B] {
        world.datagram(n, device(1), &update);
    }
    assert_eq!(requests(&mut world).len(), 0);
}

#[test]
fn a_ring_is_replayed_in_order_and_only_once() {
    let mut world = World::new(2);
    let ep = endpoint_of(&mut world, "B#1");
    world.register(A, &ep, device(1));
    world.cut_after_calls(B, 2);
    for n in 1..=5 {
        world.read(&ep, &format!("t{n}"));
    }
    world.kill(B);
    world.advance(1500);
    let mut ledger = Ledger::default();
    let answers = ledger.read(&mut world);
    let order: Vec<String> = answers.iter().map(|text| field(text, "ticket")).collect();
    assert_eq!(order, ["t1", "t2", "t3", "t4", "t5"]);
    let mut last = requests(&mut world);
    for n in 1..=5 {
        let s = last.pop().expect("the next request");
        world.answer(A, &s, Code::CONTENT, "x");
        ledger.read(&mut world);
        ledger.assert_ended(&format!("t{n}"), "CONTENT");
        last = requests(&mut world);
    }
}
