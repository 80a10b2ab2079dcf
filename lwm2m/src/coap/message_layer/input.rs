//! What an arriving datagram means (RFC 7252, 4.2, 4.3, 5.2, 5.3.2).

use std::hash::Hash;

use super::exchange::{Phase, Role};
use super::received::Answer;
use super::{Event, FailureReason, Fingerprint, MessageLayer, Refusal};
use crate::coap::message::Header;
use crate::coap::{BadOption, Code, DecodeError, Kind, MAX_MESSAGE_BYTES, Message, Token, option};
use crate::time::Time;

impl<P: Copy + Eq + Hash + Ord> MessageLayer<P> {
    /// Takes a datagram that arrived from `peer`.
    pub fn handle_datagram(&mut self, now: Time, peer: P, datagram: &[u8]) {
        self.statistics.datagrams_received += 1;
        self.forget_expired(now);
        let mut message = match Message::decode(datagram) {
            Ok(message) => message,
            Err(error) => return self.handle_broken(now, peer, error),
        };
        message.options.drop_bad_elective();
        let fingerprint = Fingerprint::of(message.message_id, datagram);
        if message.code == Code::EMPTY {
            self.handle_empty(now, peer, message, fingerprint);
        } else if message.code.is_request() {
            self.handle_request(now, peer, message, fingerprint);
        } else {
            self.handle_response(now, peer, message, fingerprint);
        }
    }

    /// What is no message gets a Reset if it is Confirmable; what is one, and more than is read here, is told so.
    fn handle_broken(&mut self, now: Time, peer: P, error: DecodeError) {
        let reason = Refusal::Malformed(error.malformation);
        match (error.header, error.malformation.response_code()) {
            (
                Some(Header {
                    kind: Kind::Confirmable,
                    code: method,
                    message_id,
                    token: Some(token),
                }),
                Some(code),
            ) if method.is_request() => self.answer_refusal(now, peer, message_id, token, code, reason),
            (Some(header), code) => {
                if header.kind == Kind::Confirmable {
                    self.reset(peer, header.message_id);
                } else {
                    self.statistics.malformed_ignored += 1;
                }
                if header.code.is_response()
                    && code.is_some()
                    && let Some(token) = header.token
                    && let Some(index) = self.find_answered(peer, header.kind, header.message_id, token)
                {
                    self.fail_exchange(now, peer, index, FailureReason::Refused(reason));
                }
            }
            (None, _) => self.statistics.malformed_ignored += 1,
        }
        self.events.push_back(Event::Refused {
            peer,
            reason,
            message: None,
        });
    }

    /// Tells the sender of a confirmable request why it is not taken.
    fn answer_refusal(
        &mut self,
        now: Time,
        peer: P,
        message_id: u16,
        token: Token,
        code: Code,
        reason: Refusal,
    ) {
        let mut answer = Message::new(Kind::Acknowledgement, code, message_id, token);
        if code == Code::REQUEST_ENTITY_TOO_LARGE {
            answer.options.push_uint(option::SIZE1, MAX_MESSAGE_BYTES as u32);
        }
        if self.may_explain(now) {
            answer.payload = reason.to_string().into_bytes();
        }
        self.transmit(peer, &answer);
    }

