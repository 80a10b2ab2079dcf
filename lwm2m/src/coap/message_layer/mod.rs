//! The message layer (RFC 7252, 4 and 5.2) for any number of peers at once.
//!
//! In: datagrams, requests and responses to send, and the time. Out: datagrams ([`MessageLayer::poll_transmit`]),
//! [`Event`]s ([`MessageLayer::poll_event`]) and the next deadline; drain both queues after every input. A peer takes memory only
//! while an exchange with it is open or something that it sent is remembered.
//!
//! Nothing is retransmitted but by [`MessageLayer::handle_timeout`], so that a caller who must ask for permission first (a
//! lease) does so before calling it.

mod event;
mod exchange;
mod input;
mod received;
mod timer;

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rustc_hash::FxHashMap;

use super::{Code, Kind, MAX_MESSAGE_BYTES, Message, Options, Token, TransmissionParameters, option};
use crate::time::Time;
pub use event::{Event, FailureReason, Refusal, RequestId, Statistics};
use exchange::Exchange;
pub use received::Fingerprint;
use received::{Answer, Received};
use timer::Timers;

/// What the message layer remembers of the messages that it received.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Deduplication {
    /// As RFC 7252, 4.5: for EXCHANGE_LIFETIME (NON: NON_LIFETIME), with the answer, which a copy is given again.
    Full,
    /// Requests only until the answer, for a caller that keeps the answers elsewhere, and to whom a later copy is a new
    /// request. A copy is one with the same bytes. (Responses that were acknowledged are remembered as in `Full`.)
    WhilePending,
}

/// Limits on what peers can make it hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Exchanges that are open or queued per peer; `send_request` refuses more.
    pub exchanges_per_peer: usize,
    /// Received messages remembered per peer; the oldest is forgotten first.
    pub remembered_per_peer: usize,
    /// Received messages remembered of all peers; the oldest is forgotten first.
    pub remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            exchanges_per_peer: 64,
            remembered_per_peer: 128,
            remembered: 1 << 20,
        }
    }
}

/// How a message layer behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Timeouts, retransmissions, NSTART.
    pub parameters: TransmissionParameters,
    /// What peers can make it hold.
    pub limits: Limits,
    /// What it remembers of received messages.
    pub deduplication: Deduplication,
    /// The critical options of requests that the caller understands; a request with another one is answered 4.02 (RFC
    /// 7252, 5.4.1), or 5.05 if it is meant for a proxy (5.10.2).
    pub known_in_requests: &'static [u16],
    /// The same of responses; a response with another one ends its exchange.
    pub known_in_responses: &'static [u16],
    /// Refusals per second that say in words what is wrong; the others are their code alone, since a source may be forged
    /// and the answer must not be much longer than the question (RFC 7252, 11.3).
    pub explanations_per_second: u32,
    /// How long a response may take after an empty acknowledgement, or after a NON request. Default: MAX_RTT.
    pub response_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let parameters = TransmissionParameters::default();
        Config {
            response_timeout: parameters.max_rtt(),
            parameters,
            limits: Limits::default(),
            deduplication: Deduplication::Full,
            known_in_requests: &[
                option::URI_HOST,
                option::URI_PORT,
                option::URI_PATH,
                option::URI_QUERY,
                option::ACCEPT,
            ],
            known_in_responses: &[],
            explanations_per_second: 100,
        }
    }
}

/// A response as the caller gives it; type, message ID and token follow from the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// A response code.
    pub code: Code,
    /// Content-Format, Location-Path …
    pub options: Options,
    /// The body.
    pub payload: Vec<u8>,
}

impl Response {
    /// A response of nothing but a code.
    pub const fn of(code: Code) -> Self {
        Response {
            code,
            options: Options::new(),
            payload: Vec::new(),
        }
    }
}

/// Why a message was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The message is no request of type CON or NON.
    #[error("expected a confirmable or non-confirmable request, found a {0:?} {1}")]
    NoRequest(Kind, Code),
    /// An exchange with this token is open.
    #[error("an exchange with token {0} is open with this peer: draw another token, or cancel that exchange")]
    TokenInUse(Token),
    /// `Limits::exchanges_per_peer`.
    #[error("{0} exchanges are open or queued with this peer, the limit: wait for one to end")]
    TooManyExchanges(usize),
    /// The datagram would be longer than [`MAX_MESSAGE_BYTES`].
    #[error("expected a message of at most {MAX_MESSAGE_BYTES} bytes, found {0}: send it in blocks")]
    TooLong(usize),
    /// The request was answered already, or forgotten because it was too old or too many came after it.
    #[error("this request was answered before, or is forgotten")]
    RequestGone,
}

