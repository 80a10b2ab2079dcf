//! The JSON of a request, and the little that a back end reads in an answer (`wiki` dialect, northbound interface).
//!
//! Every changing request carries its ticket as the value that the device is to see, so that the ledger of a device can
//! be matched with the tickets, whoever executed them.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::load::{Kind, Operation};

/// The writable string resource of an object that an instance-level `write` changes: Timezone of Device (LwM2M core
/// TS, Annex E.4) and Application Type of Temperature (IPSO 3303).
const WRITABLE_STRINGS: [(u16, u16); 2] = [(3, 15), (3303, 5750)];

/// An operation of a load that cannot be put into a request.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum OperationError {
    /// The path is no LwM2M path.
    #[error("`{path}` is not an LwM2M path: expected /object/instance/resource with numbers from 0 to 65534")]
    BadPath {
        /// The path as given.
        path: String,
    },
    /// The path has the wrong number of parts for the operation.
    #[error("`{kind}` needs {expected}, but the path is `{path}`")]
    WrongLevel {
        /// The kind of request.
        kind: &'static str,
        /// What it needs.
        expected: &'static str,
        /// The path as given.
        path: String,
    },
    /// An instance-level write to an object for which no writable string is known.
    #[error(
        "a `write` to the instance `{path}` needs to know a writable string of object {object}: known are /3/0 and /3303/0; write to a resource instead"
    )]
    UnknownObject {
        /// The path as given.
        path: String,
        /// The object of the path.
        object: u16,
    },
}

/// Checks once, before a run, that requests can be made from this operation.
pub fn check_operation(operation: &Operation) -> Result<(), OperationError> {
    let path = operation.path.to_string();
    let ids = ids(&operation.path).ok_or_else(|| OperationError::BadPath { path: path.clone() })?;
    let kind = operation.kind.name();
    let wrong = |expected| {
        Err(OperationError::WrongLevel {
            kind,
            expected,
            path: path.clone(),
        })
    };
    match (operation.kind, ids.as_slice()) {
        (Kind::Read, _) | (Kind::Execute, [_, _, _]) | (Kind::WriteReplace, [_, _, _]) => Ok(()),
        (Kind::Execute, _) => wrong("a resource (/3/0/4)"),
        (Kind::WriteReplace | Kind::WriteUpdate, &[object, _]) => match writable_string(object) {
            Some(_) => Ok(()),
            None => Err(OperationError::UnknownObject { path, object }),
        },
        (Kind::WriteReplace, _) => wrong("a resource (/3/0/15) or an instance (/3/0)"),
        (Kind::WriteUpdate, _) => wrong("an instance (/3/0), because a POST to a resource is an execute"),
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
    /// The request for an operation that passed [`check_operation`].
    pub fn new(endpoint: &str, ticket: &str, operation: &Operation, timeout_ms: u64) -> Self {
        // Arguments of Execute are a list of digits with optional quoted values (LwM2M core TS, section 6.3.5).
        let argument = match operation.kind {
            Kind::Read => None,
            Kind::WriteReplace | Kind::WriteUpdate => Some(ticket.to_owned()),
            Kind::Execute => Some(format!("0='{ticket}'")),
        };
        let is_write = matches!(operation.kind, Kind::WriteReplace | Kind::WriteUpdate);
        let req = Body {
            kind: operation.kind.name(),
            path: &operation.path,
            mode: is_write.then_some(if operation.kind == Kind::WriteUpdate {
                "UPDATE"
            } else {
                "REPLACE"
            }),
            node: if is_write {
                node(&operation.path, ticket)
            } else {
                None
            },
            parameters: argument.as_deref().filter(|_| operation.kind == Kind::Execute),
        };
        let published = Published {
            ep: endpoint,
            ticket,
            req,
            timeout: timeout_ms,
        };
        let payload = serde_json::to_string(&published).expect("strings and numbers always serialise");
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(kind: Kind, path: &str) -> Operation {
        Operation {
            kind,
            path: path.into(),
        }
    }

    fn payload(kind: Kind, path: &str) -> String {
        let operation = operation(kind, path);
        assert_eq!(check_operation(&operation), Ok(()));
        Envelope::new("dev-1", "t1", &operation, 5000).payload
    }

    #[test]
    fn each_kind_is_published_in_the_shape_of_the_interface() {
        assert_eq!(
            payload(Kind::Read, "/3/0/0"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"read","path":"/3/0/0"},"timeout":5000}"#
        );
        assert_eq!(
            payload(Kind::WriteReplace, "/3/0/15"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"write","path":"/3/0/15","mode":"REPLACE","node":{"kind":"singleresource","id":15,"type":"string","value":"t1"}},"timeout":5000}"#
        );
        assert_eq!(
            payload(Kind::WriteUpdate, "/3/0"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"write","path":"/3/0","mode":"UPDATE","node":{"kind":"instance","id":0,"resources":[{"kind":"singleresource","id":15,"type":"string","value":"t1"}]}},"timeout":5000}"#
        );
        assert_eq!(
            payload(Kind::Execute, "/3/0/4"),
            r#"{"ep":"dev-1","ticket":"t1","req":{"kind":"execute","path":"/3/0/4","parameters":"0='t1'"},"timeout":5000}"#
        );
    }

    #[test]
    fn an_operation_that_no_request_can_say_is_refused_with_the_reason() {
        let message = |kind, path| check_operation(&operation(kind, path)).unwrap_err().to_string();
        assert_eq!(
            message(Kind::WriteUpdate, "/3/0/15"),
            "`write` needs an instance (/3/0), because a POST to a resource is an execute, but the path is `/3/0/15`"
        );
        assert!(message(Kind::Execute, "/3/0").contains("a resource (/3/0/4)"));
        assert!(message(Kind::Read, "3/0").contains("not an LwM2M path"));
        assert!(message(Kind::Read, "/3/0/0/0/0").contains("not an LwM2M path"));
        assert!(message(Kind::WriteUpdate, "/5/0").contains("object 5"));
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
