//! CoAP (RFC 7252): the message codec and the message layer, without I/O.
//!
//! [`Message`] turns datagrams into messages and back. [`MessageLayer`] is the message layer for any number of peers at
//! once: confirmable exchanges with retransmission, piggybacked and separate responses, de-duplication, NSTART, ping.
//! Datagrams and the time go in; datagrams, [`Event`]s and the next deadline come out.

mod code;
mod message;
mod message_id;
mod message_layer;
pub mod option;
mod parameters;
mod token;

pub use code::Code;
pub use message::{DecodeError, Header, Kind, MAX_MESSAGE_BYTES, MAX_OPTIONS, Malformation, Message};
pub use message_id::MessageIds;
pub use message_layer::{
    Config, Deduplication, Event, FailureReason, Fingerprint, Limits, MessageLayer, Refusal, RequestId,
    Response, SendError, Statistics,
};
pub use option::{BadOption, OptionFault, Options};
pub use parameters::TransmissionParameters;
pub use token::{Token, TokenTooLong};
