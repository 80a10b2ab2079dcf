//! What the message layer sends and expects an answer to: requests, and confirmable separate responses. Transmission,
//! retransmission with exponential back-off (RFC 7252, 4.2) and NSTART (4.7).

use std::hash::Hash;
use std::time::Duration;

use rand::RngExt;

use super::{Event, FailureReason, MessageLayer, Peer, SendError};
use crate::coap::{Kind, MAX_MESSAGE_BYTES, Message, Token};
use crate::time::Time;

/// An exchange with one peer.
pub(super) struct Exchange {
    pub(super) serial: u64,
    /// Kept for retransmission; given up once acknowledged.
    datagram: Box<[u8]>,
    /// The running timer's deadline; without meaning while queued.
    pub(super) deadline: Time,
    /// The timeout that is running, doubled at each retransmission.
    timeout: Duration,
    pub(super) token: Token,
    pub(super) message_id: u16,
    retransmissions: u8,
    pub(super) role: Role,
    pub(super) phase: Phase,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Expects a response.
    Request,
    /// A confirmable response of its own: expects an acknowledgement, and tells nobody.
    SeparateResponse,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Waits for its turn (NSTART); was never sent. The flag is `confirmable`.
    Queued(bool),
    /// Confirmable, sent, not acknowledged.
    Unacknowledged,
    /// Non-confirmable and sent: the response is awaited, and the interaction outstanding.
    Unconfirmed,
    /// Acknowledged: the response is awaited, but the interaction no longer outstanding.
    Acknowledged,
}

impl Exchange {
    /// Sent, so that an answer is possible.
    pub(super) fn is_sent(&self) -> bool {
        !matches!(self.phase, Phase::Queued(_))
    }

    /// Counts against NSTART.
    fn is_outstanding(&self) -> bool {
        self.role == Role::Request && matches!(self.phase, Phase::Unacknowledged | Phase::Unconfirmed)
    }
}

impl<P: Copy + Eq + Hash + Ord> MessageLayer<P> {
    /// Sends a request, or queues it if NSTART others are outstanding. Its message ID must not be in use with this peer.
    pub fn send_request(&mut self, now: Time, peer: P, request: Message) -> Result<(), SendError> {
        let confirmable = match request.kind {
            Kind::Confirmable => true,
            Kind::NonConfirmable => false,
            _ => return Err(SendError::NoRequest(request.kind, request.code)),
        };
        if !request.code.is_request() {
            return Err(SendError::NoRequest(request.kind, request.code));
        }
        if request.encoded_length() > MAX_MESSAGE_BYTES {
            return Err(SendError::TooLong(request.encoded_length()));
        }
        let (limit, serial) = (self.config.limits.exchanges_per_peer, self.draw_serial());
        let open = self
            .peers
            .get(&peer)
            .map_or(&[][..], |held| held.exchanges.as_slice());
        if open
            .iter()
            .any(|one| one.role == Role::Request && one.token == request.token)
        {
            return Err(SendError::TokenInUse(request.token));
        }
        if open.len() >= limit {
            return Err(SendError::TooManyExchanges(limit));
        }
        let mut datagram = Vec::with_capacity(request.encoded_length());
        request.encode(&mut datagram);
        self.add_exchange(
            peer,
            Exchange {
                serial,
                datagram: datagram.into_boxed_slice(),
                deadline: now,
                timeout: Duration::ZERO,
                token: request.token,
                message_id: request.message_id,
                retransmissions: 0,
                role: Role::Request,
                phase: Phase::Queued(confirmable),
            },
        );
        self.send_queued(now, peer);
        Ok(())
    }

    /// Ends an exchange without an event: nothing of it is sent any more. False if there is none.
    pub fn cancel(&mut self, now: Time, peer: P, token: Token) -> bool {
        let Some(index) = self.request_index(peer, token) else {
            return false;
        };
        self.end_exchange(now, peer, index);
        true
    }

