//! The JSON of a request, and the little that a back end reads in an answer (`wiki` dialect, northbound interface).
//!
//! Every changing request carries its ticket as the value that the device is to see, so that the ledger of a device can
//! be matched with the tickets, whoever executed them.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::load::Operation;
use crate::operation::RequestKind;

/// The writable string resource of an object that an instance-level `write` changes: Timezone of Device (LwM2M core
/// TS, Annex E.4) and Application Type of Temperature (IPSO 3303).
const WRITABLE_STRINGS: [(u16, u16); 2] = [(3, 15), (3303, 5750)];

/// Checks, when a scenario is read, that a request of this kind can be made for this path; else says what is expected.
pub fn check_path(kind: RequestKind, path: &[u16]) -> Result<(), &'static str> {
    match (kind, path) {
        (RequestKind::Read, [_, ..]) if path.len() <= 4 => Ok(()),
        (RequestKind::Read, _) => Err("a path such as \"/3\", \"/3/0\" or \"/3/0/0\" for read"),
        (RequestKind::Write, [_, _, _]) => Ok(()),
        (RequestKind::Write, _) => Err("the path of a resource, such as \"/3/0/15\", for write"),
        (RequestKind::WriteUpdate, &[object, _]) if writable_string(object).is_some() => Ok(()),
        (RequestKind::WriteUpdate, _) => {
            Err("the path of an instance with a string to change, \"/3/0\" or \"/3303/0\", for write-update")
        }
        (RequestKind::Execute, [_, _, _]) | (RequestKind::Malformed, _) => Ok(()),
        (RequestKind::Execute, _) => Err("the path of a resource, such as \"/3303/0/5605\", for execute"),
    }
}

/// A request as it is published, and what the device is to see of it.
pub struct Envelope {
    /// The JSON for the request channel.
    pub payload: String,
    /// The written value or the argument.
    pub argument: Option<String>,
}

#[derive(Serialize)]
struct Published<'a> {
    ep: &'a str,
    ticket: &'a str,
    req: Body<'a>,
    timeout: u64,
}

#[derive(Serialize)]
struct Body<'a> {
    kind: &'static str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Node<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Node<'a> {
    SingleResource {
        id: u16,
        #[serde(rename = "type")]
        value_type: &'static str,
        value: &'a str,
    },
    Instance {
        id: u16,
        resources: Vec<Node<'a>>,
    },
}

impl Envelope {
    /// The request for an operation whose path passed [`check_path`].
    pub fn new(endpoint: &str, ticket: &str, operation: &Operation, timeout_ms: u64) -> Self {
        // Arguments of Execute are a list of digits with optional quoted values (LwM2M core TS, section 6.3.5).
        let argument = match operation.kind {
            RequestKind::Read | RequestKind::Malformed => None,
            RequestKind::Write | RequestKind::WriteUpdate => Some(ticket.to_owned()),
            RequestKind::Execute => Some(format!("0='{ticket}'")),
        };
        let mode = match operation.kind {
            RequestKind::Write => Some("REPLACE"),
            RequestKind::WriteUpdate => Some("UPDATE"),
            RequestKind::Read | RequestKind::Execute | RequestKind::Malformed => None,
        };
        let req = Body {
            kind: operation.kind.northbound(),
            path: &operation.path,
            mode,
            node: mode.and_then(|_| node(&operation.path, ticket)),
            parameters: argument
                .as_deref()
                .filter(|_| operation.kind == RequestKind::Execute),
        };
        let published = Published {
            ep: endpoint,
            ticket,
            req,
            timeout: timeout_ms,
        };
        let mut payload = serde_json::to_string(&published).expect("strings and numbers always serialise");
        if operation.kind == RequestKind::Malformed {
            payload.pop();
        }
        Envelope { payload, argument }
    }
}

/// The node that writes `value`: the resource itself, or the instance with its one writable string.
fn node<'a>(path: &str, value: &'a str) -> Option<Node<'a>> {
    let resource = |id| Node::SingleResource {
        id,
        value_type: "string",
        value,
    };
    match *ids(path)?.as_slice() {
        [_, _, id] => Some(resource(id)),
        [object, id] => Some(Node::Instance {
            id,
            resources: vec![resource(writable_string(object)?)],
        }),
        _ => None,
    }
}

