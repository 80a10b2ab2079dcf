//! The envelope of a request: whose it is, which ticket it has, how long it may take. Every instance opens every
//! envelope, to learn whose partition it is in, so nothing but the envelope is read here; `req` stays raw.
//!
//! What is malformed is answered only if its ticket can be read (northbound contract, rule 7), so after a failure a
//! second, tolerant reading looks for the ticket in what stands before the break.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{members, shortened, text};

/// The longest payload that is read as a request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// The longest ticket, in bytes.
pub const MAX_TICKET_BYTES: usize = 128;
/// The longest endpoint name, in bytes.
pub const MAX_ENDPOINT_BYTES: usize = lwm2m::registration::MAX_ENDPOINT_BYTES;
/// The longest name of a channel for answers, in bytes.
pub const MAX_CHANNEL_BYTES: usize = 255;
/// The time within which a ticket ends if its request names none, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 120_000;
/// The longest time within which a ticket ends, in milliseconds: a day.
pub const MAX_TIMEOUT_MS: u64 = 24 * 3600 * 1000;

/// What a payload on the request channel turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A request, as far as the envelope goes.
    Request(Envelope<'a>),
    /// To be answered once, with `BAD_REQUEST`.
    Malformed(Malformed<'a>),
    /// Nobody can be answered; to be counted. The text says why.
    Ignored(&'static str),
}

/// The envelope of a request. It borrows from the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The endpoint that is asked.
    pub ep: Cow<'a, str>,
    /// The back end's name for this request, 1 to [`MAX_TICKET_BYTES`] bytes.
    pub ticket: Cow<'a, str>,
    /// The request itself, a JSON object; see [`Request::parse`](super::Request::parse).
    pub req: &'a str,
    /// The time within which the ticket ends, 1 to [`MAX_TIMEOUT_MS`].
    pub timeout_ms: u64,
    /// The channel for the answers, if not the common one.
    pub reply_to: Option<Cow<'a, str>>,
}

/// A payload that is wrong but has a readable ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// The endpoint, if one could be read. It decides who answers; otherwise the ticket does.
    pub ep: Option<Cow<'a, str>>,
    /// The ticket.
    pub ticket: Cow<'a, str>,
    /// The channel for the answer, if one could be read and is allowed.
    pub reply_to: Option<Cow<'a, str>>,
    /// What is wrong, for a person.
    pub reason: String,
}

/// The members that can be read, each as far as it is what it should be.
#[derive(Default)]
struct Addressing<'a> {
    ep: Option<Cow<'a, str>>,
    ticket: Option<Cow<'a, str>>,
    reply_to: Option<Cow<'a, str>>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of `payload`. `response_channel` is the common channel for answers, prefix included; only
    /// channels whose name starts with it may be asked for.
    pub fn scan(payload: &'a [u8], response_channel: &str) -> Scan<'a> {
        let (addressing, outcome) = match strict(payload, response_channel) {
            Ok(read) => read,
            Err(reason) => (tolerant(payload, response_channel), Err(reason)),
        };
        let Some(ticket) = addressing.ticket else {
            return Scan::Ignored("no member `ticket` with a string of 1 to 128 bytes could be read");
        };
        let Addressing { ep, reply_to, .. } = addressing;
        match (outcome, ep) {
            (Ok((req, timeout_ms)), Some(ep)) => Scan::Request(Envelope {
                ep,
                ticket,
                req,
                timeout_ms,
                reply_to,
            }),
            (Err(reason), ep) => Scan::Malformed(Malformed {
                // It becomes part of keys and of what is published.
                ep: ep.filter(|ep| ep.len() <= MAX_ENDPOINT_BYTES),
                ticket,
                reply_to,
                reason,
            }),
            (Ok(_), ep @ None) => {
                let reason = "the member `ep` must be a string with the endpoint's name".to_owned();
                Scan::Malformed(Malformed {
                    ep,
                    ticket,
                    reply_to,
                    reason,
                })
            }
        }
    }
}

/// The raw request and the timeout, or what is wrong with the envelope.
type Content<'a> = Result<(&'a str, u64), String>;

/// Reads valid JSON. The outer error is for what is not even that.
fn strict<'a>(payload: &'a [u8], response_channel: &str) -> Result<(Addressing<'a>, Content<'a>), String> {
    if payload.len() > MAX_REQUEST_BYTES {
        return Err(format!(
            "a request has at most {MAX_REQUEST_BYTES} bytes, found {}",
            payload.len()
        ));
    }
    let json = std::str::from_utf8(payload).map_err(|error| format!("not UTF-8: {error}"))?;
    let names = ["ep", "ticket", "req", "timeout", "replyTo"];
    let [ep, ticket, req, timeout, reply_to] =
        members(json, names).map_err(|error| format!("not a JSON object: {error}"))?;
    let readable = |value: Option<&'a RawValue>| value.and_then(|value| text(value.get()));
    let addressing = Addressing {
        ep: readable(ep).filter(|ep| !ep.is_empty()),
        ticket: readable(ticket).filter(|ticket| is_ticket(ticket)),
        reply_to: readable(reply_to).filter(|channel| is_allowed(channel, response_channel)),
    };
    let content = content(&addressing, req, timeout, reply_to, response_channel);
    Ok((addressing, content))
}

