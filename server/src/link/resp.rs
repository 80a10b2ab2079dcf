//! Commands and answers as bytes (RESP version 2, <https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use super::{Answer, Command};
use crate::store::Value;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

/// Something that was read.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// An answer to a command.
    Answer(Answer),
    /// A message on a channel.
    Message {
        /// The channel.
        channel: String,
        /// The payload.
        payload: Vec<u8>,
    },
}

/// Appends a command to `out`.
pub fn encode(command: &Command, out: &mut Vec<u8>) {
    let words = command.words();
    header(out, b'*', words.len());
    for word in words {
        header(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads one thing at the start of `bytes`, and says how long it was; `None` if there is more to come. What is read on a
/// connection that `listens` may be a message. An error says that this is no RESP.
pub fn read(bytes: &[u8], listens: bool) -> Result<Option<(Read, usize)>, String> {
    let Some((frame, length)) = decode(bytes).map_err(|error| error.details().to_owned())? else {
        return Ok(None);
    };
    let read = match frame {
        OwnedFrame::Error(words) => Read::Answer(Err(words)),
        OwnedFrame::Array(items) if listens && is_message(&items) => message(items),
        frame => Read::Answer(Ok(value(frame))),
    };
    Ok(Some((read, length)))
}

fn is_message(items: &[OwnedFrame]) -> bool {
    matches!(items, [OwnedFrame::BulkString(kind), _, _] if kind == b"message")
}

fn message(items: Vec<OwnedFrame>) -> Read {
    let mut texts = items.into_iter().skip(1).map(|item| match item {
        OwnedFrame::BulkString(text) => text,
        _ => Vec::new(),
    });
    let channel = texts.next().unwrap_or_default();
    Read::Message {
        channel: String::from_utf8_lossy(&channel).into_owned(),
        payload: texts.next().unwrap_or_default(),
    }
}

fn value(frame: OwnedFrame) -> Value {
    match frame {
        OwnedFrame::Integer(number) => Value::Integer(number),
        OwnedFrame::BulkString(text) | OwnedFrame::SimpleString(text) => Value::Bytes(text),
        OwnedFrame::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        OwnedFrame::Error(_) | OwnedFrame::Null => Value::Nil,
    }
}

fn header(out: &mut Vec<u8>, kind: u8, number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    while rest > 0 || start == digits.len() {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.push(kind);
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
}
