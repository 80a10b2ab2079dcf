//! Plain text: the one value of a resource or resource instance. OMA TS 1.1 Core, 7.4.2 and appendix C.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::FormatError;
use crate::path::Path;
use crate::value::{Value, ValueType};

/// The text of `value`: booleans as 0 and 1, time in seconds, opaque as base64, object links as `object:instance`.
pub(super) fn encode(value: &Value) -> String {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.clone(),
        Value::Integer(number) | Value::Time(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => if *truth { "1" } else { "0" }.to_owned(),
        Value::Opaque(bytes) => BASE64.encode(bytes),
        Value::ObjectLink(link) => link.to_string(),
    }
}

/// The value of `value_type` that `payload`, read from `path`, spells.
pub(super) fn decode(payload: &[u8], value_type: ValueType, path: &Path) -> Result<Value, FormatError> {
    let wrong = |expected| FormatError::BadValue {
        what: format!("{path} in text"),
        expected,
        found: format!("`{}`", String::from_utf8_lossy(&payload[..payload.len().min(40)])),
    };
    let text = std::str::from_utf8(payload).map_err(|_| wrong("UTF-8 text"))?;
    match value_type {
        ValueType::String => Ok(Value::String(text.to_owned())),
        ValueType::CoreLink => Ok(Value::CoreLink(text.to_owned())),
        ValueType::Integer => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| wrong("an integer of 64 bits")),
        ValueType::Unsigned => text
            .parse()
            .map(Value::Unsigned)
            .map_err(|_| wrong("an unsigned integer of 64 bits")),
        ValueType::Float => {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite());
            number
                .map(Value::Float)
                .ok_or_else(|| wrong("a finite decimal number"))
        }
        ValueType::Boolean => match text {
            "0" => Ok(Value::Boolean(false)),
            "1" => Ok(Value::Boolean(true)),
            _ => Err(wrong("a boolean, 0 or 1")),
        },
        ValueType::Time => text
            .parse()
            .map(Value::Time)
            .map_err(|_| wrong("a time in whole seconds")),
        ValueType::Opaque => BASE64
            .decode(text)
            .map(Value::Opaque)
            .map_err(|_| wrong("base64 with padding")),
        ValueType::ObjectLink => text
            .parse()
            .map(Value::ObjectLink)
            .map_err(|_| wrong("an object link like 3:0")),
    }
}
