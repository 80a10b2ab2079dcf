//! What a message is, at a glance: it is looked into and not parsed, because a search looks at each message of each seed.

use super::Channel;
use crate::history::RegistrationChannel;

const ERRORS: &[(&str, &str)] = &[
    ("BAD_REQUEST", "err BAD_REQUEST"),
    ("UNKNOWN_ENDPOINT", "err UNKNOWN_ENDPOINT"),
    ("TIMEOUT", "err TIMEOUT"),
    ("CANCELLED", "err CANCELLED"),
    ("UNREACHABLE", "err UNREACHABLE"),
    ("REJECTED", "err REJECTED"),
    ("UNDECODABLE", "err UNDECODABLE"),
    ("OUTCOME_UNKNOWN", "err OUTCOME_UNKNOWN"),
    ("GONE", "err GONE"),
    ("OVERLOADED", "err OVERLOADED"),
    ("INTERNAL", "err INTERNAL"),
];

/// True if `text` has `part` in it.
pub fn contains(text: &[u8], part: &str) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The name of what a message says.
pub fn message(channel: Channel, payload: &[u8]) -> Option<&'static str> {
    match channel {
        Channel::Request => None,
        Channel::Response => answer(payload),
        Channel::Registration(RegistrationChannel::New) => Some("REG_NEW"),
        Channel::Registration(RegistrationChannel::Up) => Some("REG_UP"),
        Channel::Registration(RegistrationChannel::Del) => {
            let reasons = ["REG_DEL deregistered", "REG_DEL replaced", "REG_DEL expired"];
            let said = |reason: &&str| contains(payload, &format!("\"reason\":\"{}\"", &reason[8..]));
            reasons.into_iter().find(said)
        }
    }
}

fn answer(payload: &[u8]) -> Option<&'static str> {
    let ack = contains(payload, "\"ack\":true");
    match contains(payload, "\"again\":true") {
        true if ack => Some("copy of the ack"),
        true => Some("copy of the outcome"),
        false if ack => Some("ack"),
        false if contains(payload, "\"resp\":") => Some("resp"),
        false => {
            let is_it = |(code, _): &&(&str, &str)| contains(payload, &format!("\"code\":\"{code}\""));
            ERRORS.iter().find(is_it).map(|(_, effect)| *effect)
        }
    }
}

/// How a ticket ended, from what is said of it.
pub fn outcome_of(body: &[u8]) -> &'static str {
    if body.starts_with(b",\"resp\":") {
        return "an answer";
    }
    let is_it = |(code, _): &&(&str, &str)| contains(body, &format!("\"code\":\"{code}\""));
    ERRORS.iter().find(is_it).map_or("(unknown)", |(code, _)| *code)
}
