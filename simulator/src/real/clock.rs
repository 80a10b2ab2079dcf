//! The run's clock: microseconds since the start of the run, from the operating system's monotonic clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lwm2m::time::Time;

/// Counts from the moment at which it was made.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    origin: Instant,
}

impl RunClock {
    /// Starts now.
    pub fn start() -> Self {
        RunClock {
            origin: Instant::now(),
        }
    }

    /// The time on it.
    pub fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// The time that it showed at a moment of the operating system's clock.
    pub fn time_at(&self, moment: Instant) -> Time {
        Time::ZERO + moment.saturating_duration_since(self.origin)
    }

    /// The moment of the operating system's clock at which it shows `time`.
    pub fn instant(&self, time: Time) -> Instant {
        self.origin + (time - Time::ZERO)
    }
}

/// Milliseconds since the Unix epoch.
pub fn unix_millis() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
