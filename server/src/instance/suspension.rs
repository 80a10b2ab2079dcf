//! When no registration expires: after a time in which devices could not be heard, and after the broker's clock was set
//! forward. What one member notices the store tells to all others, those who come later too.

use super::Instance;
use crate::store::protocol::BrokerTime;
use crate::store::protocol::times::GRACE;
use lwm2m::time::Time;
use std::time::Duration;

/// The broker's clock and the local one may differ so much from one comparison to the next.
const TOLERATED_JUMP: Duration = Duration::from_millis(500);

/// What the broker's clock showed (ms) when it ran a script, and between which local times that was.
pub(super) struct Comparison {
    broker: BrokerTime,
    sent_at: Time,
    read_at: Time,
}

impl Instance {
    /// After an outage of the broker, devices get as long again before their registrations end: they did try.
    pub(super) fn outage_is_over(&mut self) {
        if let Some(began) = self.outage_began.take() {
            self.expiry_from = self.expiry_from.max(self.now + (self.now - began) + GRACE);
        }
    }

    /// Where the broker's clock was set forward, every registration looks older than it is: for as long, none expires.
    /// Where it was set back, they end as much later. `broker` was read by a script that was called at `sent_at`; a
    /// call that was under way for long is no jump.
    pub(super) fn watch_clock(&mut self, sent_at: Time, broker: BrokerTime) {
        let now = self.now;
        let comparison = Comparison {
            broker,
            sent_at,
            read_at: now,
        };
        let Some(then) = self.clocks.replace(comparison) else {
            return;
        };
        let shown = broker.0.saturating_sub(then.broker.0);
        let ahead = shown.saturating_sub(millis(now - then.sent_at));
        let at_most = shown.saturating_sub(millis(sent_at - then.read_at));
        let behind = at_most.saturating_neg();
        let tolerated = millis(TOLERATED_JUMP);
        if ahead <= tolerated && behind <= tolerated {
            return;
        }
        self.statistics.clock_jumps += 1;
        if ahead > 0 {
            let length = Duration::from_millis(at_most.unsigned_abs());
            tracing::warn!(
                jump_ms = at_most,
                "the broker's clock went on by more than the local one: no registration expires for as long"
            );
            // Two jumps make a registration look older by both.
            self.expiry_from = self.expiry_from.max(now) + length;
            self.untold = Some(self.expiry_from);
        } else {
            tracing::warn!(
                jump_ms = -behind,
                "the local clock went on by more than the broker's"
            );
        }
        self.look_after_all();
    }

    /// The others know of a time in which devices could not be heard, or of a jump of the clock, and for how long (ms)
    /// no registration is to expire because of it.
    pub(super) fn suspend_expiry(&mut self, left_ms: u64) {
        self.expiry_from = self.expiry_from.max(self.now + Duration::from_millis(left_ms));
    }

    /// What the broker's clock shows (ms), reckoned from the last comparison: a little less, as that took a moment.
    pub(super) fn broker_time(&self) -> BrokerTime {
        let (broker_then, then) = match &self.clocks {
            Some(then) => (then.broker.0, then.read_at),
            None => (0, self.now),
        };
        BrokerTime(broker_then.saturating_add(millis(self.now - then)))
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
