//! Membership: ids, leases, partitions, and members that go or fall silent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use server::instance::Limits;
use std::time::Duration;
use support::{World, device};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// How many of 300 endpoints each speaker is the steward of.
fn stewards(world: &mut World, round: &str) -> std::collections::BTreeMap<String, usize> {
    let mut count = std::collections::BTreeMap::new();
    for n in 0..300 {
        world.read(&format!("{round}-{n}"), "who");
        let answers = world.answers();
        assert_eq!(answers.len(), 1, "one steward answers: {answers:?}");
        let (_, by) = answers[0].rsplit_once("\"by\":\"").unwrap();
        *count.entry(by.trim_end_matches("\"}").to_owned()).or_insert(0) += 1;
    }
    count
}

#[test]
fn three_members_share_the_partitions_and_two_take_those_of_the_third() {
    let mut world = World::new(3);
    let before = stewards(&mut world, "before");
    assert_eq!(before.keys().collect::<Vec<_>>(), ["A#1", "B#1", "C#1"]);
    assert!(before.values().all(|&n| n > 60), "{before:?}");
    world.kill(B);
    world.advance(1100);
    let after = stewards(&mut world, "after");
    assert_eq!(after.keys().collect::<Vec<_>>(), ["A#1", "C#1"]);
}

#[test]
fn who_dies_after_the_brokers_clock_was_set_back_is_buried_as_soon_as_ever() {
    let mut world = World::new(3);
    world.advance(3000);
    world.broker_clock_falls(40_000);
    world.kill(B);
    world.advance(1400);
    let after = stewards(&mut world, "after");
    assert_eq!(after.keys().collect::<Vec<_>>(), ["A#1", "C#1"]);
}

#[test]
fn who_hears_nothing_after_the_brokers_clock_was_set_back_is_found_deaf_as_soon_as_ever() {
    let mut world = World::new(2);
    world.advance(3000);
    world.broker_clock_falls(40_000);
    world.hear_nothing(A);
    world.advance(3500);
    let after = stewards(&mut world, "after");
    assert_eq!(after.keys().collect::<Vec<_>>(), ["B#1"]);
}

#[test]
fn a_member_that_comes_back_is_another_incarnation_and_gets_partitions_after_it_has_listened() {
    let mut world = World::new(3);
    world.kill(B);
    world.advance(1100);
    world.start(B);
    world.advance(2500);
    assert!(!stewards(&mut world, "early").contains_key("B#2"));
    world.advance(1500);
    assert!(stewards(&mut world, "late").contains_key("B#2"));
}

#[test]
fn a_second_process_with_a_living_id_gives_up_and_one_with_a_dead_id_waits() {
    let mut world = World::new(1);
    let second = world.add("A", Limits::default());
    world.advance(3000);
    assert!(
        world
            .fatal(second)
            .unwrap()
            .contains("another process is member `A` of this cluster")
    );
    world.kill(second);
    world.kill(A);
    let third = world.add("A", Limits::default());
    assert_eq!(world.ready(third), [""; 0]);
    world.advance(1200);
    assert_eq!(world.ready(third), ["A#2"]);
    assert_eq!(world.fatal(third), None);
}

#[test]
fn a_member_without_a_subscription_gives_its_partitions_away_and_keeps_its_exchanges() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.execute_request("dev", "t1");
    let request = world.one_request();
    world.answers();
    world.cut_subscriber(A);
    world.advance(300);
    world.subscribe_again(A);
    world.advance(300);
    assert_eq!(stewards(&mut world, "cut").keys().collect::<Vec<_>>(), ["B#1"]);
    world.answer(A, &request, lwm2m::coap::Code::CHANGED, "");
    assert!(world.answers()[0].contains(r#""code":"CHANGED"},"by":"A#1"}"#));
    world.advance(4000);
    assert!(stewards(&mut world, "healed").contains_key("A#1"));
}

#[test]
fn a_member_that_stays_deaf_is_declared_dead() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.cut_subscriber(A);
    world.advance(3000);
    assert_eq!(stewards(&mut world, "deaf").keys().collect::<Vec<_>>(), ["B#1"]);
    world.read("dev", "t1");
    assert_eq!(world.one_request().node, B);
    assert_eq!(
        world.ready(A).last().map(String::as_str),
        Some("A#2"),
        "it joined again on new connections"
    );
}

