//! A TIMEOUT of a device that could have been asked.

use super::*;

/// Nothing is done to anybody from 1 s on; the ticket is open from 2 s to `end_ms`.
fn open_until(end_ms: u64, between: impl FnOnce(Story) -> Story) -> Story {
    let story = Story::begin().kill(1000, "A").accepted_read(2000, "t1", "B#1");
    between(story).failed(end_ms, "t1", "TIMEOUT", true, "B#1")
}

#[test]
fn a_timeout_of_a_device_that_nobody_was_hindered_to_ask_is_reported() {
    let mut story = open_until(14_002, |story| story);
    // A longer timeout than that of other tickets, so that it is not late.
    for entry in &mut story.entries {
        if let Event::Sent { timeout_ms, .. } = &mut entry.event {
            *timeout_ms = 12_000;
        }
    }
    let violation = assert_only(&story.judged(), Breach::Unserved, "t1");
    assert_eq!(
        violation.explanation,
        "TIMEOUT, though for 11.5 s nothing hindered anybody from asking the device"
    );
}

fn unserved(story: Story) -> u64 {
    story.judged().count(Breach::Unserved)
}

#[test]
fn a_timeout_soon_after_a_fault_or_behind_other_requests_is_lawful() {
    // The takeover is over at 2.5 s; a copy comes 0.499 + 3 s later at the latest, and it takes 1.02 s there and back.
    assert_eq!(unserved(open_until(7_020, |story| story)), 1);
    assert_eq!(unserved(open_until(7_018, |story| story)), 0);
    assert_eq!(unserved(open_until(30_000, |story| story.kill(20_000, "A"))), 0);
    let busy = |story: Story| {
        let story = story.accepted_read(3000, "t2", "B#1");
        story.value(19_000, "t2", "Acme", "B#1")
    };
    assert_eq!(unserved(open_until(20_000, busy)), 0);
    assert_eq!(unserved(open_until(30_000, busy)), 1);
}

#[test]
fn a_short_timeout_of_what_was_asked_long_after_every_fault_is_reported() {
    let asked = |ended_ms| {
        let story = Story::begin().kill(1000, "A").accepted_read(5000, "t1", "B#1");
        unserved(story.failed(ended_ms, "t1", "TIMEOUT", true, "B#1"))
    };
    // There and back.
    assert_eq!((asked(6_020), asked(6_021)), (0, 1));
}

#[test]
fn a_device_that_is_away_is_not_served_and_the_excuse_ends_with_its_return() {
    let away = |story: Story| story.rebooted(2500);
    assert_eq!(unserved(open_until(30_000, away)), 0);
    let back = |story: Story| {
        let (ep, registration) = ("dev-1".to_owned(), "r2".to_owned());
        let again = true;
        let event = Event::DeviceRegistered {
            ep,
            registration,
            again,
            after_us: 0,
        };
        away(story).with(3000, event)
    };
    assert_eq!(unserved(open_until(30_000, back)), 1);
    let asleep = |until_ms| move |story: Story| story.asleep(2500, until_ms);
    assert_eq!(unserved(open_until(30_000, asleep(27_000))), 0);
    assert_eq!(unserved(open_until(30_000, asleep(5_000))), 1);
    let behind_another_address = |story: Story| story.suffers(2500, "", "nat-rebind");
    assert_eq!(unserved(open_until(30_000, behind_another_address)), 0);
    let found_again = |story: Story| {
        let ep = "dev-1".to_owned();
        behind_another_address(story).with(4000, Event::DeviceUpdated { ep, after_us: 0 })
    };
    assert_eq!(unserved(open_until(30_000, found_again)), 1);
    let rejected = |story: Story| story.rejects(2500);
    assert_eq!(unserved(open_until(30_000, rejected)), 0);
}

#[test]
fn what_was_never_sent_though_nothing_was_open_before_it_is_reported_in_a_lossy_network_too() {
    let judged = |sent| {
        let story = Story::begin().accepted_read(2000, "t1", "B#1");
        let story = story.failed(12_001, "t1", "TIMEOUT", sent, "B#1");
        let lossy = vec![true];
        story.judged_by(Rules { lossy, ..RULES }).count(Breach::Unserved)
    };
    assert_eq!((judged(true), judged(false)), (0, 1));
}

#[test]
fn where_datagrams_are_lost_a_timeout_is_lawful() {
    let story = open_until(30_000, |story| story);
    let judgement = story.judged_by(Rules {
        lossy: vec![true],
        ..RULES
    });
    assert_eq!(judgement.count(Breach::Unserved), 0);
    let judged = &judgement.judged[&Breach::Unserved];
    assert_eq!((judged.judged, &judged.excused), (0, &[(Excuse::Loss, 1)].into()));
}
