//! The code of a message: `class.detail`, a request method or a response code (RFC 7252, 3 and 12.1; RFC 7959; RFC
//! 8132; RFC 8516; RFC 8768).

use std::fmt;

/// The eight bits of a message's code: three of class, five of detail.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Code(u8);

/// One table for the constants and their names.
macro_rules! codes {
    ($($constant:ident = $class:literal . $detail:literal, $doc:literal;)*) => {
        impl Code {
            $(
                #[doc = $doc]
                pub const $constant: Code = Code::new($class, $detail);
            )*

            /// The name in the RFCs, in upper case with `_`, if the code has one.
            pub const fn known_name(self) -> Option<&'static str> {
                match self {
                    $(Code::$constant => Some(stringify!($constant)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    EMPTY = 0 . 0, "0.00: an empty message.";
    GET = 0 . 1, "0.01";
    POST = 0 . 2, "0.02";
    PUT = 0 . 3, "0.03";
    DELETE = 0 . 4, "0.04";
    FETCH = 0 . 5, "0.05, RFC 8132";
    PATCH = 0 . 6, "0.06, RFC 8132";
    IPATCH = 0 . 7, "0.07, RFC 8132";
    CREATED = 2 . 1, "2.01";
    DELETED = 2 . 2, "2.02";
    VALID = 2 . 3, "2.03";
    CHANGED = 2 . 4, "2.04";
    CONTENT = 2 . 5, "2.05";
    CONTINUE = 2 . 31, "2.31, RFC 7959";
    BAD_REQUEST = 4 . 0, "4.00";
    UNAUTHORIZED = 4 . 1, "4.01";
    BAD_OPTION = 4 . 2, "4.02";
    FORBIDDEN = 4 . 3, "4.03";
    NOT_FOUND = 4 . 4, "4.04";
    METHOD_NOT_ALLOWED = 4 . 5, "4.05";
    NOT_ACCEPTABLE = 4 . 6, "4.06";
    REQUEST_ENTITY_INCOMPLETE = 4 . 8, "4.08, RFC 7959";
    CONFLICT = 4 . 9, "4.09, RFC 8132";
    PRECONDITION_FAILED = 4 . 12, "4.12";
    REQUEST_ENTITY_TOO_LARGE = 4 . 13, "4.13";
    UNSUPPORTED_CONTENT_FORMAT = 4 . 15, "4.15";
    UNPROCESSABLE_ENTITY = 4 . 22, "4.22, RFC 8132";
    TOO_MANY_REQUESTS = 4 . 29, "4.29, RFC 8516";
    INTERNAL_SERVER_ERROR = 5 . 0, "5.00";
    NOT_IMPLEMENTED = 5 . 1, "5.01";
    BAD_GATEWAY = 5 . 2, "5.02";
    SERVICE_UNAVAILABLE = 5 . 3, "5.03";
    GATEWAY_TIMEOUT = 5 . 4, "5.04";
    PROXYING_NOT_SUPPORTED = 5 . 5, "5.05";
    HOP_LIMIT_REACHED = 5 . 8, "5.08, RFC 8768";
}

impl Code {
    /// `class.detail`, of which only the low 3 and 5 bits count.
    pub const fn new(class: u8, detail: u8) -> Self {
        Code((class & 0b111) << 5 | (detail & 0b1_1111))
    }

    /// 0 to 7.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// 0 to 31.
    pub const fn detail(self) -> u8 {
        self.0 & 0b1_1111
    }

    /// A method: 0.01 to 0.31, assigned or not.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.detail() != 0
    }

    /// A response code: 2.00 to 5.31, assigned or not.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2..=5)
    }

    /// A response of class 2.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// The name in the RFCs, in upper case with `_` (`NOT_FOUND`); `UNKNOWN(503)`, from class × 100 + detail, for a
    /// code without a name.
    pub fn name(self) -> String {
        match self.known_name() {
            Some(name) => name.to_owned(),
            None => format!(
                "UNKNOWN({})",
                u32::from(self.class()) * 100 + u32::from(self.detail())
            ),
        }
    }
}

impl From<u8> for Code {
    fn from(byte: u8) -> Self {
        Code(byte)
    }
}

impl From<Code> for u8 {
    fn from(code: Code) -> u8 {
        code.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_shown_as_class_dot_detail_and_named_as_in_the_rfc() {
        assert_eq!(Code::NOT_FOUND.to_string(), "4.04");
        assert_eq!(Code::CONTINUE.to_string(), "2.31");
        assert_eq!(Code::CONTENT.name(), "CONTENT");
        assert_eq!(
            Code::REQUEST_ENTITY_INCOMPLETE.name(),
            "REQUEST_ENTITY_INCOMPLETE"
        );
        assert_eq!(Code::new(5, 31).name(), "UNKNOWN(531)");
        assert_eq!(u8::from(Code::SERVICE_UNAVAILABLE), 0xa3);
        assert_eq!(Code::from(0x45), Code::CONTENT);
    }

    #[test]
    fn classes_tell_requests_from_responses() {
        assert!(Code::IPATCH.is_request() && Code::new(0, 31).is_request());
        assert!(!Code::EMPTY.is_request() && !Code::EMPTY.is_response());
        assert!(Code::CHANGED.is_response() && Code::CHANGED.is_success());
        assert!(Code::new(3, 1).is_response() && !Code::BAD_OPTION.is_success());
        for reserved in [1, 6, 7] {
            assert!(!Code::new(reserved, 1).is_request() && !Code::new(reserved, 1).is_response());
        }
    }
}
