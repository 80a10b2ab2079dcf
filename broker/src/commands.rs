//! The commands, by the kind of value they work on. Each takes its arguments with its own name first.

pub(crate) mod connection;
pub(crate) mod generic;
pub(crate) mod hash;
pub(crate) mod list;
pub(crate) mod pubsub;
pub(crate) mod server;
pub(crate) mod set;
pub(crate) mod sorted_set;
pub(crate) mod string;

use crate::error::CommandError;
use crate::number::parse_integer;

/// Reads an argument that must be an integer.
fn integer(argument: &[u8]) -> Result<i64, CommandError> {
    parse_integer(argument).ok_or(CommandError::NotInteger)
}

/// Whether an argument is this word, in either case.
fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// An option in lower case; what is longer than any option is the empty one.
fn option<'a>(argument: &[u8], lower: &'a mut [u8; 16]) -> &'a [u8] {
    let Some(lower) = lower.get_mut(..argument.len()) else {
        return b"";
    };
    lower.copy_from_slice(argument);
    lower.make_ascii_lowercase();
    lower
}

/// An argument as text for a message.
fn text(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).into_owned()
}

/// The name under which an error message mentions the command that these arguments call.
fn own_name(arguments: &[&[u8]]) -> String {
    text(arguments.first().copied().unwrap_or_default()).to_ascii_lowercase()
}

/// The half-open range of indexes that Redis' pair of indexes means, where negative ones count from the end.
fn index_range(start: i64, stop: i64, length: usize) -> std::ops::Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = |index: i64| {
        if index < 0 {
            index.saturating_add(length)
        } else {
            index
        }
    };
    let start = from_end(start).max(0);
    let end = from_end(stop).min(length - 1) + 1;
    if start >= end {
        0..0
    } else {
        start as usize..end as usize
    }
}
