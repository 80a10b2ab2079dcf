//! The back end's two connections to the broker: one to publish requests, one to hear answers and registration events.
//!
//! In: what arrives on them. Out: [`NorthboundEvent`]s. As in `real::northbound`, both are given up when one breaks, and made
//! again, the publishing one first, with a growing delay.

use std::rc::Rc;
use std::sync::Arc;

use broker::Push;
use lwm2m::time::Time;
use server::link::Side;

use super::connection::{Arrival, ConnectionId, Party};
use super::link::Link;
use super::message_broker::MessageBroker;
use crate::backend::{Backoff, NorthboundEvent};
use crate::dialect::{Channel, Channels};

/// The back end's side of the northbound interface.
pub struct Northbound {
    party: Party,
    channels: Channels,
    request: Rc<str>,
    publisher: Link,
    listener: Link,
    backoff: Backoff,
}

impl Northbound {
    /// Begins to connect as `party`; `prefix` stands before every channel name.
    pub fn new(now: Time, party: Party, prefix: &str, broker: &mut MessageBroker) -> Self {
        let channels = Channels::new(prefix);
        let mut northbound = Northbound {
            party,
            request: channels.name(Channel::Request).into(),
            publisher: Link::default(),
            listener: Link {
                channels: channels.heard(),
                ..Link::default()
            },
            backoff: Backoff::default(),
            channels,
        };
        northbound.connect(now, Side::Command, broker);
        northbound
    }

    /// What stands before every channel name and every key.
    pub fn prefix(&self) -> &str {
        self.channels.prefix()
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
    ) -> (Option<NorthboundEvent>, Option<Time>) {
        let link = if self.publisher.connection == Some(id) {
            &mut self.publisher
        } else {
            &mut self.listener
        };
        link.read(&arrival);
        let event = match arrival {
            Arrival::Opened => {
                self.connect(now, Side::Subscriber, broker);
                None
            }
            Arrival::Subscribed => {
                self.backoff.succeeded();
                Some(NorthboundEvent::Connected)
            }
            Arrival::Message(Push::Message { channel, payload }) => {
                let channel = self.channels.of(&channel);
                channel.and_then(|channel| NorthboundEvent::heard(channel, &payload))
            }
            Arrival::Lost => return self.give_up(now, broker),
            Arrival::Answer(_) | Arrival::Message(_) => None,
        };
        (event, None)
    }

    /// Drops both connections; the next attempt is later than the one before.
    fn give_up(&mut self, now: Time, broker: &mut MessageBroker) -> (Option<NorthboundEvent>, Option<Time>) {
        let was_up = self.listener.up;
        let at = now + self.backoff.failed();
        for dropped in [self.publisher.retry(at), self.listener.drop_connection()] {
            dropped.into_iter().for_each(|id| broker.close(now, id));
        }
        let reason = "a connection to the broker broke".to_owned();
        (
            was_up.then_some(NorthboundEvent::Disconnected { reason }),
            Some(at),
        )
    }

    /// Tries again, if that is due.
    pub fn try_again(&mut self, now: Time, broker: &mut MessageBroker) {
        if self.publisher.retry_at == Some(now) {
            self.connect(now, Side::Command, broker);
        }
    }

    fn connect(&mut self, now: Time, side: Side, broker: &mut MessageBroker) {
        let link = match side {
            Side::Command => &mut self.publisher,
            Side::Subscriber => &mut self.listener,
        };
        let connection = broker.connect(now, self.party, side, link.channels.clone());
        if let Some(old) = link.begin(connection) {
            broker.close(now, old);
        }
    }
}
