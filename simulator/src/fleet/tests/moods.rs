//! What devices are like, and what happens to them: reboot, sleep, another source address, de-registration.

use super::*;
use crate::fault::{DeviceFault, DeviceMood};
use crate::targets::DeviceChoice;

fn read(message_id: u16) -> Message {
    let mut read = Message::new(Kind::Confirmable, Code::GET, message_id, Token::EMPTY);
    read.options.push_uri_path("3/0/0");
    read
}

fn many(count: u32) -> Fleet {
    let mut fleet = fleet(of(DeviceGroup {
        count,
        register_rate: 0.0,
        ..DeviceGroup::default()
    }));
    fleet.handle_timeout(Time::ZERO);
    sent(&mut fleet);
    fleet
}

fn inject(fleet: &mut Fleet, devices: DeviceChoice, seed: u64) -> Vec<u32> {
    let mood = DeviceMood::Sleep {
        duration: Duration::from_secs(1),
    };
    fleet.inject(
        secs(1),
        &DeviceFault { mood, devices },
        &mut ChaCha8Rng::seed_from_u64(seed),
    )
}

#[test]
fn a_reboot_forgets_the_registration_and_what_was_executed() {
    let mut fleet = registered(config());
    deliver(&mut fleet, secs(1), &read(1));
    sent(&mut fleet);
    assert_eq!(events(&mut fleet).len(), 1);
    fleet.reboot(secs(2), 0, Duration::from_secs(3));
    let ep = "dev-0".to_owned();
    assert_eq!(events(&mut fleet), [Event::DeviceRebooted { ep }]);
    assert_eq!((fleet.registered(), fleet.next_deadline()), (0, Some(secs(5))));
    deliver(&mut fleet, secs(4), &read(1));
    assert!(events(&mut fleet).is_empty(), "it is off");
    fleet.handle_timeout(secs(5));
    assert_eq!(path(&one_sent(&mut fleet)), "rd");
    deliver(&mut fleet, secs(6), &read(1));
    assert_eq!(
        events(&mut fleet).len(),
        1,
        "the same message ID is a new request to a device that rebooted"
    );
}

#[test]
fn a_sleeping_device_neither_hears_nor_says_anything_and_then_goes_on() {
    let mut fleet = registered(config());
    fleet.sleep(secs(29), 0, Duration::from_secs(4));
    deliver(&mut fleet, secs(29), &read(1));
    fleet.handle_timeout(secs(30));
    assert!(sent(&mut fleet).is_empty(), "the Update of 30 s is not heard");
    let asleep = Event::DeviceAsleep {
        ep: "dev-0".to_owned(),
        until_us: 33_000_000,
    };
    assert_eq!(events(&mut fleet), [asleep]);
    assert_eq!(fleet.next_deadline(), Some(secs(32)), "its retransmission");
    fleet.handle_timeout(secs(32));
    assert!(sent(&mut fleet).is_empty());
    assert_eq!(fleet.next_deadline(), Some(secs(33)));
    fleet.handle_timeout(secs(33));
    deliver(&mut fleet, secs(33), &read(2));
    assert_eq!(one_sent(&mut fleet).message_id, 2);
    fleet.handle_timeout(secs(36));
    assert_eq!(path(&one_sent(&mut fleet)), "rd/00a");
}

#[test]
fn the_longer_of_two_sleeps_counts_and_a_reboot_ends_both() {
    let mut fleet = registered(config());
    fleet.sleep(secs(1), 0, Duration::from_secs(9));
    fleet.sleep(secs(2), 0, Duration::from_secs(1));
    fleet.handle_timeout(secs(3));
    deliver(&mut fleet, secs(9), &read(1));
    assert!(sent(&mut fleet).is_empty());
    fleet.reboot(secs(9), 0, Duration::ZERO);
    fleet.handle_timeout(secs(9));
    assert_eq!(path(&one_sent(&mut fleet)), "rd");
}

