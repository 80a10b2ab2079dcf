//! At the limits: floods, a full broker, outages of the broker, names with control characters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use lwm2m::coap::{Code, Kind, Message, Token};
use server::instance::Limits;
use std::net::SocketAddr;
use support::ledger::{Ledger, endpoint_of, requests};
use support::{World, device, request};

const A: usize = 0;
const B: usize = 1;

/// Forged answers: partitions and tags vary (A's, B's, nobody's); so does the rest.
fn forged(n: u32) -> Message {
    let [_, _, high, low] = n.to_be_bytes();
    let token = [0, low, 0, (n % 4) as u8, 0xbe, 0xef, high, low];
    let token = Token::try_from(&token[..]).unwrap();
    Message {
        payload: b"forged".to_vec(),
        ..Message::new(Kind::NonConfirmable, Code::CONTENT, n as u16, token)
    }
}

#[test]
fn a_flood_of_forged_answers_costs_an_instance_its_share_the_others_less_and_the_devices_nothing() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    let shares = Limits::default().shares;
    let mut ledger = Ledger::default();
    for (second, hosts) in [(1, 1), (2, 1), (3, 16_384), (4, 16_384)] {
        world.advance(1000);
        let before: Vec<_> = [A, B].map(|n| world.instance(n).statistics().clone()).into();
        for n in 0..45_000_u32 {
            let [_, _, high, low] = (n % hosts).to_be_bytes();
            let source = SocketAddr::from(([10, 1, high, low], 1024 + (n % 16_384) as u16));
            world.datagram(A, source, &forged(n));
        }
        // Beside it a device is served, with its answer and its Update.
        let ticket = format!("t{second}");
        world.read("dev", &ticket);
        let question = world.one_request();
        world.answer(A, &question, Code::CONTENT, "x");
        let mid = world.next_mid();
        world.datagram(A, device(1), &request(Code::POST, mid, &format!("/rd/{id}")));
        assert_eq!(world.sent().pop().unwrap().message.code, Code::CHANGED);
        ledger.read(&mut world);
        ledger.assert_ended(&ticket, "CONTENT");
        let share = u64::from(match hosts {
            1 => shares.per_source,
            _ => shares.answers_of_strangers,
        });
        for n in [A, B] {
            let (was, is) = (&before[n], world.instance(n).statistics());
            let asked = is.strays_forwarded - was.strays_forwarded;
            assert!(asked <= share, "{asked} of {share}");
            assert_eq!((is.strays_finished, is.leases_lost), (0, 0));
        }
        let dropped = world.instance(A).statistics().beyond_share - before[A].beyond_share;
        assert!(
            dropped >= 45_000 - share - u64::from(shares.fruitless),
            "{dropped}"
        );
    }
}

#[test]
fn updates_of_guessed_locations_are_not_looked_up_without_end_and_known_devices_are_heard_beside_them() {
    let mut world = World::new(1);
    let id = world.register(A, "dev", device(1));
    let shares = Limits::default().shares;
    let update = |n: u16, id: &str| request(Code::POST, n, &format!("/rd/{id}"));
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for n in 0..5_000_u16 {
        let [high, low] = n.to_be_bytes();
        let source = SocketAddr::from(([10, 1, high, low], 5683));
        world.datagram(
            A,
            source,
            &update(n, &format!("{:02x}guess{:03}", n % 256, n % 1000)),
        );
        let answer = world.sent().remove(0).message;
        *answers.entry(answer.code.to_string()).or_default() += 1;
        assert!(answer.payload.is_empty() || answers.len() == 1, "{answer:?}");
    }
    let expected = [
        ("4.04".to_owned(), shares.fruitless),
        ("5.03".to_owned(), 5_000 - shares.fruitless),
    ];
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), expected);
    world.datagram(A, device(1), &update(7, &id));
    assert_eq!(world.sent()[0].message.code, Code::CHANGED);
}

#[test]
fn who_is_not_registered_is_explained_little() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    let explained = |world: &mut World, n: u16, message: &Message| {
        world.datagram(A, device(n), message);
        !world.sent().remove(0).message.payload.is_empty()
    };
    let question = |n: u16| request(Code::GET, n, "/");
    let count = (0..1000).filter(|n| explained(&mut world, 2, &question(*n)));
    assert_eq!(count.count(), 100);
    // A device that is registered hears what is wrong.
    assert!(explained(&mut world, 1, &question(5)));
}

