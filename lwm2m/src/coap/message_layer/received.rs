//! The memory of received messages, for requests that wait for an answer and for de-duplication (RFC 7252, 4.5).
//!
//! Each peer has a short queue, oldest first; `remembered_order` names all of them, oldest first, so that the oldest of
//! all can be forgotten when the limit is reached.

use std::hash::Hash;

use super::{Deduplication, MessageLayer, RequestId, Token};
use crate::time::Time;

/// What a message and its copies have in common. RFC 7252, 4.5 calls it the message ID alone; a device that rebooted may
/// begin with one that it had before, and what it says then is no copy.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Fingerprint {
    /// The message ID.
    pub message_id: u16,
    /// Of all bytes of the datagram. It is the same in each release, because stores keep it.
    pub digest: u32,
}

impl Fingerprint {
    /// That of a datagram that is a message.
    pub fn of(message_id: u16, datagram: &[u8]) -> Self {
        // FNV-1a of words, turned, so that each bit reaches the others.
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let (words, rest) = datagram.as_chunks::<8>();
        let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            mix(hash, u64::from_le_bytes(*word))
        });
        let hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
        Fingerprint {
            message_id,
            digest: (hash ^ (hash >> 32)) as u32,
        }
    }
}

/// One received message.
pub(super) struct Received {
    pub(super) serial: u64,
    pub(super) at: Time,
    pub(super) answer: Answer,
    pub(super) token: Token,
    pub(super) fingerprint: Fingerprint,
    pub(super) confirmable: bool,
}

/// How far the answer to a received message is, and what a copy gets.
pub(super) enum Answer {
    /// The caller has it; a copy gets nothing, because the answer will come.
    Pending,
    /// Acknowledged, and the caller still has it; a copy is acknowledged again.
    Acknowledged,
    /// Answered; a copy gets this datagram.
    Given(Box<[u8]>),
    /// Done with an empty acknowledgement; a copy gets another one.
    Confirmed,
    /// Answered in a message of its own that is not repeated; a copy gets nothing.
    Silence,
}

impl Answer {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Answer::Pending | Answer::Acknowledged)
    }
}

impl<P: Copy + Eq + Hash + Ord> MessageLayer<P> {
    /// The message of which this is a copy, if it is remembered and its lifetime is not over.
    pub(super) fn find_received(&self, now: Time, peer: P, copy: Fingerprint) -> Option<&Received> {
        let by_content = self.config.deduplication == Deduplication::WhilePending;
        let newest = self.peers.get(&peer)?.received.iter().rev().find(|one| {
            one.fingerprint.message_id == copy.message_id
                && (!by_content || one.fingerprint.digest == copy.digest)
        })?;
        let lifetime = if newest.confirmable {
            self.exchange_lifetime
        } else {
            self.non_lifetime
        };
        (now < newest.at + lifetime).then_some(newest)
    }

    pub(super) fn pending_request(&mut self, id: RequestId<P>) -> Option<&mut Received> {
        let received = &mut self.peers.get_mut(&id.peer)?.received;
        let index = received.binary_search_by_key(&id.serial, |one| one.serial).ok()?;
        Some(&mut received[index]).filter(|one| one.answer.is_open())
    }

    pub(super) fn remember(
        &mut self,
        now: Time,
        peer: P,
        fingerprint: Fingerprint,
        token: Token,
        confirmable: bool,
        answer: Answer,
    ) -> RequestId<P> {
        let serial = self.draw_serial();
        let limit = self.config.limits.remembered_per_peer.max(1);
        let received = &mut self.peer_entry(peer).received;
        let full = received.len() >= limit;
        if full {
            received.pop_front();
        }
        received.push_back(Received {
            serial,
            at: now,
            answer,
            token,
            fingerprint,
            confirmable,
        });
        if full {
            self.statistics.forgotten += 1;
        } else {
            self.remembered += 1;
        }
        self.remembered_order.push_back((serial, peer));
        self.keep_within_limits();
        RequestId {
            peer,
            fingerprint,
            serial,
        }
    }

    /// Notes the answer to a message, or forgets a request if only pending ones are to be known. That a response was
    /// acknowledged is kept here in any case: nobody else knows it.
    pub(super) fn settle(&mut self, peer: P, serial: u64, answer: Answer) {
        let Some(held) = self.peers.get_mut(&peer) else {
            return;
        };
        let Ok(index) = held.received.binary_search_by_key(&serial, |one| one.serial) else {
            return;
        };
        match self.config.deduplication {
            _ if matches!(answer, Answer::Confirmed) => held.received[index].answer = answer,
            Deduplication::Full => held.received[index].answer = answer,
            Deduplication::WhilePending => {
                held.received.remove(index);
                self.remembered -= 1;
                self.drop_peer_if_idle(peer);
            }
        }
    }

    /// Forgets what is older than EXCHANGE_LIFETIME, the longest that anything is remembered.
    pub(super) fn forget_expired(&mut self, now: Time) {
        while let Some(&(serial, peer)) = self.remembered_order.front() {
            match self.peers.get(&peer).and_then(|held| held.received.front()) {
                Some(oldest) if oldest.serial == serial => {
                    if now < oldest.at + self.exchange_lifetime {
                        return;
                    }
                    self.forget_oldest_of(peer);
                }
                // Forgotten before, or answered and not kept.
                _ => {}
            }
            self.remembered_order.pop_front();
        }
    }

    fn keep_within_limits(&mut self) {
        while self.remembered > self.config.limits.remembered.max(1) {
            let Some((serial, peer)) = self.remembered_order.pop_front() else {
                return;
            };
            let oldest = self.peers.get(&peer).and_then(|held| held.received.front());
            if oldest.is_some_and(|oldest| oldest.serial == serial) {
                self.statistics.forgotten += 1;
                self.forget_oldest_of(peer);
            }
        }
        if self.remembered_order.len() > 2 * self.remembered + 64 {
            let peers = &self.peers;
            self.remembered_order.retain(|(serial, peer)| {
                peers.get(peer).is_some_and(|held| {
                    held.received
                        .binary_search_by_key(serial, |one| one.serial)
                        .is_ok()
                })
            });
        }
    }

    fn forget_oldest_of(&mut self, peer: P) {
        if let Some(held) = self.peers.get_mut(&peer) {
            held.received.pop_front();
            self.remembered -= 1;
            self.drop_peer_if_idle(peer);
        }
    }
}
