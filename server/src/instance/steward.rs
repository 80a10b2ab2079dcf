//! The steward: requests of back ends for the endpoints of its partitions.
//!
//! Every member reads every request and remembers it for a moment; the steward of the partition turns it into a ticket
//! (`accept`). What the former steward of a partition may have read and not stored is replayed when it is taken over.

use super::membership::Membership;
use super::ring::Remembered;
use super::{Instance, Purpose};
use crate::mutant::Mutant;
use crate::northbound::{Envelope, ErrorCode, Request, Scan, error_body, json_string};
use crate::partition::{Partition, TokenParts, token_from_hex};
use crate::store::{CONTEXT_ARGUMENTS, REPLAY_ARGUMENT, Reply, Script};
use lwm2m::coap::Token;
use std::borrow::Cow;
use std::time::Duration;

/// So long after its request a ticket may need to be looked after: what a member was told of it may have been lost.
const SOON: Duration = Duration::from_secs(1);
/// After so many requests there may be more outcomes than are to be remembered.
const FORGET_AFTER: u64 = 64;

/// A request as the accept script wants to hear it.
struct Candidate<'a> {
    endpoint: Cow<'a, str>,
    ticket: Cow<'a, str>,
    reply_to: Cow<'a, str>,
    timeout: Duration,
    /// The class and the request, or `x` and the refusal.
    class: &'static str,
    body: Cow<'a, str>,
}

/// The terminal that says why there is no response.
pub(super) fn error(code: ErrorCode, message: &str, sent: Option<bool>) -> String {
    format!(",\"err\":{}", error_body(code, message, sent))
}

impl Instance {
    /// A message on a subscribed channel.
    pub(super) fn message(&mut self, channel: &str, payload: &[u8]) {
        if self.membership().is_none() && !self.config.planted.is(Mutant::OldMail) {
            return;
        }
        if channel == self.request_channel() {
            return self.request_read(payload);
        }
        if let Some(source_and_datagram) = payload.strip_prefix(b"F\n") {
            return self.forwarded(source_and_datagram);
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return;
        };
        if channel == self.members_channel() {
            if let Some(view) = crate::member::View::parse(text) {
                self.adopt(view);
            }
        } else if let Some(echo) = text.strip_prefix("H\n") {
            self.heartbeat(echo);
        } else if let Some(mark) = text.strip_prefix("T\n") {
            self.take_marked(mark);
        } else {
            self.order(text, false);
        }
    }

    fn request_read(&mut self, payload: &[u8]) {
        self.statistics.requests += 1;
        if self.pending.len() >= 2 * self.config.limits.calls_pending {
            // The broker stalls: who asks again is heard when it goes on.
            self.statistics.requests_ignored += 1;
            return;
        }
        let Some(partition) = self.partition_of_request(payload) else {
            self.statistics.requests_ignored += 1;
            return;
        };
        if payload.len() > self.config.limits.request_bytes {
            // Refused anyway; it must not push others out of the ring.
            if self.held(partition).is_some() {
                self.accept(partition, payload, false, Duration::ZERO);
            }
            return;
        }
        let held = self.held(partition).is_some();
        let paired = self.membership().is_some_and(Membership::is_paired);
        let request = Remembered {
            at: self.now,
            partition,
            payload: payload.into(),
            waits: held && !paired,
        };
        self.ring.push(request, self.horizon());
        if held && paired {
            self.accept(partition, payload, false, Duration::ZERO);
        }
    }

    /// What was read while nothing could be accepted, in order.
    pub(super) fn accept_what_waits(&mut self) {
        for request in self.ring.take_waiting() {
            self.accept(request.partition, &request.payload, false, self.now - request.at);
        }
    }

    fn partition_of_request(&self, payload: &[u8]) -> Option<Partition> {
        match Envelope::scan(payload, &self.response_channel()) {
            Scan::Request(envelope) => Some(Partition::of(&envelope.ep)),
            Scan::Malformed(malformed) => Some(Partition::of(
                malformed.ep.as_deref().unwrap_or(&malformed.ticket),
            )),
            Scan::Ignored(reason) => {
                tracing::debug!("a request without a readable ticket: {reason}");
                None
            }
        }
    }

