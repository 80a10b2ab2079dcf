//! `err.code` of the northbound interface. A cluster of others may have codes of its own: they are [`ErrorCode::Other`].

use serde::{Deserialize, Serialize};

/// Why a ticket ended without an answer of its device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// It is no request.
    BadRequest,
    /// No such device is registered.
    UnknownEndpoint,
    /// The device did not answer in time.
    Timeout,
    /// The back end took it back.
    Cancelled,
    /// CoAP gave up.
    Unreachable,
    /// The device answered with a Reset.
    Rejected,
    /// Nobody can read what the device answered.
    Undecodable,
    /// Who sent it died, and it may reach the device only once.
    OutcomeUnknown,
    /// The device took leave while it waited.
    Gone,
    /// Too many wait for this device.
    Overloaded,
    /// The cluster failed.
    Internal,
    /// A code of another cluster; empty if there was none.
    #[serde(untagged)]
    Other(String),
}

impl ErrorCode {
    /// As in the interface.
    pub fn as_str(&self) -> &str {
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
            ErrorCode::Other(code) => code,
        }
    }
}

impl Default for ErrorCode {
    /// That of an error without a code.
    fn default() -> Self {
        ErrorCode::Other(String::new())
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written_and_unknown_ones_are_kept() {
        for name in [
            "TIMEOUT",
            "OUTCOME_UNKNOWN",
            "UNKNOWN_ENDPOINT",
            "BAD_REQUEST",
            "GONE",
        ] {
            let code: ErrorCode = serde_json::from_value(name.into()).unwrap();
            assert_eq!(code.as_str(), name);
            assert!(!matches!(code, ErrorCode::Other(_)), "{name}");
        }
        let foreign: ErrorCode = serde_json::from_value("TOO_BUSY".into()).unwrap();
        assert_eq!(foreign, ErrorCode::Other("TOO_BUSY".into()));
    }
}
