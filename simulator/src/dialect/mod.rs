//! The northbound interface as JSON on channels: the only place that knows the name of a channel or of a member. The back end,
//! the checker and who watches a world read with it; what they make of it is their own.

mod channels;
mod error_code;
pub mod glance;
pub mod message;
mod registration;
mod request;

pub use channels::{Channel, Channels};
pub use error_code::ErrorCode;
pub use message::{Answer, Message};
pub use registration::{Registration, Served};
pub use request::Envelope;
