//! What this instance did not do for devices, said once a minute at all levels of the log, if there is anything to say.
//!
//! Each single case is a line at `debug` where it happens; this is for whoever does not look that closely.

use super::{Instance, Statistics};
use lwm2m::time::Time;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(60);

/// What was counted when it was last said.
#[derive(Default)]
pub(super) struct Summary {
    at: Time,
    said: [u64; 7],
}

fn counts(of: &Statistics) -> [u64; 7] {
    [
        of.messages_refused,
        of.requests_refused,
        of.moved,
        of.strangers_refused,
        of.unavailable,
        of.beyond_share,
        of.strays_dropped,
    ]
}

impl Instance {
    pub(super) fn summarize(&mut self) {
        if self.now - self.summary.at < INTERVAL {
            return;
        }
        self.summary.at = self.now;
        let counted = counts(&self.statistics);
        let before = std::mem::replace(&mut self.summary.said, counted);
        if counted == before {
            return;
        }
        let [
            malformed,
            refused,
            moved,
            strangers,
            unavailable,
            beyond_share,
            unwanted,
        ] = std::array::from_fn(|n| counted[n] - before[n]);
        tracing::warn!(
            malformed,
            refused,
            moved,
            strangers,
            unavailable,
            beyond_share,
            unwanted,
            "messages of devices in the last minute that were refused, dropped, or came from a new address; `--log debug` has a line for each"
        );
    }
}
