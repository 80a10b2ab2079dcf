//! Register, Update, and what a device does when they fail.

use super::*;

fn lost(reason: LossReason, after_s: u64) -> Event {
    Event::DeviceLostRegistration {
        ep: "dev-0".to_owned(),
        reason,
        after_us: after_s * 1_000_000,
    }
}

fn refused(update: bool, code: Code) -> Event {
    Event::DeviceRefused {
        ep: "dev-0".to_owned(),
        update,
        after_us: 0,
        code: CoapCode(code),
    }
}

fn unanswered(after_s: u64) -> Event {
    Event::DeviceUnanswered {
        ep: "dev-0".to_owned(),
        after_us: after_s * 1_000_000,
    }
}

#[test]
fn a_register_tells_name_lifetime_version_binding_and_objects() {
    let mut fleet = fleet(config());
    assert_eq!(fleet.next_deadline(), Some(Time::ZERO));
    fleet.handle_timeout(Time::ZERO);
    let (device, datagram) = fleet.poll_transmit().unwrap();
    assert_eq!(device, 0);
    let mut expected = vec![0x48, 0x02, datagram[2], datagram[3], 0, 0, 0, 0];
    expected.extend(&datagram[8..12]);
    expected.extend(b"\xb2rd\x11\x28\x38ep=dev-0\x05lt=60\x09lwm2m=1.1\x03b=U\xff</1/0>,</3/0>,</3303/0>");
    assert_eq!(datagram, expected);
}

#[test]
fn devices_register_at_the_wanted_rate() {
    let mut fleet = fleet(of(DeviceGroup {
        count: 4,
        register_rate: 2.0,
        ..DeviceGroup::default()
    }));
    let mut starts = Vec::new();
    for tenth in 0..20 {
        let now = Time::from_millis(tenth * 100);
        fleet.handle_timeout(now);
        starts.extend(
            sent(&mut fleet)
                .into_iter()
                .map(|(device, _)| (device, now.as_millis())),
        );
    }
    assert_eq!(starts, [(0, 0), (1, 500), (2, 1000), (3, 1500)]);
}

#[test]
fn a_device_that_is_not_switched_on_does_not_hear() {
    let mut fleet = fleet(of(DeviceGroup {
        count: 2,
        register_rate: 1.0,
        ..DeviceGroup::default()
    }));
    fleet.handle_datagram(Time::ZERO, 1, &[0x40, 0, 0, 1]);
    fleet.handle_datagram(Time::ZERO, 99, &[0x40, 0, 0, 1]);
    assert_eq!(sent(&mut fleet), []);
}

#[test]
fn a_registered_device_updates_at_its_location_after_a_share_of_the_lifetime() {
    let mut fleet = fleet(config());
    fleet.handle_timeout(Time::ZERO);
    let register = one_sent(&mut fleet);
    deliver(&mut fleet, secs(1), &created(&register, "00a"));
    let (ep, registration) = ("dev-0".to_owned(), "00a".to_owned());
    assert_eq!(
        events(&mut fleet),
        [Event::DeviceRegistered {
            ep,
            registration,
            again: false,
            after_us: 1_000_000
        }]
    );
    assert_eq!(fleet.next_deadline(), Some(secs(31)));
    fleet.handle_timeout(secs(31));
    let update = one_sent(&mut fleet);
    assert_eq!(
        (update.code, path(&update).as_str(), queries(&update).len()),
        (Code::POST, "rd/00a", 0)
    );
    assert!(update.payload.is_empty());
    deliver(&mut fleet, secs(32), &answer(&update, Code::CHANGED));
    assert_eq!(
        events(&mut fleet),
        [Event::DeviceUpdated {
            ep: "dev-0".to_owned(),
            after_us: 1_000_000
        }]
    );
    assert_eq!(fleet.next_deadline(), Some(secs(62)));
}

