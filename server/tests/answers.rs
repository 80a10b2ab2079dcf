//! Answers of devices that are unusual, come twice, or come from where they should not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use lwm2m::coap::{Code, Kind, Message, Token, option};
use std::net::SocketAddr;
use support::{Sent, World, device, request};

const A: usize = 0;
const B: usize = 1;

/// The answer of a device in the acknowledgement.
fn piggybacked(to: &Sent, code: Code, payload: &str) -> Message {
    Message {
        payload: payload.as_bytes().to_vec(),
        ..Message::new(
            Kind::Acknowledgement,
            code,
            to.message.message_id,
            to.message.token,
        )
    }
}

/// The answer of a device in a message of its own, which it repeats until it is acknowledged.
fn separate(to: &Sent, message_id: u16, payload: &str) -> Message {
    Message {
        payload: payload.as_bytes().to_vec(),
        ..Message::new(Kind::Confirmable, Code::CONTENT, message_id, to.message.token)
    }
}

/// What became of a ticket: nothing yet, or the text of its one terminal.
fn outcome(world: &mut World) -> Option<String> {
    let mut outcomes = world.answers();
    outcomes.retain(|answer| !answer.contains(r#""ack":true"#));
    assert!(outcomes.len() <= 1, "{outcomes:?}");
    outcomes.pop()
}

fn said_to(world: &mut World, to: SocketAddr) -> Vec<(Kind, Code, u16)> {
    let sent = world.sent().into_iter().filter(|sent| sent.to == to);
    sent.map(|sent| (sent.message.kind, sent.message.code, sent.message.message_id))
        .collect()
}

#[test]
fn an_answer_that_cannot_be_read_ends_the_ticket_at_once_says_why_and_makes_way_for_the_next() {
    let block = |number: u32, more: bool| number << 4 | u32::from(more) << 3 | 5;
    for (number, value, why) in [
        (option::BLOCK2, block(0, true), "in blocks"),
        (option::BLOCK2, block(1, false), "in blocks"),
        (2001, 7, "critical option 2001 is not supported here"),
        (option::OSCORE, 7, "option 9 (OSCORE) is not supported here"),
    ] {
        for kind in [Kind::Acknowledgement, Kind::NonConfirmable, Kind::Confirmable] {
            let mut world = World::new(2);
            world.register(A, "dev", device(1));
            world.read("dev", "t1");
            world.read("dev", "t2");
            let question = world.one_request();
            outcome(&mut world);
            let mut answer = piggybacked(&question, Code::CONTENT, "x");
            answer.kind = kind;
            answer.options.push_uint(number, value);
            world.datagram(A, device(1), &answer);
            let said = outcome(&mut world).expect("an outcome at once");
            assert!(said.contains(r#""ticket":"t1""#) && said.contains(why), "{said}");
            assert!(said.contains(r#""code":"UNDECODABLE","sent":true"#), "{said}");
            world.one_request();
        }
    }
}

#[test]
fn an_answer_in_one_whole_block_is_an_answer() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let question = world.one_request();
    let mut answer = piggybacked(&question, Code::CONTENT, "x");
    answer.options.push_uint(option::BLOCK2, 6);
    world.datagram(A, device(1), &answer);
    let said = world.answers();
    assert!(said[1].contains(r#""value":"x""#), "{said:?}");
}

#[test]
fn an_unreadable_answer_to_a_dead_holder_ends_the_ticket_through_the_store() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let question = world.one_request();
    world.kill(A);
    let mut answer = piggybacked(&question, Code::CONTENT, "x");
    answer.options.push_uint(2001, 7);
    world.answers();
    world.datagram(B, device(1), &answer);
    let said = outcome(&mut world).expect("an outcome");
    assert!(
        said.contains("critical option 2001") && said.contains("UNDECODABLE"),
        "{said}"
    );
}

#[test]
fn a_write_that_a_device_wants_in_blocks_is_not_done() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.publish(
        r#"{"ep":"dev","ticket":"t1","req":{"kind":"write","path":"/3/0/14","node":{"kind":"singleresource","id":14,"type":"string","value":"+01"}}}"#,
    );
    let question = world.one_request();
    world.answers();
    world.datagram(A, device(1), &piggybacked(&question, Code::CONTINUE, ""));
    let said = outcome(&mut world).expect("an outcome");
    assert!(
        said.contains("UNDECODABLE") && said.contains("in blocks"),
        "{said}"
    );
}

#[test]
fn a_copy_of_an_answer_whose_acknowledgement_was_lost_is_acknowledged_each_time_wherever_it_comes() {
    for through in [A, B] {
        let mut world = World::new(2);
        world.register(A, "dev", device(1));
        world.read("dev", "t1");
        let question = world.one_request();
        let ack = Message::empty(Kind::Acknowledgement, question.message.message_id);
        world.datagram(A, device(1), &ack);
        let answer = separate(&question, 900, "x");
        for pause in [0, 2000, 4000, 8000, 16_000] {
            world.advance(pause);
            world.datagram(through, device(1), &answer);
            let said = said_to(&mut world, device(1));
            assert_eq!(
                said,
                [(Kind::Acknowledgement, Code::EMPTY, 900)],
                "through {through}"
            );
        }
        assert!(
            outcome(&mut world)
                .expect("an outcome")
                .contains(r#""value":"x""#)
        );
    }
}

#[test]
fn a_copy_of_an_answer_that_was_finished_through_the_store_is_acknowledged_each_time() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    let question = world.one_request();
    world.kill(A);
    let answer = separate(&question, 900, "x");
    for pause in [0, 2000, 4000] {
        world.advance(pause);
        world.datagram(B, device(1), &answer);
        let said = said_to(&mut world, device(1));
        assert_eq!(said, [(Kind::Acknowledgement, Code::EMPTY, 900)]);
    }
}

#[test]
fn an_answer_from_another_address_or_to_another_message_is_nobodys() {
    for holder_is_dead in [false, true] {
        for through in [A, B] {
            let mut world = World::new(2);
            world.register(A, "dev", device(1));
            world.register(B, "other", device(2));
            world.execute_request("dev", "t1");
            let question = world.one_request();
            let forged = |kind, message_id| Message {
                kind,
                message_id,
                ..piggybacked(&question, Code::CHANGED, "")
            };
            let id = question.message.message_id;
            if holder_is_dead && through == B {
                world.kill(A);
            }
            world.answers();
            world.datagram(through, device(1), &forged(Kind::Acknowledgement, id ^ 1));
            for stranger in [device(2), device(3)] {
                for kind in [Kind::Acknowledgement, Kind::NonConfirmable, Kind::Confirmable] {
                    world.datagram(through, stranger, &forged(kind, id));
                }
            }
            assert_eq!(outcome(&mut world), None);
            // The device itself is heard.
            world.datagram(through, device(1), &forged(Kind::Acknowledgement, id));
            let said = outcome(&mut world).expect("an outcome");
            assert!(said.contains(r#""code":"CHANGED""#), "{said}");
        }
    }
}

#[test]
fn a_device_that_its_nat_moved_in_mid_exchange_is_heard_once_its_update_has_said_so() {
    for through in [A, B] {
        let mut world = World::new(2);
        let id = world.register(A, "dev", device(1));
        world.read("dev", "t1");
        let question = world.one_request();
        world.answers();
        let answer = separate(&question, 900, "x");
        world.datagram(through, device(5), &answer);
        // No Reset: the device is to repeat it.
        assert_eq!(
            (said_to(&mut world, device(5)), outcome(&mut world)),
            (vec![], None)
        );
        let update = request(Code::POST, 77, &format!("/rd/{id}"));
        world.datagram(A, device(5), &update);
        world.advance(2000);
        said_to(&mut world, device(5));
        world.datagram(through, device(5), &answer);
        assert!(
            outcome(&mut world)
                .expect("an outcome")
                .contains(r#""value":"x""#)
        );
        let said = said_to(&mut world, device(5));
        assert_eq!(said, [(Kind::Acknowledgement, Code::EMPTY, 900)]);
    }
}

#[test]
fn a_token_that_nobody_waits_for_is_rejected() {
    let mut world = World::new(1);
    let token = Token::from([0, 7, 0, 1, 1, 2, 3, 4]);
    let answer = Message::new(Kind::Confirmable, Code::CONTENT, 900, token);
    world.datagram(A, device(1), &answer);
    assert_eq!(said_to(&mut world, device(1)), [(Kind::Reset, Code::EMPTY, 900)]);
}

#[test]
fn what_the_message_layer_refuses_it_explains() {
    let mut world = World::new(1);
    for (number, value, code, text) in [
        (
            option::BLOCK1,
            0b0101,
            Code::BAD_OPTION,
            "option 27 (Block1) is not supported here",
        ),
        (
            option::BLOCK2,
            0b0101,
            Code::BAD_OPTION,
            "option 23 (Block2) is not supported here",
        ),
        (
            option::PROXY_URI,
            7,
            Code::PROXYING_NOT_SUPPORTED,
            "option 35 (Proxy-Uri) is not supported here",
        ),
    ] {
        let mut register = world.register_request("dev", "lt=60");
        register.options.push_uint(number, value);
        world.datagram(A, device(1), &register);
        let answer = world.sent().remove(0).message;
        assert_eq!(
            (answer.code, String::from_utf8_lossy(&answer.payload).as_ref()),
            (code, text)
        );
    }
    assert_eq!(world.events(), []);
    assert_eq!(world.instance(A).statistics().messages_refused, 3);
}
