//! The words of the northbound interface, as a back end and the checker read them.

mod error_code;

pub use error_code::ErrorCode;
