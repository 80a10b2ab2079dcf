//! When a steward has to look after a partition again: its sweep, and the end of lifetimes.
//!
//! The store says with each answer when the next look is worth its price, so that a partition in which nothing waits
//! costs nearly nothing. What begins to wait in the meantime hurries the chore.

use lwm2m::time::Time;
use std::time::Duration;

/// A look that is under way comes again after this time, in case its answer never does.
const UNANSWERED: Duration = Duration::from_secs(1);
/// No look is put off for longer, whatever the store said: its clock and the local one may run apart.
const LONGEST: Duration = Duration::from_secs(30);

/// Something that a steward does for a partition now and then.
pub(super) struct Chore {
    at: Time,
    /// Something asked for it after the look began whose answer is awaited.
    hurried: bool,
}

impl Chore {
    /// One that is due from `at` on.
    pub fn due_at(at: Time) -> Self {
        Chore { at, hurried: false }
    }

    pub fn is_due(&self, now: Time) -> bool {
        now >= self.at
    }

    /// A look begins.
    pub fn begin(&mut self, now: Time) {
        self.at = now + UNANSWERED;
        self.hurried = false;
    }

    /// It must not be later than `at`.
    pub fn hurry(&mut self, at: Time) {
        self.at = self.at.min(at);
        self.hurried = true;
    }

    /// The store answered: in `wait_ms` there is something to do, or nothing is in sight.
    pub fn answered(&mut self, now: Time, wait_ms: Option<u64>) {
        let wait = wait_ms.map_or(LONGEST, |ms| Duration::from_millis(ms).min(LONGEST));
        let next = now + wait;
        self.at = if self.hurried { self.at.min(next) } else { next };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(10_000);

    fn due(chore: &Chore) -> u64 {
        chore.at.as_micros() / 1000
    }

    #[test]
    fn a_look_comes_again_when_the_store_says_so_and_after_half_a_minute_at_the_latest() {
        let mut chore = Chore::due_at(Time::ZERO);
        chore.begin(NOW);
        assert_eq!(due(&chore), 11_000);
        chore.answered(NOW, Some(250));
        assert!(chore.is_due(Time::from_millis(10_250)) && !chore.is_due(Time::from_millis(10_249)));
        for far in [None, Some(u64::MAX)] {
            chore.answered(NOW, far);
            assert_eq!(due(&chore), 40_000);
        }
    }

    #[test]
    fn an_answer_of_before_does_not_put_off_what_was_hurried_since() {
        let mut chore = Chore::due_at(NOW);
        chore.begin(NOW);
        chore.hurry(Time::from_millis(10_500));
        chore.answered(NOW, None);
        assert_eq!(due(&chore), 10_500);
        chore.begin(NOW);
        chore.answered(NOW, None);
        assert_eq!(due(&chore), 40_000);
    }
}
