//! Who looks into the cluster of the virtual world while it runs: what was reached, and what happened to one ticket.
//!
//! In: each script with what it published and answered, each arrival, each datagram. Out: a [`Coverage`] of the scripts,
//! and a [`Trace`] for a diagram. A world that nobody watches does none of this.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;

use broker::Record;
use lwm2m::time::Time;
use server::store::{Call, Reply, Script};

use super::trace::{Lane, Trace};
use super::transitions::Transitions;

/// A watch that several parts of a world report to, or none.
pub type Watching = Option<Rc<RefCell<Watch>>>;

/// How often a script answered with a status, or had an effect.
pub type Counts = BTreeMap<(usize, &'static str), u64>;

/// What is seen.
#[derive(Default)]
pub struct Watch {
    /// Statuses by script.
    pub statuses: Counts,
    /// Messages and orders by the script that they came from.
    pub effects: Counts,
    /// What changed its state.
    pub transitions: Transitions,
    /// One ticket's history.
    pub trace: Option<Trace>,
    /// The script that is being executed.
    current: Option<usize>,
    /// What it wrote.
    written: Vec<Record>,
}

/// What [`Watch::statuses`] says of a script that the broker refused.
pub const REFUSED: &str = "(refused)";

impl Watch {
    /// One that follows a ticket.
    pub fn of(trace: Trace) -> Watch {
        Watch {
            trace: Some(trace),
            ..Watch::default()
        }
    }

    /// A script is about to be executed.
    pub fn called(&mut self, now: Time, call: &Call) {
        self.current = Some(call.script.index());
        if let Some(trace) = &mut self.trace {
            trace.called(now, call);
        }
    }

    /// Something was published, by that script or by a back end.
    pub fn published(&mut self, now: Time, channel: &[u8], payload: &[u8]) {
        if let Some(script) = self.current
            && let Some(effect) = message_effect(channel, payload)
        {
            *self.effects.entry((script, effect)).or_default() += 1;
        }
        if let Some(trace) = &mut self.trace {
            trace.published(now, channel, payload);
        }
    }

    /// Something was written down in the data, by that script.
    pub fn wrote(&mut self, records: Vec<Record>) {
        self.written = records;
    }

    /// The script has answered.
    pub fn answered(&mut self, now: Time, call: &Call, reply: &Result<Reply, String>) {
        self.current = None;
        self.transitions.wrote(call, &std::mem::take(&mut self.written));
        let script = call.script.index();
        let status = match reply {
            Ok(reply) => known_status(call.script, reply.status()),
            Err(_) => REFUSED,
        };
        *self.statuses.entry((script, status)).or_default() += 1;
        if let Ok(reply) = reply {
            for n in 1.. {
                let Some(value) = reply.get(n) else { break };
                if let Some(effect) = value.text().and_then(own_order) {
                    *self.effects.entry((script, effect)).or_default() += 1;
                }
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.answered(now, call, status, reply);
        }
    }

    /// Something was seen that only a trace asks for.
    pub fn trace(&mut self, see: impl FnOnce(&mut Trace)) {
        if let Some(trace) = &mut self.trace {
            see(trace);
        }
    }
}

/// For the parts of a world that report to a watch.
pub fn tell(watching: &Watching, see: impl FnOnce(&mut Watch)) {
    if let Some(watch) = watching {
        see(&mut watch.borrow_mut());
    }
}

/// The lane of an instance, from the name of a member or its id.
pub fn lane_of(member: &str) -> Lane {
    let id = member.split('#').next().unwrap_or(member);
    let index = (0..64).find(|&index| crate::scenario::instance_id(index) == id);
    index.map_or(Lane::Broker, |index| Lane::Instance(index as usize))
}

/// Every status with which a script can answer, read from its text.
pub fn statuses(script: Script) -> &'static [&'static str] {
    static ALL: OnceLock<Vec<Vec<&'static str>>> = OnceLock::new();
    &ALL.get_or_init(|| Script::ALL.map(read_statuses).to_vec())[script.index()]
}

fn read_statuses(script: Script) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    // A join is the one script about members that asks nobody who speaks.
    let speaker = ["return nil, "].into_iter().filter(|_| script != Script::Join);
    let openings = [
        "step(",
        "reply[1] = ",
        "reply = {",
        "return {",
        "return {deaf and ",
        "'DEAF' or ",
    ];
    let openings: Vec<&str> = openings.into_iter().chain(speaker).collect();
    for opening in openings {
        let opening = format!("{opening}'");
        for (at, _) in script.source().match_indices(&opening) {
            let rest = &script.source()[at + opening.len()..];
            let word = rest.split('\'').next().unwrap_or_default();
            if !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_uppercase())
                && !found.contains(&word)
            {
                found.push(word);
            }
        }
    }
    found.sort_unstable();
    found
}

fn known_status(script: Script, status: &str) -> &'static str {
    let known = statuses(script).iter().find(|known| **known == status);
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

fn message_effect(channel: &[u8], payload: &[u8]) -> Option<&'static str> {
    if channel.ends_with(b"LESHAN_REG_NEW") {
        return Some("REG_NEW");
    } else if channel.ends_with(b"LESHAN_REG_UP") {
        return Some("REG_UP");
    } else if channel.ends_with(b"LESHAN_REG_DEL") {
        let reasons = ["REG_DEL deregistered", "REG_DEL replaced", "REG_DEL expired"];
        let said = |reason: &&str| contains(payload, &format!("\"reason\":\"{}\"", &reason[8..]));
        return reasons.into_iter().find(said);
    } else if channel.ends_with(b"lwm2m:members") {
        return Some("view");
    } else if contains(channel, "lwm2m:i:") {
        return match payload.first()? {
            b'D' => Some("dispatch to another"),
            b'S' => Some("stop another"),
            b'A' => Some("begin anew another"),
            b'M' => Some("new address another"),
            b'F' => Some("forward"),
            b'T' => Some("mark"),
            b'H' => Some("heartbeat"),
            _ => None,
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
fn own_order(text: &str) -> Option<&'static str> {
    match text.split_once('\n')?.0 {
        "D" => Some("dispatch to itself"),
        "S" => Some("stop itself"),
        "A" => Some("begin anew itself"),
        "M" => Some("new address itself"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_of_a_script_are_read_from_its_text() {
        assert_eq!(
            statuses(Script::Accept),
            [
                "GENERATION",
                "KNOWN",
                "LEASE",
                "OK",
                "OPEN",
                "OWN",
                "REFUSED",
                "TERM"
            ]
        );
        assert_eq!(
            statuses(Script::Renew),
            ["DEAD", "DEAF", "LEASE", "OK", "UNKNOWN"]
        );
        assert_eq!(
            statuses(Script::Join),
            ["DIALECT", "FULL", "HELD", "OK", "PARTITIONS"]
        );
        assert_eq!(
            statuses(Script::Update),
            ["DUPLICATE", "GENERATION", "LEASE", "OK", "UNKNOWN"]
        );
        assert_eq!(statuses(Script::Take), ["GENERATION", "LEASE", "OK", "VIEW"]);
        assert!(Script::ALL.iter().all(|script| statuses(*script).contains(&"OK")));
    }

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
        assert_eq!(own_order("D\n0011"), Some("dispatch to itself"));
    }
}
