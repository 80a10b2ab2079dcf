//! What the message layer tells its caller.

use super::super::{BadOption, Malformation, Message, Token};
use super::Fingerprint;

/// Names a received request until it is answered.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct RequestId<P> {
    /// Who sent it.
    pub peer: P,
    /// What its copies have in common with it.
    pub fingerprint: Fingerprint,
    pub(super) serial: u64,
}

/// Why a message was not taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It is no CoAP message, or a larger one than is read.
    #[error("{0}")]
    Malformed(Malformation),
    /// It has a critical option that is not understood, or used wrongly (RFC 7252, 5.4.1).
    #[error("{0}")]
    BadOption(BadOption),
}

/// Why an exchange failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum FailureReason {
    /// No acknowledgement within the retransmissions, or no response within `Config::response_timeout`.
    Timeout,
    /// The peer sent a Reset.
    Reset,
    /// The peer answered, and the answer can't be taken. What is asked again would be answered so again.
    Refused(Refusal),
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<P> {
    /// A request, not a copy: to be answered with `respond`.
    Request {
        /// Who sent it.
        peer: P,
        /// Its name for `respond` and `acknowledge`.
        id: RequestId<P>,
        /// The request.
        message: Message,
    },
    /// The response to an open exchange, which it ends.
    Response {
        /// Who sent it.
        peer: P,
        /// The exchange.
        token: Token,
        /// The response.
        message: Message,
        /// Set for a confirmable separate response: the caller calls `acknowledge_response` once the response is safe.
        acknowledge: Option<Fingerprint>,
    },
    /// An empty acknowledgement: the request arrived, a separate response is to come.
    Acknowledged {
        /// Who sent it.
        peer: P,
        /// The exchange.
        token: Token,
    },
    /// An exchange ended without a response.
    Failed {
        /// Who did not answer, or sent the Reset.
        peer: P,
        /// The exchange.
        token: Token,
        /// Silence or Reset.
        reason: FailureReason,
    },
    /// A response, an empty acknowledgement or a Reset that belongs to no open exchange. The endpoint does not answer
    /// it; the caller may (`acknowledge_response`, `reset`).
    Unmatched {
        /// Who sent it.
        peer: P,
        /// The message.
        message: Message,
        /// As in [`Event::Response`].
        acknowledge: Option<Fingerprint>,
    },
    /// A message that was not taken, and that its sender was told about if RFC 7252, 4.2 and 4.3 say so. For logs.
    Refused {
        /// Who sent it.
        peer: P,
        /// What is wrong with it.
        reason: Refusal,
        /// The message, if it is one.
        message: Option<Message>,
    },
}

/// Counters, since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Datagrams that came in.
    pub datagrams_received: u64,
    /// Of these: no CoAP message, and ignored.
    pub malformed_ignored: u64,
    /// Of these: well-formed, but without meaning (a request in an acknowledgement …), and ignored.
    pub meaningless_ignored: u64,
    /// Copies of requests and confirmable responses that were seen before.
    pub duplicates: u64,
    /// Of these: answered with the answer of the first one.
    pub replayed: u64,
    /// Empty confirmable messages.
    pub pings: u64,
    /// Messages with a critical option that is not understood, or used wrongly.
    pub bad_options: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// `Unmatched` events.
    pub unmatched: u64,
    /// Copies sent because no acknowledgement came.
    pub retransmissions: u64,
    /// Exchanges that ended in silence.
    pub timeouts: u64,
    /// Received messages that were forgotten early, because of a limit.
    pub forgotten: u64,
}
