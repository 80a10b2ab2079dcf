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
