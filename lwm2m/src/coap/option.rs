//! Options (RFC 7252, 3.1 and 5.10): their numbers, and the ordered list that a message carries.
//!
//! [`Options`] keeps the list as it stands in a datagram, deltas and all: decoding checks it and copies it once,
//! encoding copies it once, and a message with twenty options has one allocation for them.

use std::str::Utf8Error;
use std::{fmt, str};

/// Observe, RFC 7641.
pub const OBSERVE: u16 = 6;
/// Block2, RFC 7959.
pub const BLOCK2: u16 = 23;
/// Block1, RFC 7959.
pub const BLOCK1: u16 = 27;
/// Size2, RFC 7959.
pub const SIZE2: u16 = 28;
/// If-Match.
pub const IF_MATCH: u16 = 1;
/// Uri-Host.
pub const URI_HOST: u16 = 3;
/// ETag.
pub const ETAG: u16 = 4;
/// If-None-Match.
pub const IF_NONE_MATCH: u16 = 5;
/// Uri-Port.
pub const URI_PORT: u16 = 7;
/// Location-Path.
pub const LOCATION_PATH: u16 = 8;
/// OSCORE, RFC 8613.
pub const OSCORE: u16 = 9;
/// Uri-Path.
pub const URI_PATH: u16 = 11;
/// Content-Format.
pub const CONTENT_FORMAT: u16 = 12;
/// Max-Age.
pub const MAX_AGE: u16 = 14;
/// Uri-Query.
pub const URI_QUERY: u16 = 15;
/// Accept.
pub const ACCEPT: u16 = 17;
/// Location-Query.
pub const LOCATION_QUERY: u16 = 20;
/// Proxy-Uri.
pub const PROXY_URI: u16 = 35;
/// Proxy-Scheme.
pub const PROXY_SCHEME: u16 = 39;
/// Size1.
pub const SIZE1: u16 = 60;

/// What RFC 7252, 5.10 and RFC 7959 say of the critical options: the longest value, and whether it may be repeated.
const CRITICAL_RULES: [(u16, usize, bool); 9] = [
    (IF_MATCH, 8, true),
    (URI_HOST, 255, false),
    (IF_NONE_MATCH, 0, false),
    (URI_PORT, 2, false),
    (URI_PATH, 255, true),
    (URI_QUERY, 255, true),
    (ACCEPT, 2, false),
    (BLOCK2, 3, false),
    (BLOCK1, 3, false),
];

/// The longest value that an option header can describe; longer ones are cut, in messages too long to be sent anyway.
const LONGEST_VALUE: usize = u16::MAX as usize + 269;

/// The options of a message, ordered by number; equal numbers keep the order in which they were added.
#[derive(Clone, Default, Eq, PartialEq, Hash)]
pub struct Options {
    wire: Vec<u8>,
    last: u16,
}

impl Options {
    /// No options.
    pub const fn new() -> Self {
        Options {
            wire: Vec::new(),
            last: 0,
        }
    }

