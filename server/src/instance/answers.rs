//! Answers without an exchange here: the balancer brought them to another instance than the one that asked, or they are
//! nobody's. From outside they are called strays.
//!
//! A token names the incarnation that was to hear the answer. If that member lives, the datagram is forwarded to it as
//! it is, and the holder does everything else; if it does not live or does not hear, the exchange is finished through
//! the store, with the device's response as the proof. Empty acknowledgements and Resets have no token: they follow the
//! way that the last stray of their source went, or are dropped, and CoAP heals it. An answer that was of use is
//! acknowledged by whoever finished it, and its copies from then on by the memory of the message layer.

use super::admission::Way;
use super::holder::outcome;
use super::{Instance, Purpose};
use crate::northbound::Request;
use crate::partition::{Partition, TokenParts};
use crate::peer::PeerId;
use crate::store::protocol::calls::{Forward, Peek};
use crate::store::protocol::orders::forward_text;
use crate::store::protocol::replies::Asked;
use lwm2m::coap::{Code, Fingerprint, Kind, Message, Token};
use lwm2m::time::Time;
use rustc_hash::FxHashMap;
use std::time::Duration;

/// How long the way of a source's last stray is remembered, at least, unless there are too many.
const REMEMBER_WAY: Duration = Duration::from_secs(10);
/// How many ways are remembered in each of two generations.
const WAYS: usize = 8192;
/// How many strays may wait for the store.
const PEEKING: usize = 4096;

/// What a device said, and nobody here waits for.
#[derive(Debug)]
pub(super) struct Answer {
    pub source: PeerId,
    pub message: Message,
    /// Set if it is confirmable.
    pub acknowledge: Option<Fingerprint>,
}

/// What is known of strays.
#[derive(Default)]
pub(super) struct Answers {
    ways: Ways,
    /// Responses that wait for the store's word on their token.
    peeking: FxHashMap<Token, Answer>,
    /// Confirmable responses whose outcome is on its way to the store.
    finishing: FxHashMap<Token, (PeerId, Fingerprint)>,
    /// What is handled now came from another member.
    forwarded: bool,
}

/// To whom the last stray of a source went. Two generations: to forget costs nothing, however many there are.
#[derive(Default)]
struct Ways {
    young: FxHashMap<PeerId, String>,
    old: FxHashMap<PeerId, String>,
    began: Time,
}

impl Ways {
    fn remember(&mut self, source: PeerId, member: &str, now: Time) {
        if self.young.len() >= WAYS {
            self.age(now);
        }
        self.young.insert(source, member.to_owned());
    }

    fn of(&mut self, source: PeerId, now: Time) -> Option<&str> {
        if now - self.began > REMEMBER_WAY {
            self.age(now);
        }
        let way = self.young.get(&source).or_else(|| self.old.get(&source));
        way.map(String::as_str)
    }

    fn age(&mut self, now: Time) {
        // After a long silence both are too old.
        let silent = now - self.began > 2 * REMEMBER_WAY;
        self.old = std::mem::take(&mut self.young);
        if silent {
            self.old.clear();
        }
        self.began = now;
    }
}

impl Answers {
    pub fn peeked(&mut self, token: Token) -> Option<Answer> {
        self.peeking.remove(&token)
    }

    pub fn finished(&mut self, token: Token) -> Option<(PeerId, Fingerprint)> {
        self.finishing.remove(&token)
    }
}

impl Instance {
    /// A response, an empty acknowledgement or a Reset that belongs to no exchange here.
    pub(super) fn stray(&mut self, answer: Answer) {
        let full = self.calls.len() >= self.config.limits.calls_pending;
        if self.membership().is_none() || full {
            self.statistics.strays_dropped += 1;
            return;
        }
        if answer.message.code == Code::EMPTY {
            // One that came from another member goes no further: two members may each believe it to be the other's.
            let way = self.answers.ways.of(answer.source, self.now);
            match way.map(str::to_owned).filter(|_| !self.answers.forwarded) {
                Some(member) if self.admits(&answer) => self.forward(&member, answer),
                Some(_) => self.statistics.beyond_share += 1,
                None => self.statistics.strays_dropped += 1,
            }
            return;
        }
        let Some(parts) = TokenParts::of(answer.message.token) else {
            return self.unwanted(&answer);
        };
        if !self.admits(&answer) {
            self.statistics.beyond_share += 1;
            tracing::debug!(source = %answer.source, "an answer is not looked at: its sender has used up its share of this second");
            return;
        }
        let Some(m) = self.membership() else { return };
        match m
            .view
            .living_by_tag(parts.tag)
            .filter(|member| **member != m.member)
        {
            Some(member) => {
                let member = member.to_string();
                self.answers.ways.remember(answer.source, &member, self.now);
                self.forward(&member, answer);
            }
            None => self.finish_through_store(parts, answer),
        }
    }