    fn response_channel(&self) -> String {
        format!("{}LESHAN_RESP", self.config.prefix)
    }

    /// Requests of the last moments, for a partition that has just become this member's.
    pub(super) fn replay(&mut self, partition: Partition) {
        if self.config.planted.is(Mutant::NoRing) {
            return;
        }
        if self.config.planted.is(Mutant::EarlyAck) {
            for request in self.ring.of(partition, self.horizon()) {
                self.accept(partition, &request.payload, false, Duration::ZERO);
            }
        }
        for request in self.ring.of(partition, self.horizon()) {
            self.accept(partition, &request.payload, true, self.now - request.at);
        }
    }

    /// Asks the store to take a request. `replay`: it is not new, so nobody waits for a copy of what was said.
    fn accept(&mut self, partition: Partition, payload: &[u8], replay: bool, age: Duration) {
        let channel = self.response_channel();
        let candidate = match Envelope::scan(payload, &channel) {
            Scan::Request(envelope) => self.candidate(envelope, payload.len()),
            Scan::Malformed(malformed) => Candidate {
                endpoint: malformed.ep.unwrap_or_default(),
                ticket: malformed.ticket,
                reply_to: malformed.reply_to.unwrap_or_default(),
                timeout: Duration::ZERO,
                class: "x",
                body: error(ErrorCode::BadRequest, &malformed.reason, None).into(),
            },
            Scan::Ignored(_) => return,
        };
        let Some(held) = self.held(partition) else { return };
        let Candidate {
            endpoint,
            ticket,
            reply_to,
            timeout,
            class,
            body,
        } = candidate;
        let unknown = error(
            ErrorCode::UnknownEndpoint,
            &format!("no device is registered with the endpoint client name {endpoint}"),
            None,
        );
        let patience = timeout.saturating_sub(age);
        let limits = &self.config.limits;
        let specific = vec![
            held.term.clone().into_bytes(),
            format!("{}:{endpoint}:{ticket}", endpoint.len()).into_bytes(),
            endpoint.as_bytes().to_vec(),
            format!(
                "\"ticket\":{},\"ep\":{}",
                json_string(&ticket),
                json_string(&endpoint)
            )
            .into_bytes(),
            reply_to.as_bytes().to_vec(),
            body.as_bytes().to_vec(),
            class.into(),
            patience.as_millis().to_string().into_bytes(),
            if replay { b"1".to_vec() } else { b"0".to_vec() },
            limits.queue_per_endpoint.to_string().into_bytes(),
            limits.open_per_partition.to_string().into_bytes(),
            unknown.into_bytes(),
        ];
        let mut specific = specific;
        if self.config.planted.is(Mutant::EarlyAck) && !replay && class != "x" {
            // The tick stores it.
            specific[REPLAY_ARGUMENT - CONTEXT_ARGUMENTS] = b"2".to_vec();
        }
        self.call(Script::Accept, partition, Purpose::Accept(partition), specific);
        let now = self.now;
        if let Some(held) = self.held_mut(partition) {
            held.sweep.hurry(now + patience);
            held.accepted += 1;
            if held.accepted.is_multiple_of(FORGET_AFTER) {
                held.sweep.hurry(now + SOON);
            }
        }
    }

