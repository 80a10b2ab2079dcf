//! A broker that forgot its last moments, because it restarted without them or because a replica took over that never
//! had them: nobody acts on what was forgotten.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use support::{World, device};

const A: usize = 0;

#[test]
fn a_member_that_the_broker_does_not_know_says_nothing_on_a_new_connection() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    let then = world.snapshot();
    world.kill(A);
    world.advance(2500);
    world.start(A);
    world.advance(1000);
    assert_eq!(world.ready(A), ["A#1", "A#2"]);
    world.events();
    world.cut_after_calls(A, 0);
    let message = world.register_request("other", "lt=60");
    world.datagram(A, device(2), &message);
    world.cut_command(A);
    world.broker_knows_only(then);
    world.connect_again(A);
    assert_eq!(world.events(), []);
    world.advance(100);
    assert_eq!(world.ready(A).len(), 3, "it has joined again");
}

#[test]
fn a_member_that_the_broker_knows_says_what_waited_when_it_is_connected_again() {
    let mut world = World::new(2);
    world.events();
    world.cut_after_calls(A, 0);
    let message = world.register_request("dev", "lt=60");
    world.datagram(A, device(1), &message);
    world.cut_command(A);
    assert_eq!(world.events(), []);
    world.connect_again(A);
    let events: Vec<String> = world.events().into_iter().map(|(channel, _)| channel).collect();
    assert_eq!(events, ["NEW"]);
    assert_eq!(world.ready(A), ["A#1"]);
}

/// The tickets of the acks that were heard, in order.
fn acked(world: &mut World) -> Vec<String> {
    let answers = world.answers();
    let acks = answers.iter().filter(|text| text.contains("\"ack\":true"));
    acks.map(|text| text.split('"').nth(3).unwrap().to_owned())
        .collect()
}

#[test]
fn a_member_that_hears_one_broker_and_speaks_to_another_accepts_nothing() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.cut_subscriber(A);
    world.subscribe_elsewhere(A);
    world.hear_elsewhere(A, "dev", "t1");
    // Its connection for calls being new proves nothing of the other one.
    world.cut_command(A);
    world.connect_again(A);
    world.hear_elsewhere(A, "dev", "t2");
    world.advance(700);
    assert_eq!(world.answers(), Vec::<String>::new());
    assert_eq!(world.sent().len(), 0);
    assert_eq!(world.ready(A), ["A#1"], "its lease is not over");
    world.advance(600);
    assert_eq!(world.ready(A), ["A#1", "A#2"]);
    assert_eq!(acked(&mut world), Vec::<String>::new());
}

#[test]
fn what_is_asked_before_both_connections_are_known_to_be_at_one_broker_is_accepted_in_order_then() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.cut_subscriber(A);
    world.subscribe_elsewhere(A);
    world.hear_elsewhere(A, "dev", "t1");
    world.hear_elsewhere(A, "dev", "t2");
    assert_eq!(acked(&mut world), Vec::<String>::new());
    world.subscribe_again(A);
    assert_eq!(acked(&mut world), ["t1", "t2"]);
    world.execute_request("dev", "t3");
    assert_eq!(acked(&mut world), ["t3"]);
    world.one_request();
    // Nothing waits any more.
    world.cut_command(A);
    world.execute_request("dev", "t4");
    world.connect_again(A);
    assert_eq!(acked(&mut world), ["t4"]);
    assert_eq!(world.ready(A), ["A#1"]);
}

#[test]
fn a_process_never_is_the_same_incarnation_twice_though_the_broker_forgot_it() {
    let mut world = World::new(2);
    world.kill(A);
    world.advance(2500);
    world.start(A);
    world.advance(4000);
    world.broker_forgets();
    world.advance(4000);
    // The process of A was the second; that of B the first.
    assert_eq!(world.ready(A), ["A#1", "A#2", "A#3"]);
    assert_eq!(world.ready(1), ["B#1", "B#2"]);
}
