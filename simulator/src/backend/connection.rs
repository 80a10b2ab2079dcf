//! The back end's connections to the broker, as far as they are the same in both worlds: what they bring, and when they are
//! made again.

use std::time::Duration;

use crate::dialect::Channel;
use crate::history::RegistrationChannel;

/// Between two attempts to connect: at first, and at most.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What happened on the northbound interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NorthboundEvent {
    /// Both connections stand and all subscriptions are confirmed.
    Connected,
    /// A connection broke.
    Disconnected {
        /// What is known of it.
        reason: String,
    },
    /// A message on the response channel.
    Response(String),
    /// A message on a registration channel.
    Registration(RegistrationChannel, String),
}

impl NorthboundEvent {
    /// A message that was heard on a channel; none if back ends have nothing to hear there.
    pub fn heard(channel: Channel, payload: &[u8]) -> Option<NorthboundEvent> {
        // Nearly always it is text, and to see that takes less time than to look for what is not.
        let payload = match std::str::from_utf8(payload) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(payload).into_owned(),
        };
        match channel {
            Channel::Request => None,
            Channel::Response => Some(NorthboundEvent::Response(payload)),
            Channel::Registration(channel) => Some(NorthboundEvent::Registration(channel, payload)),
        }
    }
}

/// How long a back end waits before it tries to connect again: each time longer.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { next: RETRY_DELAY.0 }
    }
}

impl Backoff {
    /// An attempt failed, or a connection broke: how long to wait.
    pub fn failed(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(RETRY_DELAY.1);
        delay
    }

    /// It is connected.
    pub fn succeeded(&mut self) {
        *self = Backoff::default();
    }
}
