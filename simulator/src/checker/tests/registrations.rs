//! Registration events in and out of sequence.

use super::*;
use crate::fault::FaultKind;
use crate::history::LossReason;

/// The registration r1 of `dev-1`, with rev 1, after 1 ms.
fn announced() -> Story {
    Story::begin().registration(1, RegistrationChannel::New, "r1", 1)
}

#[test]
fn registration_events_in_sequence_are_lawful() {
    let story = announced();
    let story = story.registration(2, RegistrationChannel::Up, "r1", 2);
    let story = story.registration(3, RegistrationChannel::Del, "r1", 3);
    assert_lawful(&story.registration(3, RegistrationChannel::New, "r2", 4).judged());
}

#[test]
fn a_gap_in_rev_is_a_violation_unless_the_back_end_was_away() {
    let gap = |story: Story| {
        story
            .registration(9000, RegistrationChannel::Up, "r1", 5)
            .judged()
    };
    let judgement = gap(announced());
    assert_eq!((judgement.count(Breach::Event), judgement.event_gaps), (1, 0));
    assert_eq!(
        judgement.violations[0].explanation,
        "rev 5 after rev 1: expected 2"
    );
    let judgement = gap(announced().disconnected(4000, 5000));
    assert_eq!((judgement.count(Breach::Event), judgement.event_gaps), (0, 3));
}

#[test]
fn a_registration_that_is_not_announced_as_gone_cannot_be_replaced() {
    let story = announced();
    let judgement = story.registration(2, RegistrationChannel::New, "r2", 2).judged();
    assert_eq!(judgement.count(Breach::Event), 1);
    assert_eq!(
        judgement.violations[0].story.len(),
        4,
        "both events with era and connection"
    );
}

#[test]
fn nothing_is_published_between_the_end_of_a_registration_and_the_next() {
    let story = announced();
    let story = story.registration(2, RegistrationChannel::Del, "r1", 2);
    let judgement = story.registration(3, RegistrationChannel::Up, "r1", 3).judged();
    assert_eq!(judgement.count(Breach::Event), 1);
    assert_eq!(
        judgement.violations[0].explanation,
        "REG_UP r1 after REG_DEL: expected REG_NEW"
    );
}

fn told(story: Story, at_ms: u64, id: &str) -> Story {
    let (ep, registration) = ("dev-1".into(), id.into());
    let again = false;
    story.with(
        at_ms,
        Event::DeviceRegistered {
            ep,
            registration,
            again,
            after_us: 0,
        },
    )
}

fn updated(story: Story, at_ms: u64) -> Story {
    story.with(
        at_ms,
        Event::DeviceUpdated {
            ep: "dev-1".into(),
            after_us: 0,
        },
    )
}

