//! Options (RFC 7252, 3.1 and 5.10): their numbers, and the ordered list that a message carries.
//!
//! [`Options`] keeps the list as it stands in a datagram, deltas and all: decoding checks it and copies it once,
//! encoding copies it once, and a message with twenty options has one allocation for them.

use std::str::Utf8Error;
use std::{fmt, str};

/// What is known of one option: RFC 7252, 5.10 and table 4; RFC 7641, 7959, 8613, 8768, 9175, 9177.
struct Definition {
    number: u16,
    name: &'static str,
    shortest: usize,
    longest: usize,
    repeatable: bool,
}

/// One table for the constants, their names and their rules.
macro_rules! options {
    ($($constant:ident = $number:literal $name:literal $shortest:literal..=$longest:literal $times:ident;)*) => {
        $(
            #[doc = $name]
            pub const $constant: u16 = $number;
        )*

        const DEFINITIONS: &[Definition] = &[
            $(Definition {
                number: $number,
                name: $name,
                shortest: $shortest,
                longest: $longest,
                repeatable: $times,
            },)*
        ];
    };
}

const ONCE: bool = false;
const MANY: bool = true;

options! {
    IF_MATCH = 1 "If-Match" 0..=8 MANY;
    URI_HOST = 3 "Uri-Host" 1..=255 ONCE;
    ETAG = 4 "ETag" 1..=8 MANY;
    IF_NONE_MATCH = 5 "If-None-Match" 0..=0 ONCE;
    OBSERVE = 6 "Observe" 0..=3 ONCE;
    URI_PORT = 7 "Uri-Port" 0..=2 ONCE;
    LOCATION_PATH = 8 "Location-Path" 0..=255 MANY;
    OSCORE = 9 "OSCORE" 0..=255 ONCE;
    URI_PATH = 11 "Uri-Path" 0..=255 MANY;
    CONTENT_FORMAT = 12 "Content-Format" 0..=2 ONCE;
    MAX_AGE = 14 "Max-Age" 0..=4 ONCE;
    URI_QUERY = 15 "Uri-Query" 0..=255 MANY;
    HOP_LIMIT = 16 "Hop-Limit" 1..=1 ONCE;
    ACCEPT = 17 "Accept" 0..=2 ONCE;
    Q_BLOCK1 = 19 "Q-Block1" 0..=3 ONCE;
    LOCATION_QUERY = 20 "Location-Query" 0..=255 MANY;
    BLOCK2 = 23 "Block2" 0..=3 ONCE;
    BLOCK1 = 27 "Block1" 0..=3 ONCE;
    SIZE2 = 28 "Size2" 0..=4 ONCE;
    Q_BLOCK2 = 31 "Q-Block2" 0..=3 MANY;
    PROXY_URI = 35 "Proxy-Uri" 1..=1034 ONCE;
    PROXY_SCHEME = 39 "Proxy-Scheme" 1..=255 ONCE;
    SIZE1 = 60 "Size1" 0..=4 ONCE;
    ECHO = 252 "Echo" 1..=40 ONCE;
    NO_RESPONSE = 258 "No-Response" 0..=1 ONCE;
    REQUEST_TAG = 292 "Request-Tag" 0..=8 MANY;
}

/// A receiver that does not know a critical option has to refuse the message (RFC 7252, 5.4.1).
pub const fn is_critical(number: u16) -> bool {
    number & 1 == 1
}

/// A proxy that does not know an unsafe option must not pass the message on (RFC 7252, 5.4.2).
pub const fn is_unsafe(number: u16) -> bool {
    number & 2 == 2
}

/// The name of an option in its RFC, if it is known.
pub fn name(number: u16) -> Option<&'static str> {
    definition(number).map(|definition| definition.name)
}

fn definition(number: u16) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.number == number)
}

/// A critical option because of which a message has to be refused.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct BadOption {
    /// Its number.
    pub number: u16,
    /// What is wrong with it.
    pub fault: OptionFault,
}

/// What is wrong with an option: RFC 7252, 5.4.1, 5.4.3 and 5.4.5.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum OptionFault {
    /// The receiver does not understand it in such a message.
    Unknown,
    /// Its value is shorter or longer than it may be; so many bytes.
    Length(usize),
    /// It may appear only once.
    Repeated,
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = definition(self.number);
        match known {
            Some(definition) => write!(f, "option {} ({})", self.number, definition.name)?,
            None => write!(f, "critical option {}", self.number)?,
        }
        match (self.fault, known) {
            (OptionFault::Unknown, _) => f.write_str(" is not supported here"),
            (OptionFault::Repeated, _) => f.write_str(" may appear only once"),
            (
                OptionFault::Length(found),
                Some(Definition {
                    shortest, longest, ..
                }),
            ) => {
                write!(f, " has {shortest} to {longest} bytes, found {found}")
            }
            (OptionFault::Length(found), None) => write!(f, " has a length of {found}"),
        }
    }
}

impl std::error::Error for BadOption {}

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

    /// The first critical option that is not in `known`, or that breaks its rules (RFC 7252, 5.4.1, 5.4.3 and 5.4.5).
    pub fn bad_critical(&self, known: &[u16]) -> Option<BadOption> {
        self.faults(known)
            .find(|(number, _, fault)| is_critical(*number) && fault.is_some())
            .and_then(|(number, _, fault)| {
                Some(BadOption {
                    number,
                    fault: fault?,
                })
            })
    }

    /// Takes away the elective options that break their rules: they count as unknown, and those are ignored (RFC 7252,
    /// 5.4.1, 5.4.3 and 5.4.5).
    pub fn drop_bad_elective(&mut self) {
        let bad =
            |(number, _, fault): &(u16, &[u8], Option<OptionFault>)| !is_critical(*number) && fault.is_some();
        if self.faults(&[]).any(|option| bad(&option)) {
            let mut kept = Options::new();
            for option in self.faults(&[]).filter(|option| !bad(option)) {
                kept.append(option.0, option.1);
            }
            *self = kept;
        }
    }

    /// Each option with what is wrong with it. Only a critical one can be unknown.
    fn faults<'a>(&'a self, known: &'a [u16]) -> impl Iterator<Item = (u16, &'a [u8], Option<OptionFault>)> {
        let mut previous = None;
        self.iter().map(move |(number, value)| {
            let again = previous.replace(number) == Some(number);
            let fault = match definition(number) {
                _ if is_critical(number) && !known.contains(&number) => Some(OptionFault::Unknown),
                Some(rule) if value.len() < rule.shortest || value.len() > rule.longest => {
                    Some(OptionFault::Length(value.len()))
                }
                Some(rule) if again && !rule.repeatable => Some(OptionFault::Repeated),
                _ => None,
            };
            (number, value, fault)
        })
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
