//! The JSON of a request.
//!
//! Every changing request carries its ticket as the value that the device is to see, so that the ledger of a device can
//! be matched with the tickets, whoever executed them.

use serde::Serialize;

use crate::operation::{Carries, Operation, RequestKind, writable_string};

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
    /// The request for an operation .
    pub fn new(endpoint: &str, ticket: &str, operation: &Operation, timeout_ms: u64) -> Self {
        let declaration = operation.kind.declaration();
        // Arguments of Execute are a list of digits with optional quoted values (LwM2M core TS, section 6.3.5).
        let (argument, mode) = match declaration.carries {
            Carries::Nothing => (None, None),
            Carries::Value(mode) => (Some(ticket.to_owned()), Some(mode)),
            Carries::Argument => (Some(format!("0='{ticket}'")), None),
        };
        let req = Body {
            kind: declaration.northbound,
            path: &operation.path,
            mode,
            node: mode.and_then(|_| node(&operation.path, ticket)),
            parameters: argument.as_deref().filter(|_| mode.is_none()),
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

/// The numbers of a path of one to four parts.
fn ids(path: &str) -> Option<Vec<u16>> {
    let ids: Option<Vec<u16>> = path
        .strip_prefix('/')?
        .split('/')
        .map(|part| part.parse().ok())
        .collect();
    ids.filter(|ids| ids.len() <= 4 && !ids.contains(&u16::MAX))
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
        assert_eq!(kind.check_path(&ids(path).unwrap()), Ok(()));
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
}