#[test]
fn a_registration_that_was_refreshed_does_not_expire_before_its_lifetime_is_over() {
    let story = |died_ms| {
        let of = |rev| format!(r#""regId":"r1","rev":{rev},"lt":10"#);
        let gone = of(3) + r#","reason":"expired""#;
        let story = Story::begin().registration_with(0, RegistrationChannel::New, &of(1));
        let story = story.registration_with(7000, RegistrationChannel::Up, &of(2));
        let story = story.registration_with(died_ms, RegistrationChannel::Del, &gone);
        story.judged()
    };
    assert_lawful(&story(17_001));
    let judgement = story(10_001);
    assert_eq!(
        judgement.violations[0].explanation,
        "expired 3.001 s after it began or was refreshed: expected 10 s"
    );
    assert_only(&judgement, Breach::Event, "");
}

#[test]
fn a_registration_that_only_the_device_was_told_of_is_reported() {
    assert_lawful(&told(announced(), 5, "r1").judged());
    let judgement = told(announced(), 5, "r2").judged();
    let violation = assert_only(&judgement, Breach::Event, "");
    assert_eq!(
        violation.explanation,
        "the device was told of the registration r2, which was never announced"
    );
}

#[test]
fn an_update_that_only_the_device_was_told_of_is_reported() {
    let begin = || {
        let story = announced();
        let story = updated(told(story, 5, "r1"), 7000);
        story.registration(7000, RegistrationChannel::Up, "r1", 2)
    };
    assert_lawful(&begin().judged());
    let judgement = updated(begin(), 9000).judged();
    let violation = assert_only(&judgement, Breach::Event, "");
    assert_eq!(
        violation.explanation,
        "the device was told of 2 Updates, but 1 were announced"
    );
    // One may have been announced while the back end did not hear, or by another master; no more than that is pardoned.
    assert_lawful(&updated(begin().disconnected(8000, 8500), 9000).judged());
    assert_lawful(&updated(begin().era(8000, "a replica took over"), 9000).judged());
    let twice = updated(updated(begin().disconnected(8000, 8500), 9000), 14_000);
    assert_eq!(twice.judged().count(Breach::Event), 1);
}

/// The registration r1 becomes r2 while the device has r1.
fn replaced(between: Option<Event>) -> Judgement {
    let story = announced();
    let mut story = told(story, 5, "r1");
    if let Some(event) = between {
        story.add(6000, event);
    }
    let story = story.registration(6001, RegistrationChannel::Del, "r1", 2);
    story
        .registration(6001, RegistrationChannel::New, "r2", 3)
        .judged()
}

#[test]
fn a_registration_is_replaced_only_if_its_device_registers_again() {
    let violation = assert_only(&replaced(None), Breach::Event, "");
    assert_eq!(
        violation.explanation,
        "r1 was replaced, though the device that has it did not register again"
    );
    let (ep, reason) = ("dev-1".into(), LossReason::Silence);
    assert_lawful(&replaced(Some(Event::DeviceLostRegistration {
        ep,
        reason,
        after_us: 0,
    })));
    assert_lawful(&replaced(Some(Event::DeviceRebooted { ep: "dev-1".into() })));
    let (ep, code) = ("dev-1".into(), CoapCode(Code::SERVICE_UNAVAILABLE));
    assert_lawful(&replaced(Some(Event::DeviceRefused {
        ep,
        update: true,
        code,
        after_us: 0,
    })));
    assert_lawful(&replaced(Some(Event::Fault {
        action: FaultKind::Reboot,
        instances: Vec::new(),
        affected: vec!["dev-1".into()],
        harmful: true,
        lasts_us: None,
    })));
}

#[test]
fn a_registration_ends_as_deregistered_only_if_its_device_takes_leave() {
    let judged = |leave: bool| {
        let mut story = told(announced(), 5, "r1");
        if leave {
            story.add(6000, Event::DeviceDeregistered { ep: "dev-1".into() });
        }
        let rest = r#""regId":"r1","rev":2,"reason":"deregistered""#;
        story
            .registration_with(6001, RegistrationChannel::Del, rest)
            .judged()
    };
    let violation = assert_only(&judged(false), Breach::Event, "");
    assert_eq!(
        violation.explanation,
        "r1 ended as deregistered, though the device that has it did not take leave"
    );
    assert_lawful(&judged(true));
}

/// A registration of 10 s that is announced at 1 s, and what happens then; the run ends at 60 s.
fn never_ends(then: impl FnOnce(Story) -> Story) -> Judgement {
    let rest = r#""regId":"r1","rev":1,"lt":10"#;
    then(Story::begin().registration_with(1_000, RegistrationChannel::New, rest)).judged()
}

#[test]
fn a_registration_that_is_not_refreshed_ends_when_its_lifetime_is_over() {
    let violation = assert_only(&never_ends(|story| story), Breach::Event, "");
    assert_eq!(
        violation.explanation,
        "registered still, 59.000 s after it began or was refreshed: expected it to end after 10 s"
    );
    let expired = |at_ms| {
        never_ends(move |story| {
            let rest = r#""regId":"r1","rev":2,"lt":10,"reason":"expired""#;
            story.registration_with(at_ms, RegistrationChannel::Del, rest)
        })
    };
    // Its lifetime, F, the grace, the time that a newcomer needs, twice half a second of the start: 11 + 1.5 + 5 + 3 + 1 s.
    assert_lawful(&expired(21_499));
    assert_eq!(expired(21_501).count(Breach::Event), 1);
    // Devices get as long again as nobody may have heard them.
    let outage = |story: Story| story.kill(2_000, "A").kill(2_000, "B").ready(40_000, "A");
    assert_lawful(&never_ends(outage));
    assert_lawful(&never_ends(|story| story.disconnected(5_000, 50_000)));
    assert_lawful(&never_ends(|story| story.era(5_000, "emptied")));
    // Who was away for 20 s cannot know whom it missed.
    let away = |story: Story| story.suffers(2_000, "A", "pause").suffers(22_000, "A", "resume");
    assert_lawful(&never_ends(away));
}

#[test]
fn a_registration_ends_when_its_device_takes_leave() {
    let leaves = |story: Story| story.with(2_000, Event::DeviceDeregistered { ep: "dev-1".into() });
    let judged = |story: Story| leaves(story).with(4_600, Event::LoadStopped).cut_off();
    let announced = || {
        let rest = r#""regId":"r1","rev":1,"lt":100"#;
        Story::begin().registration_with(1_000, RegistrationChannel::New, rest)
    };
    let judgement = judged(announced());
    assert_eq!(judgement.count(Breach::Event), 1);
    let rest = r#""regId":"r1","rev":2,"lt":100,"reason":"deregistered""#;
    let ended = leaves(announced()).registration_with(2_010, RegistrationChannel::Del, rest);
    assert_eq!(ended.judged().count(Breach::Event), 0);
    // A device that sleeps, or a fault, explains that the De-register was not heard.
    for story in [announced().asleep(1_900, 3_000), announced().kill(1_900, "A")] {
        assert_eq!(judged(story).count(Breach::Event), 0);
    }
}
