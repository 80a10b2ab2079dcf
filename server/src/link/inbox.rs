//! What was heard on the connection that listens and not looked at yet.
//!
//! A member's own heartbeat shows that it hears, and it has been heard as soon as it is here: it goes before requests that
//! wait, or a member that has much to do would be taken for a deaf one. Nothing is reckoned from its place among them; the
//! marks of takes, whose place counts, keep it. Across the end of a connection nothing goes before anything.

use super::Event;
use crate::store::protocol::orders::OrderKind;
use std::collections::VecDeque;

/// Beyond so many bytes the connection is not read, and who does not keep up is deaf in the end.
const MOST_BYTES: usize = 8 << 20;
/// What a message costs beside its payload.
const OVERHEAD: usize = 64;

#[derive(Default)]
pub(super) struct Inbox {
    heartbeats: VecDeque<Event>,
    events: VecDeque<Event>,
    /// Messages that came before all subscriptions were confirmed: they follow the news of that.
    early: Vec<Event>,
    /// Ends and beginnings of connections among the events.
    changes: usize,
    bytes: usize,
}

impl Inbox {
    pub fn message(&mut self, channel: String, payload: Vec<u8>, confirmed: bool) {
        self.bytes += payload.len() + OVERHEAD;
        let first = self.changes == 0 && OrderKind::of(&payload) == Some(OrderKind::Heartbeat);
        let event = Event::Message { channel, payload };
        if !confirmed {
            self.early.push(event);
        } else if first {
            self.heartbeats.push_back(event);
        } else {
            self.events.push_back(event);
        }
    }

    pub fn connected(&mut self) {
        self.push(Event::SubscriberConnected);
        self.events.extend(self.early.drain(..));
    }

    /// The end or the beginning of a connection.
    pub fn push(&mut self, change: Event) {
        self.changes += 1;
        self.events.push_back(change);
    }

    pub fn pop(&mut self) -> Option<Event> {
        let event = self.heartbeats.pop_front().or_else(|| self.events.pop_front())?;
        match &event {
            Event::Message { payload, .. } => self.bytes -= payload.len() + OVERHEAD,
            _ => self.changes -= 1,
        }
        Some(event)
    }

    pub fn is_empty(&self) -> bool {
        self.heartbeats.is_empty() && self.events.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    /// The connection on which the early messages came is no more.
    pub fn forget_early(&mut self) {
        for event in self.early.drain(..) {
            if let Event::Message { payload, .. } = event {
                self.bytes -= payload.len() + OVERHEAD;
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Inbox::default();
    }
}
