//! What an arriving datagram means (RFC 7252, 4.2, 4.3, 5.2, 5.3.2).

use std::hash::Hash;

use super::exchange::{Phase, Role};
use super::received::Answer;
use super::{Endpoint, Event, FailureReason, Response};
use crate::coap::{Code, Kind, Message};
use crate::time::Time;

impl<P: Copy + Eq + Hash + Ord> Endpoint<P> {
    /// Takes a datagram that arrived from `peer`.
    pub fn handle_datagram(&mut self, now: Time, peer: P, datagram: &[u8]) {
        self.statistics.datagrams_received += 1;
        self.forget_expired(now);
        match Message::decode(datagram) {
            Ok(message) if message.code == Code::EMPTY => self.handle_empty(now, peer, message),
            Ok(message) if message.code.is_request() => self.handle_request(now, peer, message),
            Ok(message) => self.handle_response(now, peer, message),
            Err(error) => match error.header {
                Some((Kind::Confirmable, message_id)) => self.reset(peer, message_id),
                _ => self.statistics.malformed_ignored += 1,
            },
        }
    }

    fn handle_empty(&mut self, now: Time, peer: P, message: Message) {
        let id = message.message_id;
        match message.kind {
            Kind::Confirmable => {
                self.statistics.pings += 1;
                self.transmit_empty(peer, Kind::Reset, id);
            }
            Kind::NonConfirmable => self.statistics.meaningless_ignored += 1,
            Kind::Acknowledgement => {
                match self.find_exchange(peer, |one| {
                    one.message_id == id && one.phase == Phase::Unacknowledged
                }) {
                    Some(index) => self.acknowledge_exchange(now, peer, index),
                    None => self.unmatched(peer, message),
                }
            }
            Kind::Reset => match self.find_exchange(peer, |one| one.message_id == id && one.is_sent()) {
                Some(index) => self.fail_exchange(now, peer, index, FailureReason::Reset),
                None => self.unmatched(peer, message),
            },
        }
    }

    fn handle_request(&mut self, now: Time, peer: P, message: Message) {
        let confirmable = match message.kind {
            Kind::Confirmable => true,
            Kind::NonConfirmable => false,
            Kind::Acknowledgement | Kind::Reset => {
                self.statistics.meaningless_ignored += 1;
                return;
            }
        };
        if self.replay_if_duplicate(now, peer, message.message_id) {
            return;
        }
        if message
            .options
            .unknown_critical(self.config.known_critical)
            .is_some()
        {
            self.statistics.bad_options += 1;
            if confirmable {
                let Response {
                    code,
                    options,
                    payload,
                } = Response::of(Code::BAD_OPTION);
                let kind = Kind::Acknowledgement;
                self.transmit(
                    peer,
                    &Message {
                        kind,
                        code,
                        options,
                        payload,
                        ..message
                    },
                );
            }
            return;
        }
        let id = self.remember(
            now,
            peer,
            message.message_id,
            message.token,
            confirmable,
            Answer::Pending,
        );
        self.events.push_back(Event::Request { peer, id, message });
    }

    fn handle_response(&mut self, now: Time, peer: P, message: Message) {
        if message.kind == Kind::Reset {
            self.statistics.meaningless_ignored += 1;
            return;
        }
        let needs_ack = message.kind == Kind::Confirmable;
        if needs_ack && self.replay_if_duplicate(now, peer, message.message_id) {
            return;
        }
        let piggybacked = message.kind == Kind::Acknowledgement;
        let Some(index) = self.find_exchange(peer, |one| {
            one.role == Role::Request
                && one.token == message.token
                && one.is_sent()
                && (!piggybacked || one.message_id == message.message_id)
        }) else {
            self.unmatched(peer, message);
            return;
        };
        if message
            .options
            .unknown_critical(self.config.known_critical)
            .is_some()
        {
            self.statistics.bad_options += 1;
            if needs_ack {
                self.reset(peer, message.message_id);
            }
            return;
        }
        if needs_ack {
            self.remember(
                now,
                peer,
                message.message_id,
                message.token,
                true,
                Answer::Pending,
            );
        }
        let token = self.end_exchange(now, peer, index).token;
        self.events.push_back(Event::Response {
            peer,
            token,
            message,
            needs_ack,
        });
    }

    /// True if the message is a copy of one that is remembered; the copy gets what the first one got.
    fn replay_if_duplicate(&mut self, now: Time, peer: P, message_id: u16) -> bool {
        let Some(received) = self.find_received(now, peer, message_id) else {
            return false;
        };
        let answer = match &received.answer {
            Answer::Pending | Answer::Silence => None,
            Answer::Acknowledged => Some(super::empty_acknowledgement(message_id)),
            Answer::Given(datagram) => Some(datagram.clone()),
        };
        self.statistics.duplicates += 1;
        if let Some(datagram) = answer {
            self.statistics.replayed += 1;
            self.transmit_copy(peer, &datagram);
        }
        true
    }

    fn unmatched(&mut self, peer: P, message: Message) {
        self.statistics.unmatched += 1;
        self.events.push_back(Event::Unmatched { peer, message });
    }
}
