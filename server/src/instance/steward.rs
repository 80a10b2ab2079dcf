//! The steward: requests of back ends for the endpoints of its partitions.
//!
//! Every member reads every request and remembers it for a moment; the steward of the partition turns it into a ticket
//! (`accept`). What the former steward of a partition may have read and not stored is replayed when it is taken over.

use super::membership::Membership;
use super::ring::Remembered;
use super::{Instance, Output, Purpose};
use crate::mutant::Mutant;
use crate::northbound::{Envelope, ErrorCode, Request, Scan, error_body, json_string};
use crate::partition::{Partition, TokenParts};
use crate::store::Call;
use crate::store::protocol::Class;
use crate::store::protocol::calls::{Accept, Expire, Sweep};
use crate::store::protocol::orders::Order;
use crate::store::protocol::replies::Accepted;
use crate::store::protocol::times::refusal_memory;
use lwm2m::time::Time;
use rand::Rng;
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
    class: Class,
    /// The request, or the refusal.
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
        if channel == self.channels.requests {
            return self.request_read(payload);
        }
        match Order::parse(payload) {
            Ok(order) => self.told(order, false),
            Err(malformed) => {
                self.statistics.malformed += 1;
                tracing::error!("{malformed}");
            }
        }
    }

    fn request_read(&mut self, payload: &[u8]) {
        self.statistics.requests += 1;
        if self.calls.len() >= 2 * self.config.limits.calls_pending {
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
        match Envelope::scan(payload, &self.channels.responses) {
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
        let candidate = match Envelope::scan(payload, &self.channels.responses) {
            Scan::Request(envelope) => self.candidate(envelope, payload.len()),
            Scan::Malformed(malformed) => Candidate {
                endpoint: malformed.ep.unwrap_or_default(),
                ticket: malformed.ticket,
                reply_to: malformed.reply_to.unwrap_or_default(),
                timeout: Duration::ZERO,
                class: Class::Refused,
                body: error(ErrorCode::BadRequest, &malformed.reason, None).into(),
            },
            Scan::Ignored(_) => return,
        };
        let (nonce, id) = (self.rng.next_u32(), self.calls.next_id());
        let patience = candidate.timeout.saturating_sub(age);
        let due = self.now + patience;
        let Some(m) = self.membership() else { return };
        let Some(held) = &m.held[partition.index()] else {
            return;
        };
        let Candidate { endpoint, ticket, .. } = &candidate;
        let (ticket_text, endpoint_text) = (json_string(ticket), json_string(endpoint));
        let limits = &self.config.limits;
        let accept = Accept {
            term: held.term,
            name: &format!("{}:{endpoint}:{ticket}", endpoint.len()),
            endpoint,
            head: &format!("\"ticket\":{ticket_text},\"ep\":{endpoint_text}"),
            channel: &candidate.reply_to,
            body: &candidate.body,
            class: candidate.class,
            timeout: patience.as_millis() as u64,
            replayed: replay,
            queue_limit: limits.queue_per_endpoint,
            refusal_memory: refusal_memory(self.config.lease).as_millis() as u64,
            nonce,
            view: m.view.script_text(),
            open_limit: Some(limits.open_per_partition).filter(|limit| held.may_have(*limit)),
        };
        let mut call = Call::of_partition(id, &self.config.prefix, partition, &m.context, &accept);
        if self.config.planted.is(Mutant::EarlyAck) && !replay && candidate.class != Class::Refused {
            // The tick stores it.
            call.set::<Accept<'_>>("replayed", b"2".to_vec());
        }
        let now = self
            .calls
            .add(call, Purpose::Accept { due }, Some(partition), m.confirmed);
        self.outputs.extend(now.map(Output::Call));
        let soon = self.now + SOON;
        if let Some(held) = self.held_mut(partition) {
            held.accepted += 1;
            if held.accepted.is_multiple_of(FORGET_AFTER) {
                held.sweep.hurry(soon);
            }
        }
    }

    fn candidate<'a>(&self, envelope: Envelope<'a>, bytes: usize) -> Candidate<'a> {
        let limit = self.config.limits.request_bytes;
        let checked = if bytes > limit {
            Err(format!(
                "the request has {bytes} bytes; at most {limit} are accepted"
            ))
        } else if self.calls.len() >= self.config.limits.calls_pending {
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
                class: if request.is_repeatable() {
                    Class::Repeatable
                } else {
                    Class::Once
                },
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
            class: Class::Refused,
            body: error(code, message, None).into(),
        }
    }

    /// A request was given to the store. If it is a ticket now, somebody has to look when it is `due`.
    pub(super) fn accepted(
        &mut self,
        partition: Partition,
        due: Time,
        accepted: Accepted,
        orders: &[Order<'_>],
    ) {
        let soon = self.now + SOON;
        match accepted {
            Accepted::Own => self.own.extend(orders.iter().filter_map(|order| match order {
                Order::Dispatch(dispatch) => Some((soon, dispatch.token)),
                _ => None,
            })),
            // What goes to another member may get lost; and of one that was stored before, the reply may have been.
            Accepted::Stored | Accepted::Open => {
                if let Some(held) = self.held_mut(partition) {
                    held.sweep.hurry(soon);
                }
            }
            Accepted::Known | Accepted::Refused => return,
        }
        if let Some(held) = self.held_mut(partition) {
            held.sweep.hurry(due);
        }
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

    pub(super) fn swept(&mut self, partition: Partition, accepted: u64, wait: Option<u64>, open: usize) {
        let now = self.now;
        if let Some(held) = self.held_mut(partition) {
            held.sweep.answered(now, wait);
            held.open = Some((open, accepted));
        }
    }

    /// Ends what is overdue in a partition, and moves what dead members held.
    pub(super) fn sweep(&mut self, partition: Partition) {
        let now = self.now;
        let Some(held) = self.held_mut(partition) else {
            return;
        };
        held.sweep.begin(now);
        let (term, accepted) = (held.term, held.accepted);
        let nonce = self.rng.next_u32();
        let Some(view) = self.membership().map(|m| m.view.script_text().to_owned()) else {
            return;
        };
        let sweep = Sweep {
            term,
            retained: self.config.limits.retained_outcomes,
            nonce,
            view: &view,
        };
        self.call(partition, Purpose::Sweep { accepted }, &sweep);
    }

    /// Ends registrations whose lifetime is over, unless devices could not reach the cluster lately.
    pub(super) fn expire(&mut self, partition: Partition) {
        if self.now < self.expiry_from {
            return;
        }
        let now = self.now;
        let reckoned = self.broker_time();
        let Some(held) = self.held_mut(partition) else {
            return;
        };
        held.expiry.begin(now);
        let term = held.term;
        self.call(partition, Purpose::Expire, &Expire { term, reckoned });
    }

    pub(super) fn expired(&mut self, partition: Partition, wait: Option<u64>) {
        let now = self.now;
        if let Some(held) = self.held_mut(partition) {
            held.expiry.answered(now, wait);
        }
        if wait == Some(0) {
            self.expire(partition); // more than one batch
        }
    }

    /// A lifetime begins that ends before all others of the partition.
    pub(super) fn expiry_is_earlier(&mut self, partition: Partition, in_ms: u64) {
        let now = self.now;
        if let Some(held) = self.held_mut(partition) {
            held.expiry.hurry(now + Duration::from_millis(in_ms));
        }
    }
}