#[test]
fn updates_are_spread_over_the_share_of_the_lifetime() {
    let mut fleet = fleet(FleetConfig {
        update_share: 0.5..=0.9,
        ..of(DeviceGroup {
            count: 500,
            register_rate: 0.0,
            ..DeviceGroup::default()
        })
    });
    fleet.handle_timeout(Time::ZERO);
    for (device, register) in sent(&mut fleet) {
        let mut datagram = Vec::new();
        created(&register, "x").encode(&mut datagram);
        fleet.handle_datagram(Time::ZERO, device, &datagram);
    }
    let mut first_update = std::collections::BTreeMap::new();
    for second in 0..=54 {
        fleet.handle_timeout(secs(second));
        for (device, update) in sent(&mut fleet) {
            assert_eq!(path(&update), "rd/x");
            first_update.entry(device).or_insert(second);
        }
    }
    assert_eq!(first_update.len(), 500);
    // 30 to 54 s, of which the clock here sees the next full second: some 21 devices in each.
    for second in 31..=54 {
        let share = first_update.values().filter(|first| **first == second).count();
        assert!((5..50).contains(&share), "{share} devices in second {second}");
    }
}

#[test]
fn a_device_registers_again_at_once_after_4_04() {
    let mut fleet = registered(config());
    fleet.handle_timeout(secs(30));
    let update = one_sent(&mut fleet);
    deliver(&mut fleet, secs(30), &answer(&update, Code::NOT_FOUND));
    assert_eq!(
        (events(&mut fleet), fleet.registered()),
        (vec![lost(LossReason::NotFound, 0)], 0)
    );
    fleet.handle_timeout(secs(30));
    let register = one_sent(&mut fleet);
    assert_eq!(path(&register), "rd");
    deliver(&mut fleet, secs(30), &created(&register, "00b"));
    let (ep, registration) = ("dev-0".to_owned(), "00b".to_owned());
    assert_eq!(
        events(&mut fleet),
        [Event::DeviceRegistered {
            ep,
            registration,
            again: true,
            after_us: 0
        }]
    );
}

#[test]
fn after_silence_a_device_registers_again_after_a_pause_that_grows() {
    let mut fleet = registered(config());
    let mut now = secs(30);
    let mut copies = Vec::new();
    let mut losses = Vec::new();
    // Each attempt: five transmissions within 62 s, then a pause of between a half and the whole of 1, 2, 4 s.
    while copies.len() < 20 {
        fleet.handle_timeout(now);
        copies.extend(
            sent(&mut fleet)
                .into_iter()
                .map(|(_, message)| (now, path(&message))),
        );
        losses.extend(events(&mut fleet));
        now = fleet.next_deadline().unwrap();
    }
    assert_eq!(losses[0], lost(LossReason::Silence, 62));
    assert!(
        losses.len() > 1 && losses[1..].iter().all(|event| *event == unanswered(62)),
        "{losses:?}"
    );
    assert!(copies[..5].iter().all(|(_, path)| path == "rd/00a"));
    assert!(copies[5..].iter().all(|(_, path)| path == "rd"));
    for (attempt, longest) in [(1, 1_000_000), (2, 2_000_000), (3, 4_000_000)] {
        let pause = (copies[5 * attempt].0 - copies[5 * attempt - 5].0 - Duration::from_secs(62)).as_micros();
        assert!(
            (longest / 2..=longest).contains(&pause),
            "attempt {attempt}: {pause} µs"
        );
    }
}

#[test]
fn a_refused_update_is_repeated_after_a_pause_without_a_new_registration() {
    let mut fleet = registered(config());
    fleet.handle_timeout(secs(30));
    let update = one_sent(&mut fleet);
    deliver(&mut fleet, secs(30), &answer(&update, Code::SERVICE_UNAVAILABLE));
    assert_eq!(
        (events(&mut fleet), fleet.registered()),
        (vec![refused(true, Code::SERVICE_UNAVAILABLE)], 1)
    );
    let next = fleet.next_deadline().unwrap();
    assert!((Time::from_millis(30_500)..=secs(31)).contains(&next), "{next}");
    fleet.handle_timeout(next);
    assert_eq!(path(&one_sent(&mut fleet)), "rd/00a");
}

