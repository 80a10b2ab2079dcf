//! What scripts answer and what they bring about, named for the coverage of a search: read from their replies and from the
//! messages that they publish.
//!
//! In: a script, a status, a message. Out: the name of it. A message is not parsed, only looked into: it is looked at for
//! each step of each searched seed.

use server::store::Script;
use server::store::protocol::orders::OrderKind;
use server::store::protocol::schema::channel;

use crate::dialect::Channel;
use crate::dialect::glance::{self, contains};

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

/// What a message says, by its channel and its text.
pub fn message_effect(channel: &[u8], payload: &[u8]) -> Option<&'static str> {
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
    glance::message(Channel::of(channel)?, payload)
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