    fn admits(&mut self, answer: &Answer) -> bool {
        let way = Way::Answer(answer.message.encoded_length());
        self.admission.admits(self.now, answer.source, way)
    }

    fn forward(&mut self, member: &str, answer: Answer) {
        let mut datagram = Vec::new();
        answer.message.encode(&mut datagram);
        let token = answer.message.token;
        let partition = TokenParts::of(token).map_or(Partition::of(""), |parts| parts.partition);
        self.statistics.strays_forwarded += 1;
        let forward = Forward {
            member,
            datagram: &forward_text(answer.source, &datagram),
        };
        self.call(partition, Purpose::Forward(answer), &forward);
    }

    /// Nobody heard the forward: the member just died, or is deaf.
    pub(super) fn forward_answered(&mut self, answer: Answer, heard: u64) {
        if heard == 0
            && let Some(parts) = TokenParts::of(answer.message.token)
        {
            self.finish_through_store(parts, answer);
        }
    }

    /// A stray that another instance forwarded.
    pub(super) fn forwarded(&mut self, source: PeerId, datagram: &[u8]) {
        self.coap.handle_datagram(self.now, source, datagram);
        self.answers.forwarded = true;
        self.work_through_events();
        self.answers.forwarded = false;
    }

    /// Who was to hear this is dead, or it is this member, which does not know the exchange: the store knows whether
    /// anybody still waits for it.
    fn finish_through_store(&mut self, parts: TokenParts, answer: Answer) {
        let token = answer.message.token;
        if self.answers.peeking.len() >= PEEKING || self.answers.peeking.contains_key(&token) {
            self.statistics.strays_dropped += 1;
            return;
        }
        self.answers.peeking.insert(token, answer);
        self.call(parts.partition, Purpose::Peek(token), &Peek { token });
    }

    pub(super) fn peeked(&mut self, token: Token, asked: Option<Asked<'_>>) {
        let Some(answer) = self.answers.peeked(token) else {
            return;
        };
        let request = asked
            .as_ref()
            .and_then(|asked| Request::parse(asked.request).ok());
        let (Some(asked), Some(request)) = (asked, request) else {
            self.admission.was_fruitless(self.now, answer.source);
            return self.unwanted(&answer);
        };
        if !is_answered_by(&asked, &answer) {
            self.admission.was_fruitless(self.now, answer.source);
            // No Reset: a device whose NAT moved it says so in its next Update, and a later copy of this counts.
            self.statistics.strays_dropped += 1;
            tracing::debug!(source = %answer.source, device = %asked.device, %token, "an answer from another address than the question went to, or to another message: dropped");
            return;
        }
        self.statistics.strays_finished += 1;
        if let Some(response) = answer.acknowledge {
            self.answers.finishing.insert(token, (answer.source, response));
        }
        let body = outcome(&request, &answer.message);
        self.give_outcome(token, &body, true);
    }

    /// A response that nobody waits for: a confirmable one is rejected, so that the device stops repeating it.
    fn unwanted(&mut self, answer: &Answer) {
        self.statistics.strays_dropped += 1;
        tracing::debug!(source = %answer.source, token = %answer.message.token, "an answer that nobody waits for: dropped");
        if let Some(response) = answer.acknowledge {
            self.coap.reset(answer.source, response.message_id);
        }
    }
}

/// RFC 7252, 5.3.2: it comes from whom was asked; and what stands in an acknowledgement, acknowledges the question.
fn is_answered_by(asked: &Asked<'_>, answer: &Answer) -> bool {
    let piggybacked = answer.message.kind == Kind::Acknowledgement;
    answer.source == asked.device && (!piggybacked || answer.message.message_id == asked.message_id)
}
