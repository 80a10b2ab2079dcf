//! What the cluster says of a device is what the device said.
//!
//! - The value of a read is one that the device returned for that path after the ticket was sent (its ledger says so).
//! - `/3/0/2`, the serial number, is the endpoint name on every virtual device.
//! - A change that succeeded is in the ledger.
//! - What ended with `"sent":false` is not.
//! - What is called undecodable is something that the device said.
//! - What is no request is called so (rule 7), and is not stored.

use rustc_hash::FxHashMap;

use super::Invariant;
use crate::checker::book::{Book, Outcome, Ticket};
use crate::checker::message::{Body, Message, Response};
use crate::checker::{Breach, Found};
use crate::dialect::ErrorCode;
use crate::history::{Entry, Event};
use crate::operation::RequestKind;

/// Serial Number of Device (LwM2M core TS, Annex E.4).
const SERIAL_NUMBER: &str = "/3/0/2";

#[derive(Default)]
pub struct WrongValue {
    /// Per endpoint and path: the values that the device returned, and when last.
    returned: FxHashMap<String, FxHashMap<String, Vec<(String, u64)>>>,
    /// Per endpoint and path: when the device last answered a read with nonsense.
    nonsense: FxHashMap<(String, String), u64>,
}

impl Invariant for WrongValue {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        if let Event::DeviceExecuted {
            ep,
            argument,
            path,
            value,
            nonsense,
            ..
        } = &entry.event
        {
            if *nonsense {
                self.nonsense.insert((ep.clone(), path.clone()), entry.at_us);
            }
            if let Some(value) = value {
                self.note(ep, path, value, entry.at_us);
            }
            executed_though_not_sent(entry, ep, argument.as_deref(), book, found);
        }
        let Some(message) = message else { return };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        let wrong = match &message.body {
            body if ticket.kind == RequestKind::Malformed => not_refused(body),
            Body::Response(response) if ticket.kind == RequestKind::Read => {
                self.wrong_read(response, ticket, book)
            }
            Body::Response(response) => wrong_success(response, ticket, book),
            Body::Error(error) if error.code == ErrorCode::Undecodable => self.wrong_judgement(ticket, book),
            Body::Error(error) if error.sent == Some(false) && executed_in_this_era(ticket, book) => {
                Some("\"sent\":false, but the device has executed it".into())
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            found.about(Breach::WrongValue, entry.at_us, book, ticket, || wrong);
        }
    }
}

/// What is wrong with this for what is no request.
fn not_refused(body: &Body) -> Option<String> {
    match body {
        Body::Error(error) if error.code == ErrorCode::BadRequest => None,
        Body::Error(error) => Some(format!("what is no request ended with {}", error.code)),
        _ => Some("what is no request was taken for one".to_owned()),
    }
}

impl WrongValue {
    fn note(&mut self, ep: &str, path: &str, value: &str, at_us: u64) {
        if !self.returned.contains_key(ep) {
            self.returned.insert(ep.into(), FxHashMap::default());
        }
        let Some(paths) = self.returned.get_mut(ep) else {
            return;
        };
        let values = paths.entry(path.into()).or_default();
        match values.iter_mut().find(|(known, _)| known == value) {
            Some((_, last)) => *last = at_us,
            None => values.push((value.into(), at_us)),
        }
    }

    /// What is wrong with calling an answer undecodable.
    fn wrong_judgement(&self, ticket: &Ticket, book: &Book) -> Option<String> {
        let key = (
            book.endpoint_name(ticket.endpoint).to_owned(),
            ticket.path.to_string(),
        );
        let last = self.nonsense.get(&key);
        let said = last.is_some_and(|last| *last >= ticket.first_sent_us);
        (book.ledger_has_reads && !said).then(|| {
            format!(
                "called undecodable, but the device has not answered a read of {} with nonsense since it was asked",
                ticket.path
            )
        })
    }

    fn wrong_read(&self, response: &Response, ticket: &Ticket, book: &Book) -> Option<String> {
        let (kind, value) = response.value.as_ref()?;
        let ep = book.endpoint_name(ticket.endpoint);
        if &*ticket.path == SERIAL_NUMBER && value != ep {
            return Some(format!("the serial number \"{value}\" is not that of {ep}"));
        }
        let comparable =
            ["string", "integer", "unsigned", "float", "boolean", "objlnk"].contains(&kind.as_str());
        if !book.ledger_has_reads || !comparable {
            return None;
        }
        let returned = self.returned.get(ep).and_then(|paths| paths.get(&*ticket.path));
        let since = ticket.first_sent_us;
        let mut recent = returned.into_iter().flatten().filter(|(_, last)| *last >= since);
        if recent.any(|(known, _)| same(known, value)) {
            return None;
        }
        Some(format!(
            "the value \"{value}\", which the device did not return for {} since it was asked",
            ticket.path
        ))
    }
}

/// Equal as text, as numbers or as truth values: the ledger has the device's own text.
fn same(ledger: &str, heard: &str) -> bool {
    let number = |text: &str| match text {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => text.parse::<f64>().ok(),
    };
    ledger == heard || matches!((number(ledger), number(heard)), (Some(a), Some(b)) if a == b)
}

fn wrong_success(response: &Response, ticket: &Ticket, book: &Book) -> Option<String> {
    let claimed = response.success() && ticket.argument.is_some();
    (claimed && book.ledger_has_changes && ticket.executions.is_none())
        .then(|| format!("answered {}, but the device has not executed it", response.code))
}

/// A broker that forgot does not know what was sent before, and a datagram may arrive after it.
fn executed_in_this_era(ticket: &Ticket, book: &Book) -> bool {
    ticket.executions.is_some() && ticket.born_era == book.timeline.era()
}

fn executed_though_not_sent(entry: &Entry, ep: &str, argument: Option<&str>, book: &Book, found: &mut Found) {
    let Some(ticket) = argument
        .and_then(|argument| book.find_argument(ep, argument))
        .map(|id| book.ticket(id))
    else {
        return;
    };
    let terminal = ticket.terminal.as_ref();
    let terminal = terminal.filter(|_| ticket.born_era == book.timeline.era());
    let outcome = terminal.map(|terminal| &terminal.outcome);
    if let Some(Outcome::Error {
        sent: Some(false), ..
    }) = outcome
    {
        found.about(Breach::WrongValue, entry.at_us, book, ticket, || {
            "executed after it had ended with \"sent\":false".into()
        });
    }
}
