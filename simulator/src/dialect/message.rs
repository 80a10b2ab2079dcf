//! What a message on the response channel says.
//!
//! In: the text as heard, in either dialect of the northbound interface. Out: a [`Message`], which is all that the contract is
//! concerned with, or an [`Answer`], the little that a back end needs for each of thousands a second.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::ErrorCode;
use crate::history::{Entry, Event};

/// A message that names a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// The endpoint; the `leshan` dialect does not say it.
    pub ep: Option<Cow<'a, str>>,
    /// The ticket.
    pub ticket: Cow<'a, str>,
    /// The instance and its incarnation; the `leshan` dialect does not say it.
    pub by: Option<Speaker<'a>>,
    /// A copy that a repeat brought.
    pub again: bool,
    /// What it says.
    pub body: Body,
}

/// `A#3`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker<'a> {
    /// The instance id.
    pub id: Cow<'a, str>,
    /// Which life of it.
    pub incarnation: u64,
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

impl Answer<'_> {
    /// Reads a message.
    pub fn read(text: &str) -> Result<Answer<'_>, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The five things that a message can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Stored in the cluster.
    Ack,
    /// The device's answer.
    Response(Response),
    /// An error.
    Error(ErrorBody),
    /// A value of an observation.
    Notification,
    /// The end of an observation.
    End,
}

/// Values with their types, by their path below that of the request: `0/6/1`.
pub type Values = BTreeMap<String, (String, String)>;

/// The device's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// `CONTENT`, `CHANGED`, `NOT_FOUND` …
    pub code: String,
    /// The value of a single resource, as text, with its type.
    pub value: Option<(String, String)>,
    /// The values of what has several.
    pub values: Values,
    /// Equal for equal answers.
    pub fingerprint: u64,
}

/// An error.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorBody {
    /// Which.
    pub code: ErrorCode,
    /// Only after an ack: whether a datagram may have left.
    pub sent: Option<bool>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    ep: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ticket: Option<Cow<'a, str>>,
    #[serde(borrow)]
    by: Option<Cow<'a, str>>,
    #[serde(default)]
    ack: bool,
    #[serde(default)]
    again: bool,
    #[serde(alias = "rep")]
    resp: Option<Json>,
    err: Option<RawError>,
    notify: Option<IgnoredAny>,
    end: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    code: ErrorCode,
    sent: Option<bool>,
}

impl Message<'_> {
    /// What a `Heard` entry says; `None` for other entries.
    pub fn of(entry: &Entry) -> Option<Result<Message<'_>, String>> {
        match &entry.event {
            Event::Heard { message } => Some(Message::parse(message)),
            _ => None,
        }
    }

    /// Reads a message; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Message<'_>, String> {
        let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| format!("unreadable: {error}"))?;
        let body = match raw {
            Raw { ack: true, .. } => Body::Ack,
            Raw { resp: Some(resp), .. } => Body::Response(Response::read(&resp)),
            Raw {
                err: Some(RawError { code, sent }),
                ..
            } => Body::Error(ErrorBody { code, sent }),
            Raw { notify: Some(_), .. } => Body::Notification,
            Raw { end: Some(_), .. } => Body::End,
            _ => return Err("neither ack, resp, err, notify nor end".into()),
        };
        let by = match raw.by {
            None => None,
            Some(by) => Some(Speaker::parse(by).ok_or("`by` is not of the form ID#INCARNATION")?),
        };
        let ticket = raw.ticket.ok_or("without a ticket")?;
        Ok(Message {
            ep: raw.ep,
            ticket,
            by,
            again: raw.again,
            body,
        })
    }
}

impl std::fmt::Display for Speaker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.id, self.incarnation)
    }
}

impl<'a> Speaker<'a> {
    fn parse(by: Cow<'a, str>) -> Option<Speaker<'a>> {
        let (id, incarnation) = by.rsplit_once('#')?;
        let incarnation = incarnation.parse().ok()?;
        let length = id.len();
        let id = match by {
            Cow::Borrowed(by) => Cow::Borrowed(&by[..length]),
            Cow::Owned(mut by) => {
                by.truncate(length);
                Cow::Owned(by)
            }
        };
        Some(Speaker { id, incarnation })
    }
}

fn type_of(node: &Json) -> String {
    node["type"].as_str().unwrap_or_default().to_ascii_lowercase()
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Puts all values of a node under their paths below it.
fn collect(node: &Json, path: &str, values: &mut Values) {
    let kind = type_of(node);
    for children in ["values", "resources", "instances"] {
        for (id, child) in node[children].as_object().into_iter().flatten() {
            let path = if path.is_empty() {
                id.clone()
            } else {
                format!("{path}/{id}")
            };
            match (text(child), text(&child["value"])) {
                (Some(text), _) => drop(values.insert(path, (kind.clone(), text))),
                (None, Some(text)) => drop(values.insert(path, (type_of(child), text))),
                (None, None) => collect(child, &path, values),
            }
        }
    }
}

impl Response {
    fn read(resp: &Json) -> Response {
        let code = resp["code"].as_str().unwrap_or_default().to_string();
        let node = if resp["node"].is_null() {
            &resp["content"]
        } else {
            &resp["node"]
        };
        let mut values = Values::new();
        if node["value"].is_null() {
            collect(node, "", &mut values);
        }
        let mut hasher = FxHasher::default();
        resp.to_string().hash(&mut hasher);
        Response {
            code,
            value: text(&node["value"]).map(|value| (type_of(node), value)),
            values,
            fingerprint: hasher.finish(),
        }
    }

    /// True if the device did what was asked.
    pub fn success(&self) -> bool {
        matches!(
            self.code.as_str(),
            "CONTENT" | "CHANGED" | "CREATED" | "DELETED" | "VALID"
        )
    }
}

impl ErrorBody {
    /// Equal for equal errors.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = FxHasher::default();
        (self.code.as_str(), self.sent).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
