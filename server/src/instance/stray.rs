//! Strays: answers that the balancer brought to an instance that does not hold the exchange.
//!
//! A token names the incarnation that was to hear the answer. If that member lives, the datagram is forwarded to it as
//! it is, and the holder does everything else; if it does not live or does not hear, the exchange is finished through
//! the store, with the device's response as the proof. Empty acknowledgements and Resets have no token: they follow the
//! way that the last stray of their source went, or are dropped, and CoAP heals it.

use super::holder::outcome;
use super::{Instance, Purpose};
use crate::northbound::Request;
use crate::partition::{Partition, TokenParts};
use crate::store::{Reply, Script};
use lwm2m::coap::{Code, Fingerprint, Kind, Message, Token};
use lwm2m::time::Time;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long the way of a source's last stray is remembered.
const REMEMBER_WAY: Duration = Duration::from_secs(10);
/// How many ways are remembered.
const WAYS: usize = 16_384;
/// How many strays may wait for the store.
const PEEKING: usize = 4096;

/// What a device said, and nobody here waits for.
#[derive(Debug)]
pub(super) struct Answer {
    pub source: SocketAddr,
    pub message: Message,
    /// Set if it is confirmable.
    pub acknowledge: Option<Fingerprint>,
}

/// What is known of strays.
pub(super) struct Strays {
    /// To whom the last stray of a source went.
    ways: FxHashMap<SocketAddr, (String, Time)>,
    /// Responses that wait for the store's word on their token.
    peeking: FxHashMap<Token, Answer>,
    /// Confirmable responses whose outcome is on its way to the store.
    finishing: FxHashMap<Token, (SocketAddr, Fingerprint)>,
    /// What is handled now came from another member.
    forwarded: bool,
    per_second: u32,
    second: u64,
    spent: u32,
}

impl Strays {
    pub fn new(per_second: u32) -> Self {
        Strays {
            ways: FxHashMap::default(),
            peeking: FxHashMap::default(),
            finishing: FxHashMap::default(),
            forwarded: false,
            per_second,
            second: 0,
            spent: 0,
        }
    }

    /// True while this second's share is not used up.
    fn allowed(&mut self, now: Time) -> bool {
        let second = now.as_micros() / 1_000_000;
        if second != self.second {
            self.second = second;
            self.spent = 0;
        }
        self.spent += 1;
        self.spent <= self.per_second
    }

    fn remember_way(&mut self, source: SocketAddr, member: &str, now: Time) {
        if self.ways.len() >= WAYS {
            self.ways.retain(|_, (_, at)| now - *at <= REMEMBER_WAY);
        }
        if self.ways.len() < WAYS {
            self.ways.insert(source, (member.to_owned(), now));
        }
    }

    pub fn peeked(&mut self, token: Token) -> Option<Answer> {
        self.peeking.remove(&token)
    }

    pub fn finished(&mut self, token: Token) -> Option<(SocketAddr, Fingerprint)> {
        self.finishing.remove(&token)
    }
}

impl Instance {
    /// A response, an empty acknowledgement or a Reset that belongs to no exchange here.
    pub(super) fn stray(&mut self, answer: Answer) {
        if self.membership().is_none() || !self.strays.allowed(self.now) {
            self.statistics.strays_dropped += 1;
            return;
        }
        if answer.message.code == Code::EMPTY {
            // One that came from another member goes no further: two members may each believe it to be the other's.
            let way = self.strays.ways.get(&answer.source);
            let way = way.filter(|(_, at)| !self.strays.forwarded && self.now - *at <= REMEMBER_WAY);
            match way.map(|(member, _)| member.clone()) {
                Some(member) => self.forward(&member, answer),
                None => self.statistics.strays_dropped += 1,
            }
            return;
        }
        let Some(parts) = TokenParts::of(answer.message.token) else {
            return self.unwanted(&answer);
        };
        let Some(m) = self.membership() else { return };
        match m
            .view
            .living_by_tag(parts.tag)
            .filter(|member| **member != m.member)
        {
            Some(member) => {
                let member = member.to_string();
                self.strays.remember_way(answer.source, &member, self.now);
                self.forward(&member, answer);
            }
            None => self.finish_through_store(parts, answer),
        }
    }

