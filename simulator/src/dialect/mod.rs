//! The words of the northbound interface, as a back end and the checker read them.

mod channels;
mod error_code;

pub use channels::{Channel, Channels};
pub use error_code::ErrorCode;
