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
