//! A clock that may be wrong: it can be set, and it can run fast or slow.
//!
//! In: the time of the cluster, which is right. Out: what the clock shows, and when it will show something.

use std::time::Duration;

use lwm2m::time::Time;

const MILLION: i128 = 1_000_000;

/// A clock of a machine.
#[derive(Clone, Copy)]
pub struct Clock {
    /// When it was last touched.
    since: Time,
    /// How far ahead it was then, in microseconds.
    ahead_us: i64,
    /// What it has gained after a million microseconds since.
    rate_ppm: i64,
}

impl Clock {
    /// One that is right.
    pub fn right() -> Self {
        Clock {
            since: Time::ZERO,
            ahead_us: 0,
            rate_ppm: 0,
        }
    }

    /// How far ahead it is, in microseconds, and what it gains in a million.
    pub fn error(&self, now: Time) -> (i64, i64) {
        if self.rate_ppm == 0 {
            return (self.ahead_us, 0);
        }
        let gained = (now - self.since).as_micros() as i128 * i128::from(self.rate_ppm) / MILLION;
        (
            self.ahead_us.saturating_add(i64::try_from(gained).unwrap_or(0)),
            self.rate_ppm,
        )
    }

    /// What it shows.
    pub fn read(&self, now: Time) -> Time {
        Time::from_micros(now.as_micros().saturating_add_signed(self.error(now).0))
    }

    /// It is set forward, or back.
    pub fn jump(&mut self, now: Time, by_us: i64) {
        let (ahead_us, _) = self.error(now);
        self.since = now;
        self.ahead_us = ahead_us.saturating_add(by_us);
    }

    /// From now on it gains so much.
    pub fn drift(&mut self, now: Time, rate_ppm: i64) {
        self.ahead_us = self.error(now).0;
        self.since = now;
        self.rate_ppm = rate_ppm;
    }

    /// The first moment at which it shows `shown`, if nobody touches it; the last touch if it has shown that before.
    pub fn when(&self, shown: Time) -> Time {
        let at_touch = self.read(self.since);
        if shown <= at_touch || shown == Time::MAX {
            return self.since.min(shown);
        }
        if self.rate_ppm == 0 {
            return self.since + (shown - at_touch);
        }
        let ahead = (shown - at_touch).as_micros() as i128;
        let takes = (ahead * MILLION) / (MILLION + i128::from(self.rate_ppm));
        let mut at = self.since + Duration::from_micros(u64::try_from(takes).unwrap_or(u64::MAX));
        while self.read(at) < shown {
            at += Duration::from_micros(1);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_it_was_set_to_and_gains_as_fast_as_it_drifts() {
        let mut clock = Clock::right();
        assert_eq!(clock.read(Time::from_millis(7_000)), Time::from_millis(7_000));
        clock.jump(Time::from_millis(10_000), -3_000_000);
        assert_eq!(clock.read(Time::from_millis(11_000)), Time::from_millis(8_000));
        clock.drift(Time::from_millis(20_000), 100_000);
        assert_eq!(clock.read(Time::from_millis(30_000)), Time::from_millis(28_000));
        assert_eq!(clock.error(Time::from_millis(30_000)), (-2_000_000, 100_000));
    }

    #[test]
    fn it_is_known_when_a_clock_will_show_a_time() {
        let mut clock = Clock::right();
        clock.jump(Time::from_millis(10_000), 2_000_000);
        for rate in [-70_001, 0, 70_001] {
            clock.drift(Time::from_millis(10_000), rate);
            for us in [12_000_001, 12_000_002, 19_999_999, 77_777_777] {
                let at = clock.when(Time::from_micros(us));
                assert!(clock.read(at) >= Time::from_micros(us));
                let before = Time::from_micros(at.as_micros() - 1);
                assert!(clock.read(before) < Time::from_micros(us));
            }
        }
        assert_eq!(clock.when(Time::from_millis(12_000)), Time::from_millis(10_000));
    }
}