/// What is held for one peer.
struct Peer {
    /// Open and queued exchanges, in the order in which they were begun.
    exchanges: Vec<Exchange>,
    /// Remembered messages, oldest first.
    received: VecDeque<Received>,
}

/// The message layer for any number of peers, each known by a `P`: a socket address, a device's index.
pub struct MessageLayer<P> {
    config: Config,
    exchange_lifetime: Duration,
    non_lifetime: Duration,
    rng: ChaCha8Rng,
    peers: FxHashMap<P, Peer>,
    timers: Timers<P>,
    /// Serial number and peer of each remembered message, oldest first; some may be forgotten already.
    remembered_order: VecDeque<(u64, P)>,
    remembered: usize,
    next_serial: u64,
    transmits: VecDeque<(P, Vec<u8>)>,
    events: VecDeque<Event<P>>,
    spare_buffers: Vec<Vec<u8>>,
    /// The second that it is, and how many refusals were explained in it.
    explained: (u64, u32),
    statistics: Statistics,
}

const SPARE_BUFFERS: usize = 64;

impl<P: Copy + Eq + Hash + Ord> MessageLayer<P> {
    /// A message layer without peers. `rng` spreads the first timeouts.
    pub fn new(config: Config, rng: ChaCha8Rng) -> Self {
        MessageLayer {
            exchange_lifetime: config.parameters.exchange_lifetime(),
            non_lifetime: config.parameters.non_lifetime(),
            config,
            rng,
            peers: FxHashMap::default(),
            timers: Timers::new(),
            remembered_order: VecDeque::new(),
            remembered: 0,
            next_serial: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            spare_buffers: Vec::new(),
            explained: (0, 0),
            statistics: Statistics::default(),
        }
    }