#[test]
fn an_outage_shorter_than_the_lease_costs_nothing_and_a_longer_one_no_registration() {
    let mut world = World::new(2);
    let register = world.register_request("dev", "lt=20");
    world.datagram(A, device(1), &register);
    let id = world.registration_id(A, device(1));
    world.broker_down();
    world.advance(300);
    world.broker_up();
    world.advance(3000);
    assert_eq!(
        (world.ready(A).len(), world.ready(B).len()),
        (1, 1),
        "nobody had to join again"
    );
    world.events();
    world.broker_down();
    world.advance(30_000);
    world.broker_up();
    world.advance(20_000);
    assert_eq!(
        world.events(),
        [],
        "its lifetime is over, but it could not say that it lives"
    );
    let mid = world.next_mid();
    world.datagram(B, device(1), &request(Code::POST, mid, &format!("/rd/{id}")));
    assert_eq!(world.sent().pop().unwrap().message.code, Code::CHANGED);
    assert_eq!(world.events().len(), 1);
    world.advance(70_000);
    assert_eq!(world.events()[0].0, "DEL", "the grace ends");
}

#[test]
fn a_root_with_control_characters_is_refused() {
    let mut world = World::new(1);
    for root in ["/a\nb", "/a\rb", "/a\u{7f}", "/a b"] {
        let mut message = world.register_request("dev", "lt=600");
        message.payload = format!("<{root}>;rt=\"oma.lwm2m\",</3/0>").into_bytes();
        world.datagram(A, device(1), &message);
        assert_eq!(world.sent()[0].message.code, Code::BAD_REQUEST, "{root:?}");
    }
    let id = world.register(A, "dev", device(1));
    let mut message = request(Code::POST, 600, &format!("/rd/{id}"));
    message.payload = b"</a\nb>;rt=\"oma.lwm2m\",</3/0>".to_vec();
    world.datagram(A, device(1), &message);
    assert_eq!(world.sent()[0].message.code, Code::BAD_REQUEST);
}

#[test]
fn requests_with_control_characters_in_every_name_are_answered_and_executed() {
    let mut world = World::new(2);
    let ep = endpoint_of(&mut world, "B#1");
    world.register(A, &ep, device(1));
    // Line breaks inside the request, which travels as the last part of a text with a field a line.
    world.publish(&format!(
        "{{\"ep\":\"{ep}\",\n\"ticket\":\"a\\nb|c\",\n\"req\":\n{{\"kind\":\"read\",\n\"path\":\"/3/0/1\"}}}}"
    ));
    let s = world.one_request();
    assert_eq!(s.node, A);
    world.answer(A, &s, Code::CONTENT, "x");
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    ledger.assert_ended("a\\nb|c", "CONTENT");
    world.publish(
        "{\"ep\":\"no\\u0000\\n|such\",\"ticket\":\"t2\",\"req\":{\"kind\":\"read\",\"path\":\"/3/0/1\"}}",
    );
    assert!(world.answers()[0].contains("UNKNOWN_ENDPOINT"));
}

#[test]
fn a_full_broker_refuses_what_begins_and_carries_out_what_ends() {
    let mut world = World::new(1);
    let id = world.register(A, "dev", device(1));
    let other = world.register(A, "other", device(2));
    world.execute_request("dev", "t1");
    world.read("other", "t2");
    let sent = requests(&mut world);
    world.events();
    world.limit_memory(0);
    // One more key puts it over the limit: a refusal that is remembered.
    world.read("nobody", "filler");
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    world.execute_request("dev", "t3");
    assert_eq!(ledger.read(&mut world), [""; 0], "not stored, so not acked");
    let register = world.register_request("new", "lt=600");
    world.datagram(A, device(3), &register);
    let update = request(Code::POST, 501, &format!("/rd/{id}"));
    world.datagram(A, device(1), &update);
    let codes: Vec<Code> = world.sent().iter().map(|s| s.message.code).collect();
    assert_eq!(codes, [Code::SERVICE_UNAVAILABLE, Code::SERVICE_UNAVAILABLE]);
    assert_eq!(world.events(), []);
    // What ends goes on.
    world.answer(A, &sent[0], Code::CHANGED, "");
    world.datagram(A, device(2), &request(Code::DELETE, 502, &format!("/rd/{other}")));
    assert_eq!(world.sent()[0].message.code, Code::DELETED);
    ledger.read(&mut world);
    ledger.assert_ended("t1", "CHANGED");
    ledger.assert_ended("t2", "GONE");
    world.free_memory();
    world.execute_request("dev", "t3");
    let s = world.one_request();
    world.answer(A, &s, Code::CHANGED, "");
    ledger.read(&mut world);
    ledger.assert_ended("t3", "CHANGED");
}

#[test]
fn a_member_that_fell_comes_back_on_a_full_broker() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.publish(r#"{"ep":"dev","ticket":"t1","timeout":10000,"req":{"kind":"read","path":"/3/0/1"}}"#);
    world.limit_memory(0);
    world.read("nobody", "filler");
    for n in [A, B] {
        world.pause(n);
    }
    world.advance(3000);
    for n in [A, B] {
        world.resume(n);
    }
    world.advance(11_000);
    assert_eq!(
        (
            world.ready(A).last().unwrap().as_str(),
            world.ready(B).last().unwrap().as_str()
        ),
        ("A#2", "B#2")
    );
    let mut ledger = Ledger::default();
    ledger.read(&mut world);
    ledger.assert_ended("t1", "TIMEOUT");
}