    fn forward(&mut self, member: &str, answer: Answer) {
        let mut payload = format!("F\n{}\n", answer.source).into_bytes();
        let mut datagram = Vec::new();
        answer.message.encode(&mut datagram);
        payload.extend(datagram);
        let partition =
            TokenParts::of(answer.message.token).map_or(Partition::of(""), |parts| parts.partition);
        self.statistics.strays_forwarded += 1;
        let specific = vec![member.as_bytes().to_vec(), payload];
        self.call(Script::Forward, partition, Purpose::Forward(answer), specific);
    }

    /// Nobody heard the forward: the member just died, or is deaf.
    pub(super) fn forward_answered(&mut self, answer: Answer, reply: &Reply) {
        if reply.integer(3) == Some(0)
            && let Some(parts) = TokenParts::of(answer.message.token)
        {
            self.finish_through_store(parts, answer);
        }
    }

    /// A stray that another instance forwarded.
    pub(super) fn forwarded(&mut self, payload: &[u8]) {
        let Some(end) = payload.iter().position(|&b| b == b'\n') else {
            return;
        };
        let source = std::str::from_utf8(&payload[..end])
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some(source) = source {
            self.coap.handle_datagram(self.now, source, &payload[end + 1..]);
            self.strays.forwarded = true;
            self.work_through_events();
            self.strays.forwarded = false;
        }
    }

    /// Who was to hear this is dead, or it is this member, which does not know the exchange: the store knows whether
    /// anybody still waits for it.
    fn finish_through_store(&mut self, parts: TokenParts, answer: Answer) {
        let token = answer.message.token;
        if self.strays.peeking.len() >= PEEKING || self.strays.peeking.contains_key(&token) {
            self.statistics.strays_dropped += 1;
            return;
        }
        self.strays.peeking.insert(token, answer);
        let specific = vec![token.to_string().into_bytes()];
        self.call(Script::Peek, parts.partition, Purpose::Peek(token), specific);
    }

    pub(super) fn peeked(&mut self, token: Token, reply: &Reply) {
        let Some(answer) = self.strays.peeked(token) else {
            return;
        };
        let asked = (reply.status() == "OK").then(|| Asked::parse(reply)).flatten();
        let (Some(asked), Some(parts)) = (asked, TokenParts::of(token)) else {
            return self.unwanted(&answer);
        };
        if !asked.is_answered_by(&answer) {
            // No Reset: a device whose NAT moved it says so in its next Update, and a later copy of this counts.
            self.statistics.strays_dropped += 1;
            tracing::debug!(source = %answer.source, device = %asked.device, %token, "an answer from another address than the question went to, or to another message: dropped");
            return;
        }
        self.statistics.strays_finished += 1;
        if let Some(response) = answer.acknowledge {
            self.strays.finishing.insert(token, (answer.source, response));
        }
        let body = outcome(&asked.request, &answer.message);
        let specific = vec![token.to_string().into_bytes(), body.into_bytes(), b"1".to_vec()];
        self.call(Script::Finish, parts.partition, Purpose::Finish(token), specific);
    }

    /// A response that nobody waits for: a confirmable one is rejected, so that the device stops repeating it.
    fn unwanted(&mut self, answer: &Answer) {
        self.statistics.strays_dropped += 1;
        if let Some(response) = answer.acknowledge {
            self.coap.reset(answer.source, response.message_id);
        }
    }
}

/// What the store knows of an open exchange (`peek.lua`).
struct Asked {
    request: Request,
    message_id: u16,
    /// Where the device is now.
    device: SocketAddr,
}

impl Asked {
    fn parse(reply: &Reply) -> Option<Self> {
        let address: IpAddr = reply.text(5)?.parse().ok()?;
        Some(Asked {
            request: Request::parse(reply.text(3)?).ok()?,
            message_id: reply.text(4)?.parse().ok()?,
            device: SocketAddr::new(address, reply.text(6)?.parse().ok()?),
        })
    }

    /// RFC 7252, 5.3.2: it comes from whom was asked; and what stands in an acknowledgement, acknowledges the question.
    fn is_answered_by(&self, answer: &Answer) -> bool {
        let piggybacked = answer.message.kind == Kind::Acknowledgement;
        answer.source == self.device && (!piggybacked || answer.message.message_id == self.message_id)
    }
}
