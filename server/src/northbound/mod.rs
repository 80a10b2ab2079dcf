//! The northbound interface: the JSON that back ends and instances exchange over Redis pub/sub.
//!
//! In: payloads of the request channel, and what devices answered. Out: typed requests, CoAP requests, and JSON text
//! that the store's scripts publish. Pure functions; who may answer, and when, is decided elsewhere.

pub mod answer;
pub mod envelope;
pub mod json;
pub mod registration;
pub mod request;

pub use answer::{ErrorCode, error_body};
pub use envelope::{Envelope, Malformed, Scan};
pub use json::json_string;
pub use request::{BadRequest, CoapRequest, Device, EncodeError, Request, Undecodable, WriteMode};
