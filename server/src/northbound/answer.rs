//! What is said about a ticket that ends without a response of the device: the `err` of an answer.

use std::fmt;

use super::json::{push_display, push_string};

/// Why a ticket ended without a response.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request itself is wrong.
    BadRequest,
    /// No device of that name is registered.
    UnknownEndpoint,
    /// The time of the ticket ran out.
    Timeout,
    /// A back end cancelled it.
    Cancelled,
    /// CoAP gave up: the device acknowledged no transmission.
    Unreachable,
    /// The device answered with a Reset.
    Rejected,
    /// The device's answer could not be read.
    Undecodable,
    /// The instance died after it may have sent a request that must not be sent twice.
    OutcomeUnknown,
    /// The device de-registered while the request waited.
    Gone,
    /// A limit of the cluster was reached.
    Overloaded,
    /// A fault of the cluster itself.
    Internal,
}

impl ErrorCode {
    /// As it stands in `err.code`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadRequest => "BAD_REQUEST",
            ErrorCode::UnknownEndpoint => "UNKNOWN_ENDPOINT",
            ErrorCode::Timeout => "TIMEOUT",
            ErrorCode::Cancelled => "CANCELLED",
            ErrorCode::Unreachable => "UNREACHABLE",
            ErrorCode::Rejected => "REJECTED",
            ErrorCode::Undecodable => "UNDECODABLE",
            ErrorCode::OutcomeUnknown => "OUTCOME_UNKNOWN",
            ErrorCode::Gone => "GONE",
            ErrorCode::Overloaded => "OVERLOADED",
            ErrorCode::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The object behind `"err":`. `sent` says whether a datagram may have left; it is given for an error after the ack.
pub fn error_body(code: ErrorCode, message: &str, sent: Option<bool>) -> String {
    let mut json = String::with_capacity(message.len() + 64);
    json.push_str("{\"errorMessage\":");
    push_string(&mut json, message);
    push_display(&mut json, format_args!(",\"code\":\"{code}\""));
    if let Some(sent) = sent {
        push_display(&mut json, format_args!(",\"sent\":{sent}"));
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_its_message_its_code_and_whether_anything_was_sent() {
        assert_eq!(
            error_body(ErrorCode::UnknownEndpoint, "no registration for endpoint x", None),
            r#"{"errorMessage":"no registration for endpoint x","code":"UNKNOWN_ENDPOINT"}"#
        );
        assert_eq!(
            error_body(ErrorCode::Timeout, "a \"quoted\"\nline", Some(false)),
            r#"{"errorMessage":"a \"quoted\"\nline","code":"TIMEOUT","sent":false}"#
        );
    }
}
