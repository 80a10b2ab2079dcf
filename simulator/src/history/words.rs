//! Small things that a history says, as types: they stand in the file as the text that a person would expect.

use lwm2m::coap::Code;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A CoAP code as the history writes it: `2.05`.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct CoapCode(pub Code);

impl std::str::FromStr for CoapCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a CoAP code such as 2.05, found \"{text}\"");
        let (class, detail) = text.split_once('.').ok_or_else(wrong)?;
        match (class.parse(), detail.parse()) {
            (Ok(class @ 0..=7), Ok(detail @ 0..=31)) => Ok(CoapCode(Code::new(class, detail))),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for CoapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for CoapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for CoapCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CoapCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// From what a device learned that it is not registered.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossReason {
    /// From the answer to an Update.
    #[serde(rename = "4.04")]
    NotFound,
    /// From no answer to the end.
    #[serde(rename = "silence")]
    Silence,
}

/// How a process ended: `signal 9`, `exit 3`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum ExitStatus {
    /// A signal ended it.
    Signal(i32),
    /// It ended itself, with this code.
    Code(i32),
    /// What else the operating system said.
    Other(String),
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitStatus::Signal(number) => write!(f, "signal {number}"),
            ExitStatus::Code(code) => write!(f, "exit {code}"),
            ExitStatus::Other(words) => f.write_str(words),
        }
    }
}

impl From<ExitStatus> for String {
    fn from(status: ExitStatus) -> String {
        status.to_string()
    }
}

impl From<String> for ExitStatus {
    fn from(text: String) -> ExitStatus {
        let known = text.split_once(' ').and_then(|(what, number)| {
            let number = number.parse().ok()?;
            match what {
                "signal" => Some(ExitStatus::Signal(number)),
                "exit" => Some(ExitStatus::Code(number)),
                _ => None,
            }
        });
        known.unwrap_or(ExitStatus::Other(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for text in ["2.05", "4.04", "5.03"] {
            assert_eq!(text.parse::<CoapCode>().unwrap().to_string(), text);
        }
        let wrong = "OK".parse::<CoapCode>().unwrap_err();
        assert_eq!(wrong, "expected a CoAP code such as 2.05, found \"OK\"");
        let all = [
            ExitStatus::Signal(9),
            ExitStatus::Code(3),
            ExitStatus::Other("core dumped".into()),
        ];
        for status in all {
            assert_eq!(ExitStatus::from(status.to_string()), status);
        }
    }
}