fn content<'a>(
    addressing: &Addressing<'_>,
    req: Option<&'a RawValue>,
    timeout: Option<&RawValue>,
    reply_to: Option<&RawValue>,
    response_channel: &str,
) -> Content<'a> {
    if let Some(ep) = &addressing.ep
        && ep.len() > MAX_ENDPOINT_BYTES
    {
        return Err(format!(
            "an endpoint name has at most {MAX_ENDPOINT_BYTES} bytes, found {}",
            ep.len()
        ));
    }
    if let Some(reply_to) = reply_to
        && addressing.reply_to.is_none()
    {
        return Err(format!(
            "`replyTo` must be a string of at most {MAX_CHANNEL_BYTES} bytes that starts with {response_channel}, \
             found {}",
            shortened(reply_to.get())
        ));
    }
    let timeout_ms = timeout.map_or(Ok(DEFAULT_TIMEOUT_MS), |timeout| timeout_ms(timeout.get()))?;
    match req.map(RawValue::get) {
        Some(req) if req.starts_with('{') => Ok((req, timeout_ms)),
        Some(other) => Err(format!(
            "the member `req` must be an object, found {}",
            shortened(other)
        )),
        None => Err("the member `req`, an object, is missing".to_owned()),
    }
}

/// A positive integer of any size; what is beyond the limit counts as the limit.
fn timeout_ms(json: &str) -> Result<u64, String> {
    let integer = json.bytes().all(|byte| byte.is_ascii_digit());
    let milliseconds = if integer {
        json.parse().unwrap_or(u64::MAX)
    } else {
        0
    };
    if milliseconds == 0 {
        return Err(format!(
            "`timeout` must be a positive integer of milliseconds, found {}",
            shortened(json)
        ));
    }
    Ok(milliseconds.min(MAX_TIMEOUT_MS))
}

fn is_ticket(ticket: &str) -> bool {
    (1..=MAX_TICKET_BYTES).contains(&ticket.len())
}

fn is_allowed(channel: &str, response_channel: &str) -> bool {
    channel.len() <= MAX_CHANNEL_BYTES && channel.starts_with(response_channel)
}

/// Finds what can be found in broken JSON: the string members of the outermost object before the break. Inner objects
/// and arrays are skipped by their brackets alone, so a mistake inside them does not hide what follows.
fn tolerant<'a>(payload: &'a [u8], response_channel: &str) -> Addressing<'a> {
    let mut found = Addressing::default();
    let mut scanner = Scanner {
        payload: &payload[..payload.len().min(MAX_REQUEST_BYTES)],
        at: 0,
    };
    if !scanner.skip(b'{') {
        return found;
    }
    while let Some((name, value)) = scanner.member() {
        let value = value.and_then(string);
        match string(name).as_deref() {
            Some("ep") => found.ep = value.filter(|ep| !ep.is_empty()),
            Some("ticket") => found.ticket = value.filter(|ticket| is_ticket(ticket)),
            Some("replyTo") => {
                found.reply_to = value.filter(|channel| is_allowed(channel, response_channel));
            }
            _ => {}
        }
        if !scanner.skip(b',') {
            break;
        }
    }
    found
}

fn string(json: &[u8]) -> Option<Cow<'_, str>> {
    text(std::str::from_utf8(json).ok()?)
}

/// Walks over the members of an object that may break off anywhere.
struct Scanner<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self
            .payload
            .get(self.at)
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        {
            self.at += 1;
        }
        self.payload.get(self.at).copied()
    }

    fn skip(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// The next member's name, and its value if that is a string; `None` where the object breaks off.
    fn member(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        self.peek().filter(|byte| *byte == b'"')?;
        let name = self.string()?;
        if !self.skip(b':') {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(|value| (name, Some(value))),
            b'{' | b'[' => self.nested().map(|()| (name, None)),
            _ => self.scalar().map(|()| (name, None)),
        }
    }

    /// The string that starts here, with its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.at += 1;
        loop {
            match *self.payload.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.payload[start..self.at]);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Skips the object or array that starts here.
    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Skips a number or word, which something must follow to show that it is complete.
    fn scalar(&mut self) -> Option<()> {
        loop {
            match self.payload.get(self.at)? {
                b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n' => return Some(()),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests;
