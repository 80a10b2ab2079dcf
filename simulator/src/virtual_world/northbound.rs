//! The back end's two connections to the broker: one to publish requests, one to hear answers and registration events.
//!
//! In: what arrives on them. Out: [`ClusterEvent`]s. As in `real::northbound`, both are given up when one breaks, and made
//! again, the publishing one first, with a growing delay.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::Push;
use lwm2m::time::Time;

use super::cluster::ClusterEvent;
use super::connection::{Arrival, ConnectionId, Party};
use super::link::{Link, LinkKind};
use super::message_broker::MessageBroker;
use crate::history::RegistrationChannel;

/// Between two attempts: at first, and at most.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The back end's side of the northbound interface.
pub struct Northbound {
    party: Party,
    prefix: String,
    request: Rc<str>,
    publisher: Link,
    listener: Link,
    delay: Duration,
}

impl Northbound {
    /// Begins to connect as `party`; `prefix` stands before every channel name.
    pub fn new(now: Time, party: Party, prefix: &str, broker: &mut MessageBroker) -> Self {
        let heard = ["RESP", "REG_NEW", "REG_UP", "REG_DEL"];
        let mut northbound = Northbound {
            party,
            prefix: prefix.to_owned(),
            request: format!("{prefix}LESHAN_REQ").into(),
            publisher: Link::default(),
            listener: Link {
                channels: heard.map(|name| format!("{prefix}LESHAN_{name}")).to_vec(),
                ..Link::default()
            },
            delay: RETRY_DELAY.0,
        };
        northbound.connect(now, LinkKind::Command, broker);
        northbound
    }

    /// What stands before every channel name and every key.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Publishes a request, if there is a connection.
    pub fn publish(&self, now: Time, payload: Arc<str>, broker: &mut MessageBroker) {
        if let Some(connection) = self.publisher.connection {
            broker.publish(now, connection, Rc::clone(&self.request), payload);
        }
    }

    /// True if both connections stand, as far as the back end knows.
    pub fn is_up(&self) -> bool {
        self.publisher.up && self.listener.up
    }

    /// Its connections and attempts.
    pub fn connections(&self) -> [Option<ConnectionId>; 2] {
        [self.publisher.connection, self.listener.connection]
    }

    /// Something arrives on one of its connections. What the back end is told, and when it tries again if it has to.
    pub fn arrive(
        &mut self,
        now: Time,
        id: ConnectionId,
        arrival: Arrival,
        broker: &mut MessageBroker,
    ) -> (Option<ClusterEvent>, Option<Time>) {
        let link = if self.publisher.connection == Some(id) {
            &mut self.publisher
        } else {
            &mut self.listener
        };
        link.read(&arrival);
        let event = match arrival {
            Arrival::CommandConnected => {
                self.connect(now, LinkKind::Subscriber, broker);
                None
            }
            Arrival::SubscriberConnected => {
                self.delay = RETRY_DELAY.0;
                Some(ClusterEvent::BackEndConnected(true))
            }
            Arrival::Message(Push::Message { channel, payload }) => Some(self.heard(&channel, &payload)),
            Arrival::Lost => return self.give_up(now, broker),
            Arrival::Reply(..) | Arrival::Message(_) => None,
        };
        (event, None)
    }

    /// Drops both connections; the next attempt is later than the one before.
    fn give_up(&mut self, now: Time, broker: &mut MessageBroker) -> (Option<ClusterEvent>, Option<Time>) {
        let was_up = self.listener.up;
        let at = now + self.delay;
        self.delay = (self.delay * 2).min(RETRY_DELAY.1);
        for dropped in [self.publisher.retry(at), self.listener.drop_connection()] {
            dropped.into_iter().for_each(|id| broker.close(now, id));
        }
        (was_up.then_some(ClusterEvent::BackEndConnected(false)), Some(at))
    }

    /// Tries again, if that is due.
    pub fn try_again(&mut self, now: Time, broker: &mut MessageBroker) {
        if self.publisher.retry_at == Some(now) {
            self.connect(now, LinkKind::Command, broker);
        }
    }

    fn connect(&mut self, now: Time, kind: LinkKind, broker: &mut MessageBroker) {
        let link = match kind {
            LinkKind::Command => &mut self.publisher,
            LinkKind::Subscriber => &mut self.listener,
        };
        let connection = broker.connect(now, self.party, link.channels.clone());
        if let Some(old) = link.begin(connection) {
            broker.close(now, old);
        }
    }

    fn heard(&self, channel: &[u8], payload: &[u8]) -> ClusterEvent {
        // Nearly always it is text, and to see that takes less time than to look for what is not.
        let payload = match std::str::from_utf8(payload) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(payload).into_owned(),
        };
        match channel.get(self.prefix.len()..).unwrap_or_default() {
            b"LESHAN_RESP" => ClusterEvent::Response(payload),
            b"LESHAN_REG_NEW" => ClusterEvent::Registration(RegistrationChannel::New, payload),
            b"LESHAN_REG_UP" => ClusterEvent::Registration(RegistrationChannel::Up, payload),
            _ => ClusterEvent::Registration(RegistrationChannel::Del, payload),
        }
    }
}
