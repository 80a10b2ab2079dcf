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
use lwm2m::coap::{Code, Kind, Message, Token};
use lwm2m::time::Time;
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the way of a source's last stray is remembered.
const REMEMBER_WAY: Duration = Duration::from_secs(10);
/// How many ways are remembered.
const WAYS: usize = 16_384;
/// How many strays may wait for the store.
const PEEKING: usize = 4096;

/// What is known of strays.
pub(super) struct Strays {
    /// To whom the last stray of a source went.
    ways: FxHashMap<SocketAddr, (String, Time)>,
    /// Responses that wait for the store's word on their token.
    peeking: FxHashMap<Token, (SocketAddr, Message)>,
    /// Confirmable responses whose outcome is on its way to the store.
    finishing: FxHashMap<Token, (SocketAddr, u16)>,
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

    pub fn peeked(&mut self, token: Token) -> Option<(SocketAddr, Message)> {
        self.peeking.remove(&token)
    }

    pub fn finished(&mut self, token: Token) -> Option<(SocketAddr, u16)> {
        self.finishing.remove(&token)
    }
}

impl Instance {
    /// A response, an empty acknowledgement or a Reset that belongs to no exchange here.
    pub(super) fn stray(&mut self, peer: SocketAddr, message: Message) {
        if self.membership().is_none() || !self.strays.allowed(self.now) {
            self.statistics.strays_dropped += 1;
            return;
        }
        if message.code == Code::EMPTY {
            // One that came from another member goes no further: two members may each believe it to be the other's.
            let way = self.strays.ways.get(&peer);
            let way = way.filter(|(_, at)| !self.strays.forwarded && self.now - *at <= REMEMBER_WAY);
            match way.map(|(member, _)| member.clone()) {
                Some(member) => self.forward(&member, peer, message),
                None => self.statistics.strays_dropped += 1,
            }
            return;
        }
        let Some(parts) = TokenParts::of(message.token) else {
            return self.unwanted(peer, &message);
        };
        let Some(m) = self.membership() else { return };
        match m
            .view
            .living_by_tag(parts.tag)
            .filter(|member| **member != m.member)
        {
            Some(member) => {
                let member = member.to_string();
                self.strays.remember_way(peer, &member, self.now);
                self.forward(&member, peer, message);
            }
            None => self.finish_through_store(parts, peer, message),
        }
    }

    fn forward(&mut self, member: &str, source: SocketAddr, message: Message) {
        let mut payload = format!("F\n{source}\n").into_bytes();
        let mut datagram = Vec::new();
        message.encode(&mut datagram);
        payload.extend(datagram);
        let partition = TokenParts::of(message.token).map_or(Partition::of(""), |parts| parts.partition);
        self.statistics.strays_forwarded += 1;
        let specific = vec![member.as_bytes().to_vec(), payload];
        self.call(
            Script::Forward,
            partition,
            Purpose::Forward(source, message),
            specific,
        );
    }

    /// Nobody heard the forward: the member just died, or is deaf.
    pub(super) fn forward_answered(&mut self, source: SocketAddr, message: Message, reply: &Reply) {
        if reply.integer(3) == Some(0)
            && let Some(parts) = TokenParts::of(message.token)
        {
            self.finish_through_store(parts, source, message);
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
    fn finish_through_store(&mut self, parts: TokenParts, peer: SocketAddr, message: Message) {
        let token = message.token;
        if self.strays.peeking.len() >= PEEKING || self.strays.peeking.contains_key(&token) {
            self.statistics.strays_dropped += 1;
            return;
        }
        self.strays.peeking.insert(token, (peer, message));
        let specific = vec![token.to_string().into_bytes()];
        self.call(Script::Peek, parts.partition, Purpose::Peek(token), specific);
    }

    pub(super) fn peeked(&mut self, token: Token, reply: &Reply) {
        let Some((peer, message)) = self.strays.peeked(token) else {
            return;
        };
        let request = reply
            .text(3)
            .filter(|_| reply.status() == "OK")
            .and_then(|r| Request::parse(r).ok());
        let (Some(request), Some(parts)) = (request, TokenParts::of(token)) else {
            return self.unwanted(peer, &message);
        };
        self.statistics.strays_finished += 1;
        if message.kind == Kind::Confirmable {
            self.strays.finishing.insert(token, (peer, message.message_id));
        }
        let body = outcome(&request, &message);
        let specific = vec![token.to_string().into_bytes(), body.into_bytes(), b"1".to_vec()];
        self.call(Script::Finish, parts.partition, Purpose::Finish(token), specific);
    }

    /// A response that nobody waits for: a confirmable one is rejected, so that the device stops repeating it.
    fn unwanted(&mut self, peer: SocketAddr, message: &Message) {
        self.statistics.strays_dropped += 1;
        if message.kind == Kind::Confirmable {
            self.coap.reset(peer, message.message_id);
        }
    }
}