    /// True without options.
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// The number of options, repeated ones counted each.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// The options in the order of their numbers.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            rest: &self.wire,
            number: 0,
        }
    }

    /// Adds an option after those with the same or a smaller number. Cheapest in ascending order.
    pub fn push(&mut self, number: u16, value: &[u8]) {
        if number >= self.last || self.wire.is_empty() {
            self.append(number, value);
            return;
        }
        let mut ordered = Options::new();
        ordered.wire.reserve(self.wire.len() + value.len() + 5);
        let mut new = Some(value);
        for (existing, existing_value) in self.iter() {
            if existing > number
                && let Some(value) = new.take()
            {
                ordered.append(number, value);
            }
            ordered.append(existing, existing_value);
        }
        *self = ordered;
    }

    /// Adds an option with an unsigned integer value in its shortest form (RFC 7252, 3.2).
    pub fn push_uint(&mut self, number: u16, value: u32) {
        let bytes = value.to_be_bytes();
        self.push(number, &bytes[value.leading_zeros() as usize / 8..]);
    }

    /// Adds one option per segment: `push_each(URI_PATH, ["3", "0", "1"])`.
    pub fn push_each<S: AsRef<[u8]>>(&mut self, number: u16, segments: impl IntoIterator<Item = S>) {
        for segment in segments {
            self.push(number, segment.as_ref());
        }
    }

    /// Adds a Uri-Path option per segment of `path`; slashes at its ends do not count.
    pub fn push_uri_path(&mut self, path: &str) {
        self.push_each(
            URI_PATH,
            path.trim_matches('/')
                .split('/')
                .filter(|segment| !segment.is_empty()),
        );
    }

    /// The first value of the option.
    pub fn get(&self, number: u16) -> Option<&[u8]> {
        self.all(number).next()
    }

    /// The first value of the option as an unsigned integer; `None` without it, or if it has more than 4 bytes.
    pub fn get_uint(&self, number: u16) -> Option<u32> {
        let value = self.get(number)?;
        (value.len() <= 4).then(|| value.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    /// All values of the option, in order.
    pub fn all(&self, number: u16) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .skip_while(move |option| option.0 < number)
            .take_while(move |option| option.0 == number)
            .map(|option| option.1)
    }

    /// All values of the option as text.
    pub fn texts(&self, number: u16) -> impl Iterator<Item = Result<&str, Utf8Error>> {
        self.all(number).map(str::from_utf8)
    }

    /// The segments of the path: `collect::<Result<Vec<_>, _>>()` them.
    pub fn uri_path(&self) -> impl Iterator<Item = Result<&str, Utf8Error>> {
        self.texts(URI_PATH)
    }

    /// The arguments of the query: `ep=a`, `lt=60` …
    pub fn uri_query(&self) -> impl Iterator<Item = Result<&str, Utf8Error>> {
        self.texts(URI_QUERY)
    }

    /// The first critical option that is not in `known`, or that is and breaks its rules: a value too long, or a
    /// second one where only one may be (RFC 7252, 5.4.1, 5.4.3 and 5.4.5).
    pub fn unknown_critical(&self, known: &[u16]) -> Option<u16> {
        let mut previous = None;
        for (number, value) in self.iter() {
            if number % 2 == 1 {
                if !known.contains(&number) {
                    return Some(number);
                }
                let rule = CRITICAL_RULES.iter().find(|rule| rule.0 == number);
                if rule.is_some_and(|(_, longest, repeatable)| {
                    value.len() > *longest || (!repeatable && previous == Some(number))
                }) {
                    return Some(number);
                }
            }
            previous = Some(number);
        }
        None
    }

    /// Takes over a list as it stood in a datagram, already checked.
    pub(super) fn from_checked_wire(wire: &[u8], last: u16) -> Self {
        Options {
            wire: wire.to_vec(),
            last,
        }
    }

    /// The list as it stands in a datagram.
    pub(super) fn as_wire(&self) -> &[u8] {
        &self.wire
    }

    fn append(&mut self, number: u16, value: &[u8]) {
        let value = &value[..value.len().min(LONGEST_VALUE)];
        let delta = Nibble::of(usize::from(number - self.last));
        let length = Nibble::of(value.len());
        self.wire.push(delta.bits << 4 | length.bits);
        self.wire.extend_from_slice(delta.extension());
        self.wire.extend_from_slice(length.extension());
        self.wire.extend_from_slice(value);
        self.last = number;
    }
}

/// A delta or length: four bits in the option's header, and up to two bytes after it.
struct Nibble {
    bits: u8,
    extension: [u8; 2],
}

impl Nibble {
    fn of(value: usize) -> Nibble {
        match value {
            0..=12 => Nibble {
                bits: value as u8,
                extension: [0; 2],
            },
            13..=268 => Nibble {
                bits: 13,
                extension: [(value - 13) as u8, 0],
            },
            _ => Nibble {
                bits: 14,
                extension: ((value - 269) as u16).to_be_bytes(),
            },
        }
    }

    fn extension(&self) -> &[u8] {
        &self.extension[..usize::from(self.bits.saturating_sub(12))]
    }
}

/// The header of the option that `bytes` begins with: delta, length, and the size of the header. `None` if it is cut
/// short or uses the reserved 15.
pub(super) fn read_header(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let first = *bytes.first()?;
    let mut at = 1;
    let mut extended = |bits: u8| -> Option<usize> {
        match bits {
            13 => {
                at += 1;
                Some(usize::from(*bytes.get(at - 1)?) + 13)
            }
            14 => {
                at += 2;
                Some(usize::from(u16::from_be_bytes([*bytes.get(at - 2)?, *bytes.get(at - 1)?])) + 269)
            }
            15 => None,
            bits => Some(usize::from(bits)),
        }
    };
    let delta = extended(first >> 4)?;
    let length = extended(first & 0x0f)?;
    Some((delta, length, at))
}

/// Options of a message, in order: number and value.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
    number: u16,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (delta, length, header) = read_header(self.rest)?;
        self.number = self.number.wrapping_add(delta as u16);
        let value = self.rest.get(header..header + length)?;
        self.rest = &self.rest[header + length..];
        Some((self.number, value))
    }
}

impl<'a> IntoIterator for &'a Options {
    type Item = (u16, &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.iter()
                    .map(|(number, value)| (number, String::from_utf8_lossy(value))),
            )
            .finish()
    }
}
