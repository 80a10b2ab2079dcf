//! Commands as they arrive: RESP arrays of bulk strings, or one line of words as a person types it.
//!
//! Decoding stops where the bytes do and goes on from there when more arrive, so a command in many pieces costs no
//! more than one in a single piece. Whatever a header claims, nothing is reserved before the bytes are there.

use bytes::Bytes;
use thiserror::Error;

use crate::number::parse_integer;

/// Longest line: a header, or a command typed by a person. (Redis: `PROTO_INLINE_MAX_SIZE`)
const MAX_LINE: usize = 64 << 10;
/// Arguments of one command.
const MAX_ARGUMENTS: i64 = 1 << 20;

/// Why a connection cannot go on; the text is sent as the last reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum RequestError {
    #[error("ERR Protocol error: invalid multibulk length")]
    ArgumentCount,
    #[error("ERR Protocol error: expected '$', got '{0}'")]
    NotABulk(char),
    #[error("ERR Protocol error: invalid bulk length")]
    BulkLength,
    #[error("ERR Protocol error: too big inline request")]
    LineTooLong,
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    #[error("ERR Protocol error: a command may have at most {0} bytes")]
    CommandTooLong(usize),
}

/// Turns bytes into commands.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_bulk: usize,
    max_command: usize,
    /// Arguments still missing from the command that is being read; 0 between commands.
    missing: i64,
    /// The length of the argument that is being read.
    bulk: Option<usize>,
    arguments: Vec<Bytes>,
    bytes: usize,
    /// How much of the unread input has been searched for the end of a line.
    searched: usize,
}

impl Decoder {
    pub(crate) fn new(max_bulk: usize, max_command: usize) -> Self {
        Decoder {
            max_bulk,
            max_command,
            missing: 0,
            bulk: None,
            arguments: Vec::new(),
            bytes: 0,
            searched: 0,
        }
    }

    /// The next command in `input` from `*at` on, which is moved behind what was read; `None` if it is not complete.
    pub(crate) fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Vec<Bytes>>, RequestError> {
        loop {
            if self.missing == 0 {
                let Some(line) = self.line(input, at)? else {
                    return Ok(None);
                };
                let Some(count) = line.strip_prefix(b"*") else {
                    let words = split_words(line).ok_or(RequestError::UnbalancedQuotes)?;
                    if words.is_empty() {
                        continue;
                    }
                    return Ok(Some(words));
                };
                let count = parse_integer(count).filter(|count| *count <= MAX_ARGUMENTS);
                self.missing = count.ok_or(RequestError::ArgumentCount)?.max(0);
                self.bytes = 0;
            } else if self.argument(input, at)? {
                self.missing -= 1;
                if self.missing == 0 {
                    return Ok(Some(std::mem::take(&mut self.arguments)));
                }
            } else {
                return Ok(None);
            }
        }
    }

    /// Reads one argument; false if it is not complete.
    fn argument(&mut self, input: &[u8], at: &mut usize) -> Result<bool, RequestError> {
        let length = match self.bulk {
            Some(length) => length,
            None => {
                let max_bulk = self.max_bulk;
                let Some(line) = self.line(input, at)? else {
                    return Ok(false);
                };
                let length = match line {
                    [b'$', length @ ..] => parse_integer(length),
                    [other, ..] => return Err(RequestError::NotABulk(char::from(*other))),
                    [] => return Err(RequestError::NotABulk('\r')),
                };
                let length = length.and_then(|length| usize::try_from(length).ok());
                let length = length
                    .filter(|length| *length <= max_bulk)
                    .ok_or(RequestError::BulkLength)?;
                self.bytes += length;
                if self.bytes > self.max_command {
                    return Err(RequestError::CommandTooLong(self.max_command));
                }
                *self.bulk.insert(length)
            }
        };
        let Some(bytes) = input.get(*at..*at + length + 2) else {
            return Ok(false);
        };
        self.arguments.push(Bytes::copy_from_slice(&bytes[..length]));
        *at += length + 2;
        self.bulk = None;
        Ok(true)
    }