#[test]
fn a_member_that_is_told_to_stop_hands_over_and_leaves() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.terminate(A);
    world.advance(600);
    assert!(world.has_left(A));
    assert_eq!(
        stewards(&mut world, "left").keys().collect::<Vec<_>>(),
        ["B#1", "C#1"]
    );
    world.read("dev", "t1");
    let request = world.one_request();
    assert!([B, C].contains(&request.node));
}

#[test]
fn a_member_that_is_told_to_stop_first_ends_its_exchanges() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.execute_request("dev", "t1");
    let request = world.one_request();
    world.answers();
    world.terminate(A);
    world.advance(1500);
    assert!(!world.has_left(A));
    world.answer(A, &request, lwm2m::coap::Code::CHANGED, "");
    assert!(world.answers()[0].contains(r#""code":"CHANGED""#));
    world.advance(1000);
    assert!(world.has_left(A));
}

#[test]
fn a_broker_that_forgets_everything_begins_a_new_era() {
    let mut world = World::new(2);
    world.register(A, "dev", device(1));
    world.broker_forgets();
    world.advance(2000);
    assert_eq!(world.instance(A).statistics().eras, 1);
    world.register(B, "dev", device(1));
    world.read("dev", "t1");
    assert!(world.answers()[0].contains(r#""ack":true"#));
}

#[test]
fn a_jump_of_the_brokers_clock_ends_no_registration_early() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.broker_clock_jumps(3_600_000);
    world.advance(3000);
    assert_eq!(
        world.ready(A),
        ["A#1", "A#2"],
        "its lease was over in the broker's time"
    );
    world.events();
    world.advance(120_000);
    assert_eq!(world.events(), []);
    world.read("dev", "t1");
    assert!(world.answers()[0].contains(r#""ack":true"#));
}

#[test]
fn who_joins_after_a_jump_of_the_brokers_clock_ends_no_registration_early_either() {
    let mut world = World::new(2);
    let message = world.register_request("dev", "lt=20");
    world.datagram(A, device(1), &message);
    world.kill(B);
    world.broker_clock_jumps(40_000);
    world.advance(1000);
    world.start(B);
    world.advance(4000);
    world.events();
    world.kill(A);
    world.advance(35_000);
    assert_eq!(world.events(), []);
    world.advance(10_000);
    let events = world.events();
    assert!(
        events.len() == 1 && events[0].1.ends_with(r#""reason":"expired"}"#),
        "{events:?}"
    );
}

#[test]
fn after_all_members_were_gone_devices_have_as_long_again() {
    let mut world = World::new(2);
    let message = world.register_request("dev", "lt=20");
    world.datagram(A, device(1), &message);
    world.events();
    for gone in [A, B] {
        world.kill(gone);
    }
    world.advance(30_000);
    for back in [A, B] {
        world.start(back);
    }
    world.advance(34_000);
    assert_eq!(world.events(), []);
    world.advance(3000);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn no_registration_ends_between_a_jump_of_the_clock_and_the_next_heartbeat() {
    for n in 0..25 {
        let mut world = World::new(1);
        let message = world.register_request(&format!("dev-{n}"), "lt=2");
        world.datagram(A, device(n), &message);
        world.events();
        // At all times between two heartbeats; it is shorter than the lease, so no script refuses.
        world.advance(1310 + u64::from(n) * 10);
        world.broker_clock_jumps(700);
        // A new view is a reason to look at once.
        world.add("B", Limits::default());
        world.advance(300);
        assert_eq!(world.events(), [], "{n}");
        world.advance(8000);
        assert_eq!(world.events().len(), 1, "{n}");
    }
}

#[test]
fn what_was_decided_on_before_the_lease_ended_does_not_leave_after_it() {
    let mut world = World::new(2);
    let renewed = world.now;
    let last = |ms: u64| renewed + Duration::from_millis(ms);
    assert!(world.instance(A).may_send(last(600)));
    assert!(!world.instance(A).may_send(last(1000)));
    // Who is no member has only refusals to send.
    world.broker_down();
    world.advance(1500);
    assert!(world.instance(A).member().is_none() && world.instance(A).may_send(world.now));
}

/// When the holder of the only exchange was last told to send it, by the broker's clock (ms).
fn told_at(world: &mut World) -> u64 {
    let dump = world.dump();
    let exchange = dump.iter().find(|line| line.contains("}o ")).unwrap();
    let entry = exchange.split('"').find(|text| text.contains('#')).unwrap();
    entry.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn a_holder_is_told_again_though_the_brokers_clock_was_set_back() {
    let mut world = World::new(1);
    world.register(A, "dev", device(1));
    world.read("dev", "t1");
    world.one_request();
    let first = told_at(&mut world);
    world.broker_clock_falls(40_000);
    world.advance(2500);
    let again = told_at(&mut world);
    assert!(
        (first - 40_000..first - 37_000).contains(&again),
        "{first} and {again}"
    );
}

#[test]
fn the_first_lease_is_reckoned_from_the_join_not_from_its_reply() {
    let mut world = World::new(1);
    let b = world.prepare("B", Limits::default());
    world.delay_replies(b);
    world.start(b);
    world.advance(900);
    world.let_replies_arrive(b, 1);
    let member = world.instance(b).member().expect("the reply of the join");
    assert_eq!(member.to_string(), "B#1");
    // The store's lease ends 1000 ms after the join.
    let after = |ms| world.now + Duration::from_millis(ms);
    assert!(world.instance(b).may_send(after(49)));
    assert!(!world.instance(b).may_send(after(50)));
}

#[test]
fn a_reply_that_is_long_under_way_is_no_jump_of_the_clock() {
    // Wherever between two renewals it begins.
    for phase in [0, 50, 100, 150, 200] {
        let mut world = World::new(1);
        world.advance(phase);
        world.delay_replies(A);
        world.advance(690);
        world.let_all_replies_arrive(A);
        world.advance(2000);
        assert_eq!(world.instance(A).statistics().clock_jumps, 0, "phase {phase}");
        assert_eq!(world.instance(A).statistics().leases_lost, 0, "phase {phase}");
        world.broker_clock_jumps(600);
        world.advance(300);
        assert_eq!(world.instance(A).statistics().clock_jumps, 1, "phase {phase}");
    }
}

#[test]
fn whoever_is_told_to_stop_before_it_is_a_member_waits_for_nothing_but_its_end() {
    let mut world = World::new(1);
    world.kill(A);
    world.advance(600);
    // The id has a lease for at most 400 ms more; then it would join.
    let second = world.add("A", Limits::default());
    let told = world.now;
    world.terminate(second);
    world.pause(second);
    world.advance(450);
    let deadline = world.instance(second).next_deadline().unwrap();
    assert_eq!(deadline, told + Duration::from_millis(500));
    world.resume(second);
    world.advance(51);
    assert!(world.has_left(second));
}

#[test]
fn an_instance_with_another_lease_than_the_cluster_is_told_both() {
    let mut world = World::new(1);
    world.lease = Duration::from_secs(5);
    let b = world.add("B", Limits::default());
    let said = world.fatal(b).unwrap_or_default();
    assert!(
        said.contains("go by --lease 1000ms, this instance by --lease 5000ms"),
        "{said}"
    );
    world.advance(30_000);
    assert_eq!(world.ready(A), ["A#1"]);
}

#[test]
fn whoever_finds_no_living_member_decides_on_the_lease_anew() {
    let mut world = World::new(1);
    world.kill(A);
    world.advance(2000);
    world.lease = Duration::from_secs(5);
    let b = world.add("B", Limits::default());
    world.advance(10_000);
    assert_eq!((world.fatal(b), world.ready(b)), (None, &["B#1".to_owned()][..]));
}

#[test]
fn data_of_another_layout_is_refused_with_both_numbers() {
    let mut world = World::new(0);
    world.command_of_operator(&["HSET", "{m}c", "gen", "1", "layout", "9"]);
    let a = world.add("A", Limits::default());
    let said = world.fatal(a).unwrap_or_default();
    assert!(
        said.contains("is of layout 9, this version needs layout 2"),
        "{said}"
    );
}