fn writable_string(object: u16) -> Option<u16> {
    WRITABLE_STRINGS
        .iter()
        .find(|(known, _)| *known == object)
        .map(|&(_, resource)| resource)
}

/// The numbers of a path of one to four parts.
fn ids(path: &str) -> Option<Vec<u16>> {
    let ids: Option<Vec<u16>> = path
        .strip_prefix('/')?
        .split('/')
        .map(|part| part.parse().ok())
        .collect();
    ids.filter(|ids| ids.len() <= 4 && !ids.contains(&u16::MAX))
}

/// What a back end has to read in an answer to know where its ticket stands.
#[derive(Deserialize)]
pub struct Answer<'a> {
    /// The endpoint; absent in the `leshan` dialect.
    #[serde(borrow)]
    pub ep: Option<Cow<'a, str>>,
    /// The ticket that it belongs to.
    #[serde(borrow)]
    pub ticket: Cow<'a, str>,
    /// True if this is the ack.
    #[serde(default)]
    pub ack: bool,
    /// The device's answer, which ends the ticket.
    pub resp: Option<IgnoredAny>,
    /// An error, which ends the ticket.
    pub err: Option<IgnoredAny>,
    /// Who said it: `A#1`.
    #[serde(borrow)]
    pub by: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(kind: RequestKind, path: &str) -> Operation {
        Operation {
            kind,
            path: path.into(),
        }
    }

    fn payload(kind: RequestKind, path: &str) -> String {
        let operation = operation(kind, path);
        assert_eq!(check_path(kind, &ids(path).unwrap()), Ok(()));
        Envelope::new("dev-1", "t1", &operation, 5000).payload
    }

    #[test]
    fn each_kind_is_published_in_the_shape_of_the_interface() {
        assert_eq!(
            payload(RequestKind::Read, "/3/0/0"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"read","path":"/3/0/0"},"timeout":5000}"#
        );
        assert_eq!(
            payload(RequestKind::Write, "/3/0/15"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"write","path":"/3/0/15","mode":"REPLACE","node":{"kind":"singleresource","id":15,"type":"string","value":"t1"}},"timeout":5000}"#
        );
        assert_eq!(
            payload(RequestKind::WriteUpdate, "/3/0"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"write","path":"/3/0","mode":"UPDATE","node":{"kind":"instance","id":0,"resources":[{"kind":"singleresource","id":15,"type":"string","value":"t1"}]}},"timeout":5000}"#
        );
        assert_eq!(
            payload(RequestKind::Execute, "/3/0/4"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"execute","path":"/3/0/4","parameters":"0='t1'"},"timeout":5000}"#
        );
        assert_eq!(
            payload(RequestKind::Malformed, "/3/0/0"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"read","path":"/3/0/0"},"timeout":5000"#
        );
    }

    #[test]
    fn a_path_that_does_not_fit_the_kind_is_refused_with_what_is_expected() {
        let expected = |kind, path: &[u16]| check_path(kind, path).unwrap_err();
        assert!(expected(RequestKind::WriteUpdate, &[3, 0, 15]).contains("\"/3/0\""));
        assert!(expected(RequestKind::WriteUpdate, &[5, 0]).contains("\"/3303/0\""));
        assert!(expected(RequestKind::Write, &[3, 0]).contains("\"/3/0/15\""));
        assert!(expected(RequestKind::Execute, &[3, 0]).contains("a resource"));
        assert!(expected(RequestKind::Read, &[3, 0, 0, 0, 0]).contains("for read"));
        assert_eq!(check_path(RequestKind::Read, &[3, 0, 6, 0]), Ok(()));
    }

    #[test]
    fn answers_are_read_whatever_else_they_hold() {
        let answer: Answer = serde_json::from_str(
            r#"{"ep":"e","ticket":"t\u0031","err":{"code":"TIMEOUT","sent":true},"by":"A#1"}"#,
        )
        .unwrap();
        assert_eq!((answer.ticket.as_ref(), answer.ack), ("t1", false));
        assert!(answer.resp.is_none() && answer.err.is_some());
    }
}