    fn candidate<'a>(&self, envelope: Envelope<'a>, bytes: usize) -> Candidate<'a> {
        let limit = self.config.limits.request_bytes;
        let checked = if bytes > limit {
            Err(format!(
                "the request has {bytes} bytes; at most {limit} are accepted"
            ))
        } else if self.pending.len() >= self.config.limits.calls_pending {
            return self.refusal(
                envelope,
                ErrorCode::Overloaded,
                "this instance waits for its broker; ask again later",
            );
        } else {
            Request::parse(envelope.req).map_err(|e| e.message)
        };
        match checked {
            Ok(request) => Candidate {
                class: if request.is_repeatable() { "r" } else { "n" },
                body: envelope.req.into(),
                timeout: Duration::from_millis(envelope.timeout_ms),
                endpoint: envelope.ep,
                ticket: envelope.ticket,
                reply_to: envelope.reply_to.unwrap_or_default(),
            },
            Err(message) => self.refusal(envelope, ErrorCode::BadRequest, &message),
        }
    }

    fn refusal<'a>(&self, envelope: Envelope<'a>, code: ErrorCode, message: &str) -> Candidate<'a> {
        Candidate {
            endpoint: envelope.ep,
            ticket: envelope.ticket,
            reply_to: envelope.reply_to.unwrap_or_default(),
            timeout: Duration::ZERO,
            class: "x",
            body: error(code, message, None).into(),
        }
    }

    pub(super) fn accepted(&mut self, partition: Partition, reply: Reply) {
        let soon = self.now + SOON;
        match reply.status() {
            "TERM" => return self.lose_partition(partition),
            "OWN" => self.own.extend(own_token(&reply).map(|token| (soon, token))),
            _ => {
                // What goes to another member may get lost.
                if let Some(held) = self.held_mut(partition) {
                    held.sweep.hurry(soon);
                }
            }
        }
        self.orders(reply.into_rest(3));
    }

    /// Partitions are looked at in which an exchange of this member that it accepted itself lasts for longer than usual.
    /// Most have ended by then, and there is nothing to see.
    pub(super) fn look_after_own(&mut self) {
        let now = self.now;
        while let Some(&(at, token)) = self.own.front().filter(|(at, _)| *at <= now) {
            self.own.pop_front();
            if !self.exchanges.is_open(token) {
                continue;
            }
            let partition = TokenParts::of(token).map(|parts| parts.partition);
            if let Some(held) = partition.and_then(|partition| self.held_mut(partition)) {
                held.sweep.hurry(at);
            }
        }
    }

    pub(super) fn swept(&mut self, partition: Partition, reply: Reply) {
        if reply.status() == "TERM" {
            return self.lose_partition(partition);
        }
        let (now, wait) = (self.now, reply.integer(3));
        if let Some(held) = self.held_mut(partition) {
            held.sweep.answered(now, wait);
        }
        self.orders(reply.into_rest(4));
    }

    /// Ends what is overdue in a partition, and moves what dead members held.
    pub(super) fn sweep(&mut self, partition: Partition) {
        let now = self.now;
        let Some(held) = self.held_mut(partition) else {
            return;
        };
        held.sweep.begin(now);
        let specific = vec![
            held.term.clone().into_bytes(),
            self.config.limits.retained_outcomes.to_string().into_bytes(),
        ];
        self.call(Script::Sweep, partition, Purpose::Sweep(partition), specific);
    }

    /// Ends registrations whose lifetime is over, unless devices could not reach the cluster lately.
    pub(super) fn expire(&mut self, partition: Partition) {
        if self.now < self.expiry_from {
            return;
        }
        let now = self.now;
        let reckoned = self.broker_time().to_string();
        let Some(held) = self.held_mut(partition) else {
            return;
        };
        held.expiry.begin(now);
        let specific = vec![held.term.clone().into_bytes(), reckoned.into_bytes()];
        self.call(Script::Expire, partition, Purpose::Expire(partition), specific);
    }

    pub(super) fn expired(&mut self, partition: Partition, reply: Reply) {
        if reply.status() == "TERM" {
            return self.lose_partition(partition);
        }
        let (now, wait) = (self.now, reply.integer(3));
        if let Some(held) = self.held_mut(partition) {
            held.expiry.answered(now, wait);
        }
        self.orders(reply.into_rest(4));
        if wait == Some(0) {
            self.expire(partition); // more than one batch
        }
    }

    /// A lifetime begins that ends before all others of the partition: `PARTITION\nMILLISECONDS`.
    pub(super) fn expiry_is_earlier(&mut self, text: &str) {
        let now = self.now;
        let parsed = text
            .split_once('\n')
            .and_then(|(prefix, ms)| Some((Partition::of_token_prefix(prefix)?, ms.parse().ok()?)));
        if let Some((partition, ms)) = parsed
            && let Some(held) = self.held_mut(partition)
        {
            held.expiry.hurry(now + Duration::from_millis(ms));
        }
    }
}

/// The token of the exchange that an accept gives to its caller.
fn own_token(reply: &Reply) -> Option<Token> {
    let order = reply.text(3)?.strip_prefix("D\n")?;
    token_from_hex(order.split('\n').next()?)
}
