//! When no registration expires: after a time in which devices could not be heard, and after the broker's clock was set
//! forward. What one member notices the store tells to all others, those who come later too (`suspension.lua`).

use super::Instance;
use std::time::Duration;

/// The broker's clock and the local one may differ so much from one comparison to the next.
const TOLERATED_JUMP: Duration = Duration::from_millis(500);

impl Instance {
    /// After an outage of the broker, devices get as long again before their registrations end: they did try.
    pub(super) fn outage_is_over(&mut self) {
        if let Some(began) = self.outage_began.take() {
            let grace = Duration::from_secs(5);
            self.expiry_from = self.expiry_from.max(self.now + (self.now - began) + grace);
        }
    }

    /// Where the broker's clock was set forward, every registration looks older than it is: for as long, none expires.
    /// Where it was set back, they end as much later.
    pub(super) fn watch_clock(&mut self, broker_now: Option<i64>) {
        let now = self.now;
        let Some(broker_now) = broker_now else {
            return;
        };
        let Some((broker_then, then)) = self.clocks.replace((broker_now, now)) else {
            return;
        };
        let elapsed = i64::try_from((now - then).as_millis()).unwrap_or(i64::MAX);
        let jump = (broker_now - broker_then).saturating_sub(elapsed);
        let length = Duration::from_millis(jump.unsigned_abs());
        if length <= TOLERATED_JUMP {
            return;
        }
        self.statistics.clock_jumps += 1;
        if jump > 0 {
            tracing::warn!(
                jump_ms = jump,
                "the broker's clock went on by more than the local one: no registration expires for as long"
            );
            // Two jumps make a registration look older by both.
            self.expiry_from = self.expiry_from.max(now) + length;
            self.untold = Some(self.expiry_from);
        } else {
            tracing::warn!(
                jump_ms = jump,
                "the local clock went on by more than the broker's"
            );
        }
        self.look_after_all();
    }

    /// The others know of a time in which devices could not be heard, or of a jump of the clock, and for how long (ms)
    /// no registration is to expire because of it.
    pub(super) fn suspend_expiry(&mut self, left_ms: Option<i64>) {
        let left = left_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        self.expiry_from = self.expiry_from.max(self.now + Duration::from_millis(left));
    }

    /// What the broker's clock shows (ms), reckoned from the last comparison: a little less, as that took a moment.
    pub(super) fn broker_time(&self) -> i64 {
        let (broker_then, then) = self.clocks.unwrap_or((0, self.now));
        let since = u64::try_from((self.now - then).as_millis()).unwrap_or(u64::MAX);
        broker_then.saturating_add_unsigned(since)
    }
}