#[test]
fn a_device_behind_a_new_address_is_not_at_the_old_one() {
    let mut fleet = many(3);
    let old = fleet.address(1).unwrap();
    assert_eq!(
        (old, fleet.device_at(old)),
        ("127.16.0.1".parse().unwrap(), Some(1))
    );
    fleet.rebind(1);
    let new = fleet.address(1).unwrap();
    assert_eq!(new, "127.16.0.4".parse::<std::net::Ipv4Addr>().unwrap());
    assert_eq!((fleet.device_at(old), fleet.device_at(new)), (None, Some(1)));
    assert_eq!(
        fleet.device_at("127.16.0.3".parse().unwrap()),
        None,
        "nobody rebound to it"
    );
    assert_eq!(fleet.device_at("127.0.0.1".parse().unwrap()), None);
}

#[test]
fn a_share_is_drawn_by_the_seed_among_those_that_are_on() {
    let hit = inject(&mut many(40), DeviceChoice::Share(0.25), 1);
    assert_eq!(hit.len(), 10);
    assert!(hit.is_sorted() && hit.iter().all(|device| *device < 40));
    assert_eq!(inject(&mut many(40), DeviceChoice::Share(0.25), 1), hit);
    assert_ne!(inject(&mut many(40), DeviceChoice::Share(0.25), 2), hit);
    assert_eq!(inject(&mut many(40), DeviceChoice::Share(0.001), 1).len(), 1);
    let mut off = super::fleet(config());
    assert_eq!(inject(&mut off, DeviceChoice::Share(1.0), 1), Vec::<u32>::new());
}

#[test]
fn named_devices_are_hit_once_if_they_are_on() {
    let mut fleet = many(4);
    fleet.reboot(Time::ZERO, 2, Duration::from_secs(9));
    let named = DeviceChoice::These(vec![3, 2, 0, 3, 99]);
    assert_eq!(inject(&mut fleet, named, 1), [0, 3]);
}

#[test]
fn a_forgetful_device_says_so_and_executes_each_copy() {
    let mut fleet = fleet(of(DeviceGroup {
        deduplicate: 0.0,
        ..DeviceGroup::default()
    }));
    let ep = "dev-0".to_owned();
    assert_eq!(events(&mut fleet), [Event::DeviceForgetful { ep }]);
    fleet.handle_timeout(Time::ZERO);
    sent(&mut fleet);
    for _ in 0..3 {
        deliver(&mut fleet, secs(1), &read(1));
        assert_eq!((sent(&mut fleet).len(), events(&mut fleet).len()), (1, 1));
    }
}

#[test]
fn a_share_of_the_devices_is_forgetful_and_the_same_ones_in_a_smaller_fleet() {
    let forgetful = |count| {
        let mut fleet = fleet(of(DeviceGroup {
            count,
            deduplicate: 0.75,
            ..DeviceGroup::default()
        }));
        let names = events(&mut fleet).into_iter().map(|event| match event {
            Event::DeviceForgetful { ep } => ep,
            other => panic!("{other:?}"),
        });
        names.collect::<Vec<_>>()
    };
    let of_many = forgetful(400);
    assert!((80..120).contains(&of_many.len()), "{}", of_many.len());
    let of_few = forgetful(40);
    assert!(!of_few.is_empty() && of_many.len() > of_few.len());
}

#[test]
fn a_rejected_request_is_not_executed_and_its_copy_is_rejected_too() {
    let mut fleet = registered(of(DeviceGroup {
        reject: 1.0,
        ..DeviceGroup::default()
    }));
    for _ in 0..2 {
        deliver(&mut fleet, secs(1), &read(7));
        assert_eq!(one_sent(&mut fleet), Message::empty(Kind::Reset, 7));
    }
    let rejected = Event::DeviceRejected {
        ep: "dev-0".to_owned(),
        message_id: 7,
    };
    assert_eq!(events(&mut fleet), [rejected]);
}

