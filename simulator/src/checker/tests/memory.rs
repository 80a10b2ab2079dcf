//! The judge keeps a ticket only as long as something may come of it.

use super::*;

/// Tickets per second.
const RATE: u64 = 50;

/// One answered execute, as four entries.
fn ticket(number: u64) -> Story {
    let (at_ms, ticket) = (number * 1000 / RATE, format!("t{number}"));
    let story = Story::default().accepted_execute(at_ms, &ticket, "A#1");
    story
        .ran(at_ms + 2, &ticket, (number % 60_000) as u16)
        .changed(at_ms + 3, &ticket, "A#1")
}

#[test]
fn tickets_of_which_nothing_can_come_any_more_are_forgotten_and_counted() {
    let mut checker = Checker::new(RULES);
    let count = 1200 * RATE;
    let begin = Story::begin();
    begin.entries.iter().for_each(|entry| checker.observe(entry));
    for number in 0..count {
        ticket(number)
            .entries
            .iter()
            .for_each(|entry| checker.observe(entry));
        // The timeout of 10 s, 6 s for faults and repeats, and what is remembered.
        assert!(
            checker.kept() as u64 <= (10 + 6 + 360 + 1) * RATE,
            "{} are kept",
            checker.kept()
        );
    }
    let judgement = checker.finish();
    assert_lawful(&judgement);
    assert_eq!(judgement.judged[&Breach::Lost].judged, count);
    assert_eq!(judgement.judged[&Breach::NoTerminal].judged, count);
    assert_eq!(judgement.judged[&Breach::DoubleExecution].judged, count);
}
