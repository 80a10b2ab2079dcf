//! What a command answers, and its form on the wire.
//!
//! In: the outcome of a command. Out: RESP version 2 bytes (Redis serialization protocol specification).

use bytes::Bytes;

/// The answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status such as `OK`.
    Simple(Bytes),
    /// An error: its code, a space, and a text for a person.
    Error(Bytes),
    Integer(i64),
    Bulk(Bytes),
    /// No value where a bulk string would stand.
    Nil,
    /// No value where an array would stand.
    NilArray,
    Array(Vec<Reply>),
    /// Several answers one after the other: SUBSCRIBE answers once for each channel.
    Several(Vec<Reply>),
}

impl Reply {
    /// The status `OK`.
    pub const OK: Reply = Reply::Simple(Bytes::from_static(b"OK"));

    /// An error from its code and text. A line break would end the reply early, so it becomes a space.
    pub fn error(text: impl AsRef<[u8]>) -> Self {
        Reply::Error(one_line(text.as_ref()))
    }

    /// A status line; a line break in it becomes a space.
    pub fn status(text: impl AsRef<[u8]>) -> Self {
        Reply::Simple(one_line(text.as_ref()))
    }

    /// A bulk string with a copy of these bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Reply::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// A bulk string, or nil.
    pub fn bulk_or_nil(bytes: Option<Bytes>) -> Self {
        bytes.map_or(Reply::Nil, Reply::Bulk)
    }

    /// A count as an integer reply.
    pub fn count(count: usize) -> Self {
        Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// An array of bulk strings.
    pub fn bulks(items: impl IntoIterator<Item = Bytes>) -> Self {
        Reply::Array(items.into_iter().map(Reply::Bulk).collect())
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Appends the RESP version 2 form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Simple(text) => line(out, b'+', text),
            Reply::Error(text) => line(out, b'-', text),
            Reply::Integer(number) => number_line(out, b':', *number),
            Reply::Bulk(bytes) => encode_bulk(out, bytes),
            Reply::Nil => out.extend_from_slice(b"$-1\r\n"),
            Reply::NilArray => out.extend_from_slice(b"*-1\r\n"),
            Reply::Array(items) => {
                encode_array_header(out, items.len());
                items.iter().for_each(|item| item.encode(out));
            }
            Reply::Several(replies) => replies.iter().for_each(|reply| reply.encode(out)),
        }
    }
}

/// Appends the header of an array of `length` elements.
pub(crate) fn encode_array_header(out: &mut Vec<u8>, length: usize) {
    number_line(out, b'*', length as i64);
}

/// Appends a bulk string.
pub(crate) fn encode_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    number_line(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn number_line(out: &mut Vec<u8>, kind: u8, number: i64) {
    out.push(kind);
    crate::number::write_integer(out, number);
    out.extend_from_slice(b"\r\n");
}

fn one_line(text: &[u8]) -> Bytes {
    text.iter()
        .map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte })
        .collect()
}
