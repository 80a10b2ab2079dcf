//! What scripts answer and what they bring about, named for the coverage of a search: read from their replies and from the
//! messages that they publish.
//!
//! In: a script, a status, a message. Out: the name of it. A message is not parsed, only looked into: it is looked at for
//! each step of each searched seed.

use server::store::Script;
use server::store::protocol::orders::OrderKind;
use server::store::protocol::schema::channel;

use crate::dialect::Channel;
use crate::history::RegistrationChannel;

/// The status as it is known; it lives as long as the text of the script.
pub fn known_status(script: Script, status: &str) -> &'static str {
    let known = script.statuses().iter().find(|known| **known == status);
    known.copied().unwrap_or("(unknown)")
}

/// Every effect that a script is known to have, beside its status.
pub const EFFECTS: &[(Script, &[&str])] = &[
    (Script::Join, &["view"]),
    (Script::Renew, &["heartbeat", "view"]),
    (Script::MarkDead, &["view"]),
    (Script::Leave, &["view"]),
    (Script::Take, &["mark"]),
    (
        Script::Accept,
        &[
            "ack",
            "copy of the ack",
            "copy of the outcome",
            "dispatch to itself",
            "dispatch to another",
            "err UNKNOWN_ENDPOINT",
            "err OVERLOADED",
            "err BAD_REQUEST",
        ],
    ),
    (
        Script::Finish,
        &[
            "resp",
            "stop itself",
            "stop another",
            "dispatch to itself",
            "dispatch to another",
            "err UNREACHABLE",
            "err REJECTED",
            "err UNDECODABLE",
        ],
    ),
    (Script::Forward, &["forward"]),
    (
        Script::Sweep,
        &[
            "err TIMEOUT",
            "err OUTCOME_UNKNOWN",
            "dispatch to itself",
            "dispatch to another",
            "stop itself",
            "stop another",
        ],
    ),
    (
        Script::Expire,
        &[
            "REG_DEL expired",
            "err GONE",
            "err OUTCOME_UNKNOWN",
            "stop another",
            "stop itself",
        ],
    ),
    (
        Script::Register,
        &[
            "REG_NEW",
            "REG_DEL replaced",
            "err OUTCOME_UNKNOWN",
            "begin anew itself",
            "begin anew another",
            "dispatch to itself",
            "dispatch to another",
        ],
    ),
    (
        Script::Update,
        &[
            "REG_UP",
            "new address itself",
            "new address another",
            "dispatch to itself",
            "dispatch to another",
        ],
    ),
    (
        Script::Deregister,
        &[
            "REG_DEL deregistered",
            "err GONE",
            "err OUTCOME_UNKNOWN",
            "stop another",
            "stop itself",
        ],
    ),
];

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

/// What a message says, by its channel and its text.
pub fn message_effect(channel: &[u8], payload: &[u8]) -> Option<&'static str> {
    match Channel::of(channel) {
        Some(Channel::Registration(RegistrationChannel::New)) => return Some("REG_NEW"),
        Some(Channel::Registration(RegistrationChannel::Up)) => return Some("REG_UP"),
        Some(Channel::Registration(RegistrationChannel::Del)) => {
            let reasons = ["REG_DEL deregistered", "REG_DEL replaced", "REG_DEL expired"];
            let said = |reason: &&str| contains(payload, &format!("\"reason\":\"{}\"", &reason[8..]));
            return reasons.into_iter().find(said);
        }
        Some(Channel::Request | Channel::Response) | None => {}
    }
    if channel.ends_with(b"lwm2m:members") {
        return Some("view");
    } else if contains(channel, channel::MEMBER) {
        return match OrderKind::of(payload)? {
            OrderKind::Dispatch => Some("dispatch to another"),
            OrderKind::Stop => Some("stop another"),
            OrderKind::Anew => Some("begin anew another"),
            OrderKind::Moved => Some("new address another"),
            OrderKind::Forward => Some("forward"),
            OrderKind::Mark => Some("mark"),
            OrderKind::Heartbeat => Some("heartbeat"),
            OrderKind::Expiry | OrderKind::View => None,
        };
    }
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

/// What the caller of a script is told to do in its reply.
pub fn own_order(order: OrderKind) -> Option<&'static str> {
    match order {
        OrderKind::Dispatch => Some("dispatch to itself"),
        OrderKind::Stop => Some("stop itself"),
        OrderKind::Anew => Some("begin anew itself"),
        OrderKind::Moved => Some("new address itself"),
        OrderKind::Expiry | OrderKind::Heartbeat | OrderKind::Mark | OrderKind::Forward | OrderKind::View => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_named_for_what_it_does() {
        let effect = |channel: &str, payload: &str| message_effect(channel.as_bytes(), payload.as_bytes());
        assert_eq!(
            effect("LESHAN_RESP", r#"{"ticket":"t","ack":true,"by":"A#1"}"#),
            Some("ack")
        );
        assert_eq!(
            effect(
                "LESHAN_RESP",
                r#"{"ticket":"t","err":{"code":"GONE"},"again":true,"by":"A#1"}"#
            ),
            Some("copy of the outcome")
        );
        assert_eq!(
            effect("x:LESHAN_RESP", r#"{"err":{"code":"GONE"}}"#),
            Some("err GONE")
        );
        assert_eq!(
            effect("LESHAN_REG_DEL", r#"{"reason":"expired"}"#),
            Some("REG_DEL expired")
        );
        assert_eq!(effect("lwm2m:i:A#1", "D\n0011"), Some("dispatch to another"));
        assert_eq!(own_order(OrderKind::Dispatch), Some("dispatch to itself"));
    }
}
