//! Registration events in and out of sequence.

use super::*;

#[test]
fn registration_events_in_sequence_are_lawful() {
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
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
    let begin = || Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
    let judgement = gap(begin());
    assert_eq!((judgement.count(Breach::Event), judgement.event_gaps), (1, 0));
    assert_eq!(
        judgement.violations[0].explanation,
        "rev 5 after rev 1: expected 2"
    );
    let judgement = gap(begin().disconnected(4000, 5000));
    assert_eq!((judgement.count(Breach::Event), judgement.event_gaps), (0, 3));
}

#[test]
fn a_registration_that_is_not_announced_as_gone_cannot_be_replaced() {
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
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
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
    let story = story.registration(2, RegistrationChannel::Del, "r1", 2);
    let judgement = story.registration(3, RegistrationChannel::Up, "r1", 3).judged();
    assert_eq!(judgement.count(Breach::Event), 1);
    assert_eq!(
        judgement.violations[0].explanation,
        "REG_UP r1 after REG_DEL: expected REG_NEW"
    );
}

fn registration(story: Story, at_ms: u64, channel: RegistrationChannel, rest: &str) -> Story {
    let plain = format!(r#"{{"ep":"dev-1",{rest}}}"#);
    let message = match channel {
        RegistrationChannel::Up => format!(r#"{{"regUpdate":{{}},"regUpdated":{plain}}}"#),
        _ => plain,
    };
    story.with(at_ms, Event::Registration { channel, message })
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
        },
    )
}

fn updated(story: Story, at_ms: u64) -> Story {
    story.with(at_ms, Event::DeviceUpdated { ep: "dev-1".into() })
}

#[test]
fn a_registration_that_was_refreshed_does_not_expire_before_its_lifetime_is_over() {
    let story = |died_ms| {
        let story = Story::begin();
        let story = registration(
            story,
            0,
            RegistrationChannel::New,
            r#""regId":"r1","rev":1,"lt":10"#,
        );
        let story = registration(
            story,
            7000,
            RegistrationChannel::Up,
            r#""regId":"r1","rev":2,"lt":10"#,
        );
        let gone = r#""regId":"r1","rev":3,"lt":10,"reason":"expired""#;
        registration(story, died_ms, RegistrationChannel::Del, gone).judged()
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
    let announced = |story: Story| story.registration(1, RegistrationChannel::New, "r1", 1);
    assert_lawful(&told(announced(Story::begin()), 5, "r1").judged());
    let judgement = told(announced(Story::begin()), 5, "r2").judged();
    let violation = assert_only(&judgement, Breach::Event, "");
    assert_eq!(
        violation.explanation,
        "the device was told of the registration r2, which was never announced"
    );
}

#[test]
fn an_update_that_only_the_device_was_told_of_is_reported() {
    let begin = || {
        let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
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
}

/// The registration r1 becomes r2 while the device has r1.
fn replaced(between: Option<Event>) -> Judgement {
    let story = Story::begin().registration(1, RegistrationChannel::New, "r1", 1);
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
    let (ep, reason) = ("dev-1".into(), "silence".into());
    assert_lawful(&replaced(Some(Event::DeviceLostRegistration { ep, reason })));
    let (ep, code) = ("dev-1".into(), "5.03".into());
    assert_lawful(&replaced(Some(Event::DeviceRefused { ep, code })));
    assert_lawful(&replaced(Some(Event::Fault {
        action: "reboot".into(),
        instances: Vec::new(),
        affected: Vec::new(),
        harmful: true,
    })));
}