    /// The next line without its end.
    fn line<'a>(&mut self, input: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, RequestError> {
        let rest = &input[*at..];
        let found = rest[self.searched.min(rest.len())..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = found.map(|end| end + self.searched) else {
            self.searched = rest.len();
            return if rest.len() > MAX_LINE {
                Err(RequestError::LineTooLong)
            } else {
                Ok(None)
            };
        };
        self.searched = 0;
        if end > MAX_LINE {
            return Err(RequestError::LineTooLong);
        }
        *at += end + 1;
        let line = &rest[..end];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// Splits a typed line at blanks; double quotes with `\` escapes, or single quotes, keep a word together.
fn split_words(line: &[u8]) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        let mut word = Vec::new();
        if matches!(first, b'"' | b'\'') {
            rest = quoted(&rest[1..], first, &mut word)?;
            if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                return None;
            }
        } else {
            let end = rest
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(rest.len());
            word.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        words.push(Bytes::from(word));
        rest = rest.trim_ascii_start();
    }
    Some(words)
}

/// Reads up to the closing quote; returns what follows it.
fn quoted<'a>(mut rest: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            _ if byte == quote => return Some(rest),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                word.push(match (quote, escaped) {
                    (b'"', b'n') => b'\n',
                    (b'"', b'r') => b'\r',
                    (b'"', b't') => b'\t',
                    (_, other) => other,
                });
            }
            _ => word.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> Result<Vec<Vec<Bytes>>, RequestError> {
        let (mut decoder, mut at, mut commands) = (Decoder::new(100, 200), 0, Vec::new());
        while let Some(command) = decoder.next(input, &mut at)? {
            commands.push(command);
        }
        Ok(commands)
    }

    #[test]
    fn commands_are_found_wherever_the_bytes_are_split() {
        let input = b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n*0\r\nPING \"a b\" 'c'\r\n*1\r\n$4\r\nTIME\r\n";
        let expected: Vec<Vec<&[u8]>> =
            vec![vec![b"GET", b"\r\n"], vec![b"PING", b"a b", b"c"], vec![b"TIME"]];
        for split in 0..=input.len() {
            let (mut decoder, mut at, mut commands) = (Decoder::new(100, 200), 0, Vec::new());
            for end in [split, input.len()] {
                while let Some(command) = decoder.next(&input[..end], &mut at).unwrap() {
                    commands.push(command);
                }
            }
            assert_eq!(commands, expected, "split at {split}");
        }
    }

    #[test]
    fn what_breaks_the_protocol_or_a_limit_is_refused() {
        let long_line = vec![b'a'; MAX_LINE + 1];
        let table: [(&[u8], RequestError); 8] = [
            (b"*x\r\n", RequestError::ArgumentCount),
            (b"*99999999\r\n", RequestError::ArgumentCount),
            (b"*1\r\n:3\r\n", RequestError::NotABulk(':')),
            (b"*1\r\n$-1\r\n", RequestError::BulkLength),
            (b"*1\r\n$101\r\n", RequestError::BulkLength),
            (b"PING \"a\r\n", RequestError::UnbalancedQuotes),
            (&long_line, RequestError::LineTooLong),
            (b"*1\r\n\r\n", RequestError::NotABulk('\r')),
        ];
        for (input, error) in table {
            assert_eq!(decode(input), Err(error));
        }
        let long = [
            &b"*3\r\n"[..],
            &b"$99\r\n".iter().copied().chain([b'x'; 99]).collect::<Vec<_>>(),
            b"\r\n",
        ]
        .concat();
        let long = [&long[..], &long[4..], &long[4..]].concat();
        assert_eq!(decode(&long), Err(RequestError::CommandTooLong(200)));
    }
}