#[test]
fn max_age_of_a_5_03_lengthens_the_pause_up_to_its_limit() {
    for (max_age, pause) in [(7, 7), (9999, 60)] {
        let mut fleet = fleet(config());
        fleet.handle_timeout(Time::ZERO);
        let register = one_sent(&mut fleet);
        let mut unavailable = answer(&register, Code::SERVICE_UNAVAILABLE);
        unavailable.options.push_uint(option::MAX_AGE, max_age);
        deliver(&mut fleet, Time::ZERO, &unavailable);
        assert_eq!(events(&mut fleet), [refused(false, Code::SERVICE_UNAVAILABLE)]);
        assert_eq!(fleet.next_deadline(), Some(secs(pause)));
        fleet.handle_timeout(secs(pause));
        assert_eq!(path(&one_sent(&mut fleet)), "rd");
    }
}

#[test]
fn a_2_01_without_location_is_no_registration() {
    let mut fleet = fleet(config());
    fleet.handle_timeout(Time::ZERO);
    let register = one_sent(&mut fleet);
    deliver(&mut fleet, Time::ZERO, &answer(&register, Code::CREATED));
    assert_eq!(
        (events(&mut fleet), fleet.registered()),
        (vec![refused(false, Code::CREATED)], 0)
    );
}

#[test]
fn a_separate_2_01_is_acknowledged_and_counts() {
    let mut fleet = fleet(config());
    fleet.handle_timeout(Time::ZERO);
    let register = one_sent(&mut fleet);
    deliver(
        &mut fleet,
        secs(1),
        &Message::empty(Kind::Acknowledgement, register.message_id),
    );
    let separate = Message {
        kind: Kind::Confirmable,
        message_id: 77,
        ..created(&register, "00a")
    };
    deliver(&mut fleet, secs(5), &separate);
    assert_eq!(one_sent(&mut fleet), Message::empty(Kind::Acknowledgement, 77));
    assert_eq!((events(&mut fleet).len(), fleet.registered()), (1, 1));
    // The acknowledgement got lost.
    deliver(&mut fleet, secs(7), &separate);
    assert_eq!(one_sent(&mut fleet), Message::empty(Kind::Acknowledgement, 77));
    assert_eq!(events(&mut fleet), []);
}

#[test]
fn a_response_that_nobody_asked_for_is_rejected() {
    let mut fleet = registered(config());
    let stranger = Message::new(Kind::Confirmable, Code::CONTENT, 5, Token::EMPTY);
    deliver(&mut fleet, secs(1), &stranger);
    assert_eq!(one_sent(&mut fleet), Message::empty(Kind::Reset, 5));
}

#[test]
fn a_written_lifetime_is_told_at_once_and_sets_the_pace() {
    let mut fleet = registered(config());
    let mut write = Message::new(Kind::Confirmable, Code::PUT, 1, Token::EMPTY);
    write.options.push_uri_path("1/0/1");
    write.options.push_uint(option::CONTENT_FORMAT, 0);
    write.payload = b"300".to_vec();
    deliver(&mut fleet, secs(1), &write);
    assert_eq!(one_sent(&mut fleet).code, Code::CHANGED);
    assert_eq!(fleet.next_deadline(), Some(secs(1)));
    fleet.handle_timeout(secs(1));
    let update = one_sent(&mut fleet);
    assert_eq!(
        (path(&update).as_str(), queries(&update)),
        ("rd/00a", vec!["lt=300"])
    );
    deliver(&mut fleet, secs(1), &answer(&update, Code::CHANGED));
    assert_eq!(fleet.next_deadline(), Some(secs(151)));
}

#[test]
fn a_seed_decides_everything() {
    let run = |seed| {
        let mut fleet = Fleet::new(
            DeviceGroup {
                count: 20,
                ..DeviceGroup::default()
            }
            .into(),
            Time::ZERO,
            ChaCha8Rng::seed_from_u64(seed),
        );
        let mut log = Vec::new();
        while let Some(now) = fleet.next_deadline().filter(|now| *now < secs(300)) {
            fleet.handle_timeout(now);
            while let Some((device, datagram)) = fleet.poll_transmit() {
                log.push((now, device, datagram));
            }
        }
        log
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
