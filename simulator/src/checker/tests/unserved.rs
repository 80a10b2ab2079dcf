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
        "TIMEOUT, though for 12.0 s nothing hindered anybody from asking the device"
    );
}

fn unserved(story: Story) -> u64 {
    story.judged().count(Breach::Unserved)
}

#[test]
fn a_timeout_soon_after_a_fault_or_behind_other_requests_is_lawful() {
    assert_eq!(unserved(open_until(30_000, |story| story)), 1);
    assert_eq!(unserved(open_until(13_999, |story| story)), 0);
    assert_eq!(unserved(open_until(30_000, |story| story.kill(20_000, "A"))), 0);
    let busy = |story: Story| {
        let story = story.accepted_read(3000, "t2", "B#1");
        story.value(19_000, "t2", "Acme", "B#1")
    };
    assert_eq!(unserved(open_until(30_000, busy)), 0);
}

#[test]
fn where_datagrams_are_lost_a_timeout_is_lawful() {
    let story = open_until(30_000, |story| story);
    let mut checker = Checker::new(Rules {
        lossless: false,
        way_us: 1_100_000,
        ..RULES
    });
    story.entries.iter().for_each(|entry| checker.observe(entry));
    assert_eq!(checker.finish().0.count(Breach::Unserved), 0);
}