#[test]
fn nonsense_is_of_six_kinds_and_only_about_what_was_read() {
    let mut fleet = registered(of(DeviceGroup {
        nonsense: 1.0,
        ..DeviceGroup::default()
    }));
    let mut answers = std::collections::BTreeSet::new();
    for message_id in 0..50 {
        deliver(&mut fleet, secs(1), &read(message_id));
        let answer = one_sent(&mut fleet);
        assert_eq!(answer.code, Code::CONTENT);
        let format = answer.options.get_uint(option::CONTENT_FORMAT);
        let odd = [option::BLOCK2, 65_001].map(|number| answer.options.get_uint(number));
        let content = odd == [None, None];
        answers.insert((format, odd, answer.payload.len() * usize::from(content)));
    }
    let expected = [
        (Some(0), [None, None], 1),
        (Some(0), [None, Some(1)], 0),
        (Some(0), [Some(0x0d), None], 0),
        (Some(0), [Some(0x1d), None], 0),
        (Some(11_542), [None, None], 3),
        (Some(65_000), [None, None], 1),
    ];
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), expected);
    let said = events(&mut fleet);
    let nonsense = |event: &&Event| {
        matches!(
            event,
            Event::DeviceExecuted {
                nonsense: true,
                value: None,
                ..
            }
        )
    };
    assert_eq!(said.iter().filter(nonsense).count(), 50);
    let mut execute = Message::new(Kind::Confirmable, Code::POST, 99, Token::EMPTY);
    execute.options.push_uri_path("3/0/4");
    deliver(&mut fleet, secs(1), &execute);
    assert_eq!(one_sent(&mut fleet).code, Code::CHANGED);
    assert_eq!(events(&mut fleet).iter().filter(nonsense).count(), 0);
}

#[test]
fn a_separate_response_that_is_non_confirmable_is_sent_once() {
    let mut fleet = registered(FleetConfig {
        separate_non_confirmable: 1.0,
        ..of(DeviceGroup {
            separate: 1.0,
            ..DeviceGroup::default()
        })
    });
    deliver(&mut fleet, secs(10), &read(9));
    assert_eq!(one_sent(&mut fleet), Message::empty(Kind::Acknowledgement, 9));
    fleet.handle_timeout(Time::from_millis(10_200));
    let separate = one_sent(&mut fleet);
    assert_eq!(
        (separate.kind, separate.code),
        (Kind::NonConfirmable, Code::CONTENT)
    );
    assert_eq!(
        fleet.next_deadline(),
        Some(secs(30)),
        "only the Update is left to do"
    );
    deliver(&mut fleet, secs(11), &read(9));
    assert_eq!(
        one_sent(&mut fleet),
        Message::empty(Kind::Acknowledgement, 9),
        "a copy of what was acknowledged is acknowledged again"
    );
}

#[test]
fn a_device_that_takes_leave_registers_again_later() {
    let mut fleet = registered(config());
    fleet.deregister(secs(5), 0, Duration::from_secs(3));
    let leave = one_sent(&mut fleet);
    assert_eq!((leave.code, path(&leave).as_str()), (Code::DELETE, "rd/00a"));
    let ep = "dev-0".to_owned();
    assert_eq!(events(&mut fleet), [Event::DeviceDeregistered { ep }]);
    assert_eq!(fleet.registered(), 0);
    deliver(&mut fleet, secs(6), &answer(&leave, Code::DELETED));
    assert_eq!(fleet.next_deadline(), Some(secs(8)));
    fleet.handle_timeout(secs(8));
    assert_eq!(path(&one_sent(&mut fleet)), "rd");
}

#[test]
fn a_device_whose_leave_is_answered_late_registers_at_once_then() {
    let mut fleet = registered(config());
    fleet.deregister(secs(5), 0, Duration::ZERO);
    let leave = one_sent(&mut fleet);
    fleet.handle_timeout(secs(5));
    assert!(sent(&mut fleet).is_empty(), "it waits for the answer");
    deliver(&mut fleet, secs(6), &answer(&leave, Code::NOT_FOUND));
    fleet.handle_timeout(secs(6));
    assert_eq!(path(&one_sent(&mut fleet)), "rd");
}

#[test]
fn who_is_not_registered_does_not_take_leave() {
    let mut fleet = many(1);
    fleet.deregister(secs(5), 0, Duration::ZERO);
    assert!(sent(&mut fleet).is_empty() && events(&mut fleet).is_empty());
}

#[test]
fn the_ledger_says_which_instance_asked() {
    let mut fleet = registered(config());
    let mut datagram = Vec::new();
    read(1).encode(&mut datagram);
    fleet.handle_datagram_from(secs(1), 0, Some(2), &datagram);
    let heard = events(&mut fleet);
    assert!(
        matches!(&heard[..], [Event::DeviceExecuted { from: Some(id), .. }] if id == "C"),
        "{heard:?}"
    );
}