    /// Lets an exchange go on at another address of the same node: retransmissions go there, answers are expected from
    /// there. False if there is no such exchange, or one with this token is open at the new address.
    pub fn readdress(&mut self, now: Time, old: P, token: Token, new: P) -> bool {
        if self.request_index(new, token).is_some() {
            return false;
        }
        let Some(index) = self.request_index(old, token) else {
            return false;
        };
        let exchange = self.take_exchange(old, index);
        if exchange.is_sent() {
            self.timers.start(exchange.deadline, new, exchange.serial);
        }
        self.add_exchange(new, exchange);
        self.send_queued(now, old);
        self.send_queued(now, new);
        self.drop_peer_if_idle(old);
        true
    }

    /// Sends one more copy of a confirmable request that is not acknowledged yet, beside the schedule of RFC 7252, 4.2,
    /// which goes on as if nothing had happened. For a caller who learnt that answers until now were lost on their way.
    /// False if there is nothing to repeat.
    pub fn send_extra_copy(&mut self, peer: P, token: Token) -> bool {
        let Some(index) = self.request_index(peer, token) else {
            return false;
        };
        let mut copy = self.spare_buffers.pop().unwrap_or_default();
        match self.exchange_mut(peer, index) {
            Some(exchange) if exchange.phase == Phase::Unacknowledged => {
                copy.extend_from_slice(&exchange.datagram);
            }
            _ => return false,
        }
        self.statistics.retransmissions += 1;
        self.transmits.push_back((peer, copy));
        true
    }

    /// True while a request with this token is open or queued.
    pub fn is_open(&self, peer: P, token: Token) -> bool {
        self.request_index(peer, token).is_some()
    }

    /// Exchanges that were sent and are open, of all peers.
    pub fn open_count(&self) -> usize {
        self.timers.len()
    }

    /// Retransmits what is due and ends what has waited too long.
    pub fn handle_timeout(&mut self, now: Time) {
        self.forget_expired(now);
        while let Some((peer, serial)) = self.timers.pop_due(now) {
            let held = self.peers.get_mut(&peer);
            let Some((index, exchange)) = held.and_then(|held| {
                held.exchanges
                    .iter_mut()
                    .enumerate()
                    .find(|(_, one)| one.serial == serial)
            }) else {
                continue;
            };
            let more = exchange.retransmissions < self.config.parameters.max_retransmit;
            if exchange.phase == Phase::Unacknowledged && more {
                exchange.retransmissions += 1;
                exchange.timeout = exchange.timeout.saturating_mul(2);
                exchange.deadline = now + exchange.timeout;
                self.timers.start(exchange.deadline, peer, serial);
                self.statistics.retransmissions += 1;
                let mut copy = self.spare_buffers.pop().unwrap_or_default();
                copy.extend_from_slice(&exchange.datagram);
                self.transmits.push_back((peer, copy));
            } else {
                self.statistics.timeouts += 1;
                self.fail_exchange(now, peer, index, FailureReason::Timeout);
            }
        }
    }

    /// Keeps the confirmable separate response that was just sent until it is acknowledged. It does not wait for NSTART,
    /// which limits the requests of a client. Beyond the limit of exchanges it is not repeated: the peer asks again.
    pub(super) fn begin_separate_response(
        &mut self,
        now: Time,
        peer: P,
        response: &Message,
        datagram: &[u8],
    ) {
        if self
            .peers
            .get(&peer)
            .is_some_and(|held| held.exchanges.len() >= self.config.limits.exchanges_per_peer)
        {
            return;
        }
        let serial = self.draw_serial();
        let timeout = self.draw_ack_timeout();
        self.timers.start(now + timeout, peer, serial);
        self.add_exchange(
            peer,
            Exchange {
                serial,
                datagram: datagram.into(),
                deadline: now + timeout,
                timeout,
                token: response.token,
                message_id: response.message_id,
                retransmissions: 0,
                role: Role::SeparateResponse,
                phase: Phase::Unacknowledged,
            },
        );
    }

    /// An empty acknowledgement for this exchange arrived.
    pub(super) fn acknowledge_exchange(&mut self, now: Time, peer: P, index: usize) {
        let response_timeout = self.config.response_timeout;
        let Some(exchange) = self.exchange_mut(peer, index) else {
            return;
        };
        if exchange.role == Role::SeparateResponse {
            self.end_exchange(now, peer, index);
            return;
        }
        let (serial, old_deadline, token) = (exchange.serial, exchange.deadline, exchange.token);
        exchange.phase = Phase::Acknowledged;
        exchange.datagram = Box::default();
        exchange.deadline = now + response_timeout;
        self.timers.stop(old_deadline, peer, serial);
        self.timers.start(now + response_timeout, peer, serial);
        self.events.push_back(Event::Acknowledged { peer, token });
        self.send_queued(now, peer);
    }

