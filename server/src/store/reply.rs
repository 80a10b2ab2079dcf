//! What a script answered.

/// A value of a reply (RESP2).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Nil,
    /// An integer.
    Integer(i64),
    /// A bulk or simple string.
    Bytes(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
}

impl Value {
    /// The value as an integer, if it is one or the text of one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Bytes(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    /// The value as bytes, if it is a string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value as text, if it is a string in UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// The reply of a script: a status and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply(Vec<Value>);

impl Reply {
    /// Takes a reply apart; `None` if it does not begin with a status.
    pub fn new(value: Value) -> Option<Reply> {
        match value {
            Value::Array(values) if values.first().and_then(Value::text).is_some() => Some(Reply(values)),
            _ => None,
        }
    }

    /// `OK` or the reason why nothing was done.
    pub fn status(&self) -> &str {
        self.0[0].text().unwrap_or_default()
    }

    /// The n-th value; the status is number 0.
    pub fn get(&self, n: usize) -> Option<&Value> {
        self.0.get(n)
    }
}