    fn handle_empty(&mut self, now: Time, peer: P, message: Message, fingerprint: Fingerprint) {
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
                    None => self.unmatched(peer, message, fingerprint),
                }
            }
            Kind::Reset => match self.find_exchange(peer, |one| one.message_id == id && one.is_sent()) {
                Some(index) => self.fail_exchange(now, peer, index, FailureReason::Reset),
                None => self.unmatched(peer, message, fingerprint),
            },
        }
    }

    fn handle_request(&mut self, now: Time, peer: P, message: Message, fingerprint: Fingerprint) {
        let confirmable = match message.kind {
            Kind::Confirmable => true,
            Kind::NonConfirmable => false,
            Kind::Acknowledgement | Kind::Reset => {
                self.statistics.meaningless_ignored += 1;
                return;
            }
        };
        if self.replay_if_duplicate(now, peer, fingerprint) {
            return;
        }
        if let Some(bad) = message.options.bad_critical(self.config.known_in_requests) {
            self.statistics.bad_options += 1;
            let code = match bad {
                BadOption {
                    number: option::PROXY_URI | option::PROXY_SCHEME,
                    ..
                } => Code::PROXYING_NOT_SUPPORTED,
                _ => Code::BAD_OPTION,
            };
            let reason = Refusal::BadOption(bad);
            if confirmable {
                self.answer_refusal(now, peer, message.message_id, message.token, code, reason);
            }
            let message = Some(message);
            self.events.push_back(Event::Refused {
                peer,
                reason,
                message,
            });
            return;
        }
        let id = self.remember(
            now,
            peer,
            fingerprint,
            message.token,
            confirmable,
            Answer::Pending,
        );
        self.events.push_back(Event::Request { peer, id, message });
    }

    fn handle_response(&mut self, now: Time, peer: P, message: Message, fingerprint: Fingerprint) {
        if message.kind == Kind::Reset {
            self.statistics.meaningless_ignored += 1;
            return;
        }
        let needs_ack = message.kind == Kind::Confirmable;
        if needs_ack && self.replay_if_duplicate(now, peer, fingerprint) {
            return;
        }
        let Some(index) = self.find_answered(peer, message.kind, message.message_id, message.token) else {
            self.unmatched(peer, message, fingerprint);
            return;
        };
        if let Some(bad) = message.options.bad_critical(self.config.known_in_responses) {
            self.statistics.bad_options += 1;
            if needs_ack {
                self.reset(peer, message.message_id);
            }
            let reason = Refusal::BadOption(bad);
            self.fail_exchange(now, peer, index, FailureReason::Refused(reason));
            let message = Some(message);
            self.events.push_back(Event::Refused {
                peer,
                reason,
                message,
            });
            return;
        }
        if needs_ack {
            self.remember(now, peer, fingerprint, message.token, true, Answer::Pending);
        }
        let token = self.end_exchange(now, peer, index).token;
        self.events.push_back(Event::Response {
            peer,
            token,
            message,
            acknowledge: needs_ack.then_some(fingerprint),
        });
    }

    /// The open exchange that a response belongs to: its token, from whom it was asked, and if it came in the
    /// acknowledgement, that of the very message (RFC 7252, 5.3.2).
    fn find_answered(&self, peer: P, kind: Kind, message_id: u16, token: Token) -> Option<usize> {
        self.find_exchange(peer, |one| {
            one.role == Role::Request
                && one.token == token
                && one.is_sent()
                && (kind != Kind::Acknowledgement || one.message_id == message_id)
        })
    }

    /// True if the message is a copy of one that is remembered; the copy gets what the first one got.
    fn replay_if_duplicate(&mut self, now: Time, peer: P, fingerprint: Fingerprint) -> bool {
        let message_id = fingerprint.message_id;
        let Some(received) = self.find_received(now, peer, fingerprint) else {
            return false;
        };
        let answer = match &received.answer {
            Answer::Pending | Answer::Silence => None,
            Answer::Acknowledged | Answer::Confirmed => Some(super::empty_acknowledgement(message_id)),
            Answer::Given(datagram) => Some(datagram.clone()),
        };
        self.statistics.duplicates += 1;
        if let Some(datagram) = answer {
            self.statistics.replayed += 1;
            self.transmit_copy(peer, &datagram);
        }
        true
    }

    fn unmatched(&mut self, peer: P, message: Message, fingerprint: Fingerprint) {
        self.statistics.unmatched += 1;
        let acknowledge = (message.kind == Kind::Confirmable).then_some(fingerprint);
        self.events.push_back(Event::Unmatched {
            peer,
            message,
            acknowledge,
        });
    }
}