    pub(super) fn fail_exchange(&mut self, now: Time, peer: P, index: usize, reason: FailureReason) {
        let exchange = self.end_exchange(now, peer, index);
        if exchange.role == Role::Request {
            self.events.push_back(Event::Failed {
                peer,
                token: exchange.token,
                reason,
            });
        }
    }

    /// Removes an exchange and lets the next in the queue go. `index` must be one that was just found.
    pub(super) fn end_exchange(&mut self, now: Time, peer: P, index: usize) -> Exchange {
        let exchange = self.take_exchange(peer, index);
        self.send_queued(now, peer);
        self.drop_peer_if_idle(peer);
        exchange
    }

    /// Where the exchange is that `matches`.
    pub(super) fn find_exchange(&self, peer: P, matches: impl Fn(&Exchange) -> bool) -> Option<usize> {
        self.peers.get(&peer)?.exchanges.iter().position(matches)
    }

    pub(super) fn exchange_mut(&mut self, peer: P, index: usize) -> Option<&mut Exchange> {
        self.peers.get_mut(&peer)?.exchanges.get_mut(index)
    }

    fn request_index(&self, peer: P, token: Token) -> Option<usize> {
        self.find_exchange(peer, |one| one.role == Role::Request && one.token == token)
    }

    fn add_exchange(&mut self, peer: P, exchange: Exchange) {
        let exchanges = &mut self.peer_entry(peer).exchanges;
        // Most peers have one exchange at a time, and there may be a million of them.
        exchanges.reserve_exact(1);
        exchanges.push(exchange);
    }

    fn take_exchange(&mut self, peer: P, index: usize) -> Exchange {
        let exchanges = &mut self.peer_entry(peer).exchanges;
        let exchange = exchanges.remove(index);
        if exchanges.is_empty() {
            *exchanges = Vec::new();
        }
        self.timers.stop(exchange.deadline, peer, exchange.serial);
        exchange
    }

    /// Sends queued exchanges while NSTART allows.
    fn send_queued(&mut self, now: Time, peer: P) {
        loop {
            let Some(Peer { exchanges, .. }) = self.peers.get(&peer) else {
                return;
            };
            if exchanges.iter().filter(|one| one.is_outstanding()).count()
                >= self.config.parameters.nstart.max(1)
            {
                return;
            }
            let Some(index) = exchanges.iter().position(|one| !one.is_sent()) else {
                return;
            };
            self.send_first_copy(now, peer, index);
        }
    }

    fn send_first_copy(&mut self, now: Time, peer: P, index: usize) {
        let ack_timeout = self.draw_ack_timeout();
        let response_timeout = self.config.response_timeout;
        let mut copy = self.spare_buffers.pop().unwrap_or_default();
        let Some(exchange) = self.exchange_mut(peer, index) else {
            return;
        };
        copy.extend_from_slice(&exchange.datagram);
        if exchange.phase == Phase::Queued(true) {
            exchange.phase = Phase::Unacknowledged;
            exchange.timeout = ack_timeout;
        } else {
            exchange.phase = Phase::Unconfirmed;
            exchange.timeout = response_timeout;
            exchange.datagram = Box::default();
        }
        exchange.deadline = now + exchange.timeout;
        let (deadline, serial) = (exchange.deadline, exchange.serial);
        self.timers.start(deadline, peer, serial);
        self.transmits.push_back((peer, copy));
    }

    /// Between ACK_TIMEOUT and ACK_TIMEOUT × ACK_RANDOM_FACTOR.
    fn draw_ack_timeout(&mut self) -> Duration {
        let shortest = self.config.parameters.ack_timeout;
        let longest = self.config.parameters.longest_ack_timeout();
        Duration::from_micros(
            self.rng.random_range(
                shortest.as_micros() as u64..=longest.as_micros().max(shortest.as_micros()) as u64,
            ),
        )
    }
}