    /// The next datagram to send, and to whom. Give the buffer back with [`MessageLayer::recycle`].
    pub fn poll_transmit(&mut self) -> Option<(P, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// Takes a sent datagram's buffer back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare_buffers.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spare_buffers.push(buffer);
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event<P>> {
        self.events.pop_front()
    }

    /// When [`MessageLayer::handle_timeout`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// What was counted since the start.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Peers that take memory now: with an open exchange or something remembered.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Received messages that are remembered now.
    pub fn remembered_count(&self) -> usize {
        self.remembered
    }

    /// Answers a request: in its acknowledgement if it was not acknowledged yet, else in a message of its own, which is
    /// retransmitted if it is confirmable. `message_id` is used only in the second case, and for NON requests.
    pub fn respond(
        &mut self,
        now: Time,
        id: RequestId<P>,
        response: Response,
        message_id: u16,
    ) -> Result<(), SendError> {
        self.respond_as(now, id, response, message_id, Kind::Confirmable)
    }

    /// As [`MessageLayer::respond`]; `separate` is the type of a message of its own that follows an acknowledgement: CON, or
    /// NON, which nobody repeats (RFC 7252, 5.2.2).
    pub fn respond_as(
        &mut self,
        now: Time,
        id: RequestId<P>,
        response: Response,
        message_id: u16,
        separate: Kind,
    ) -> Result<(), SendError> {
        let request = self.pending_request(id).ok_or(SendError::RequestGone)?;
        let (kind, message_id) = match (request.confirmable, &request.answer) {
            (true, Answer::Pending) => (Kind::Acknowledgement, id.fingerprint.message_id),
            (true, _) => (separate, message_id),
            (false, _) => (Kind::NonConfirmable, message_id),
        };
        let acknowledged = request.confirmable && kind != Kind::Acknowledgement;
        let Response {
            code,
            options,
            payload,
        } = response;
        let message = Message {
            kind,
            code,
            message_id,
            token: request.token,
            options,
            payload,
        };
        if message.encoded_length() > MAX_MESSAGE_BYTES {
            return Err(SendError::TooLong(message.encoded_length()));
        }
        let datagram = self.encode(&message);
        let answer = match kind {
            // A copy of a request that was acknowledged before is acknowledged again.
            _ if acknowledged => Answer::Given(empty_acknowledgement(id.fingerprint.message_id)),
            Kind::Acknowledgement => Answer::Given(datagram.as_slice().into()),
            _ => Answer::Silence,
        };
        self.settle(id.peer, id.serial, answer);
        if kind == Kind::Confirmable {
            self.begin_separate_response(now, id.peer, &message, &datagram);
        }
        self.transmits.push_back((id.peer, datagram));
        Ok(())
    }

    /// Acknowledges a confirmable request without an answer, which [`MessageLayer::respond`] gives later. Nothing happens
    /// if it was acknowledged already, or is not confirmable.
    pub fn acknowledge(&mut self, id: RequestId<P>) {
        let Some(request) = self.pending_request(id) else {
            return;
        };
        if request.confirmable && matches!(request.answer, Answer::Pending) {
            request.answer = Answer::Acknowledged;
            self.transmit_empty(id.peer, Kind::Acknowledgement, id.fingerprint.message_id);
        }
    }

    /// Acknowledges a confirmable response or notification: an [`Event::Response`] with `acknowledge`, or an
    /// [`Event::Unmatched`] that the caller could make use of. Its copies are acknowledged from then on, because this
    /// acknowledgement may get lost (RFC 7252, 4.5).
    pub fn acknowledge_response(&mut self, now: Time, peer: P, response: Fingerprint) {
        match self
            .find_received(now, peer, response)
            .map(|received| received.serial)
        {
            Some(serial) => self.settle(peer, serial, Answer::Confirmed),
            None => {
                self.remember(now, peer, response, Token::EMPTY, true, Answer::Confirmed);
            }
        }
        self.transmit_empty(peer, Kind::Acknowledgement, response.message_id);
    }

    /// True if a refusal may say in words what is wrong (`Config::explanations_per_second`).
    pub fn may_explain(&mut self, now: Time) -> bool {
        let second = now.as_micros() / 1_000_000;
        if self.explained.0 != second {
            self.explained = (second, 0);
        }
        let allowed = self.explained.1 < self.config.explanations_per_second;
        self.explained.1 += u32::from(allowed);
        allowed
    }

    /// Rejects a message (RFC 7252, 4.2 and 4.3): the peer forgets the observation or exchange it belongs to.
    pub fn reset(&mut self, peer: P, message_id: u16) {
        self.statistics.resets_sent += 1;
        self.transmit_empty(peer, Kind::Reset, message_id);
    }

    /// Rejects a request that the caller has (RFC 7252, 4.2), and every copy of it.
    pub fn reject(&mut self, id: RequestId<P>) {
        if self.pending_request(id).is_none() {
            return;
        }
        let rejection = self.encode(&Message::empty(Kind::Reset, id.fingerprint.message_id));
        self.settle(id.peer, id.serial, Answer::Given(rejection.as_slice().into()));
        self.statistics.resets_sent += 1;
        self.transmits.push_back((id.peer, rejection));
    }

    /// Forgets what was answered to a peer: a copy of it is a new request. For a peer without de-duplication.
    pub fn forget_answered(&mut self, peer: P) {
        if let Some(held) = self.peers.get_mut(&peer) {
            let before = held.received.len();
            held.received.retain(|one| one.answer.is_open());
            self.remembered -= before - held.received.len();
            self.drop_peer_if_idle(peer);
        }
    }

    /// Forgets everything about a peer, without an event: its exchanges, and what was received from it. For the end of a
    /// device that rebooted.
    pub fn forget(&mut self, peer: P) {
        if let Some(held) = self.peers.remove(&peer) {
            self.remembered -= held.received.len();
            for exchange in &held.exchanges {
                self.timers.stop(exchange.deadline, peer, exchange.serial);
            }
        }
    }

    fn encode(&mut self, message: &Message) -> Vec<u8> {
        let mut datagram = self.spare_buffers.pop().unwrap_or_default();
        message.encode(&mut datagram);
        datagram
    }

    fn transmit(&mut self, peer: P, message: &Message) {
        let datagram = self.encode(message);
        self.transmits.push_back((peer, datagram));
    }

    fn transmit_copy(&mut self, peer: P, datagram: &[u8]) {
        let mut copy = self.spare_buffers.pop().unwrap_or_default();
        copy.extend_from_slice(datagram);
        self.transmits.push_back((peer, copy));
    }

    fn transmit_empty(&mut self, peer: P, kind: Kind, message_id: u16) {
        self.transmit(peer, &Message::empty(kind, message_id));
    }

    fn peer_entry(&mut self, peer: P) -> &mut Peer {
        self.peers.entry(peer).or_insert_with(|| Peer {
            exchanges: Vec::new(),
            received: VecDeque::new(),
        })
    }

    fn drop_peer_if_idle(&mut self, peer: P) {
        if self
            .peers
            .get(&peer)
            .is_some_and(|held| held.exchanges.is_empty() && held.received.is_empty())
        {
            self.peers.remove(&peer);
        }
    }

    fn draw_serial(&mut self) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        serial
    }
}

fn empty_acknowledgement(message_id: u16) -> Box<[u8]> {
    let mut datagram = Vec::with_capacity(4);
    Message::empty(Kind::Acknowledgement, message_id).encode(&mut datagram);
    datagram.into_boxed_slice()
}
