//! Who listens to which channel, and what they are sent.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::glob;
use crate::reply::{encode_array_header, encode_bulk};
use crate::state::{ClientId, State};
use crate::value::owned;

/// A message for a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// It subscribed the channel.
    Message { channel: Bytes, payload: Bytes },
    /// It subscribed a pattern that the channel matches.
    PatternMessage {
        pattern: Bytes,
        channel: Bytes,
        payload: Bytes,
    },
}

impl Push {
    /// Appends the RESP version 2 form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let parts: &[&[u8]] = match self {
            Push::Message { channel, payload } => &[b"message", channel, payload],
            Push::PatternMessage {
                pattern,
                channel,
                payload,
            } => &[b"pmessage", pattern, channel, payload],
        };
        encode_array_header(out, parts.len());
        parts.iter().for_each(|part| encode_bulk(out, part));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub(crate) channels: BTreeMap<Bytes, BTreeSet<ClientId>>,
    pub(crate) patterns: BTreeMap<Bytes, BTreeSet<ClientId>>,
}

/// The two ways to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
}

impl Subscriptions {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<Bytes, BTreeSet<ClientId>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    fn remove(&mut self, kind: Kind, name: &[u8], client: ClientId) {
        let listeners = self.of(kind);
        if let Some(clients) = listeners.get_mut(name) {
            clients.remove(&client);
            if clients.is_empty() {
                listeners.remove(name);
            }
        }
    }
}

impl State {
    pub(crate) fn subscribe(&mut self, client: ClientId, kind: Kind, name: &[u8]) {
        let Some(subscriber) = self.clients.get_mut(&client) else {
            return;
        };
        let own = match kind {
            Kind::Channel => &mut subscriber.channels,
            Kind::Pattern => &mut subscriber.patterns,
        };
        let name = owned(name);
        if own.insert(name.clone()) {
            self.subscriptions
                .of(kind)
                .entry(name)
                .or_default()
                .insert(client);
        }
    }

    pub(crate) fn unsubscribe(&mut self, client: ClientId, kind: Kind, name: &[u8]) {
        let Some(subscriber) = self.clients.get_mut(&client) else {
            return;
        };
        let own = match kind {
            Kind::Channel => &mut subscriber.channels,
            Kind::Pattern => &mut subscriber.patterns,
        };
        own.remove(name);
        self.subscriptions.remove(kind, name, client);
    }

    pub(crate) fn unsubscribe_all(&mut self, client: ClientId) {
        let Some(subscriber) = self.clients.get_mut(&client) else {
            return;
        };
        for channel in std::mem::take(&mut subscriber.channels) {
            self.subscriptions.remove(Kind::Channel, &channel, client);
        }
        for pattern in std::mem::take(&mut subscriber.patterns) {
            self.subscriptions.remove(Kind::Pattern, &pattern, client);
        }
    }

    /// Hands a message to all who listen; returns to how many.
    pub(crate) fn publish(&mut self, channel: &[u8], payload: &[u8]) -> usize {
        let before = self.pushes.len();
        let message = (owned(channel), owned(payload));
        for &client in self.subscriptions.channels.get(channel).into_iter().flatten() {
            let (channel, payload) = message.clone();
            self.pushes.push((client, Push::Message { channel, payload }));
        }
        for (pattern, clients) in &self.subscriptions.patterns {
            if !glob::matches(pattern, channel) {
                continue;
            }
            for &client in clients {
                let (channel, payload) = message.clone();
                let pattern = pattern.clone();
                self.pushes.push((
                    client,
                    Push::PatternMessage {
                        pattern,
                        channel,
                        payload,
                    },
                ));
            }
        }
        self.pushes.len() - before
    }
}
