//! What the cluster says of a device is what the device said.
//!
//! - The value of a read is one that the device returned for that path after the ticket was sent (its ledger says so).
//! - `/3/0/2`, the serial number, is the endpoint name on every virtual device.
//! - A change that succeeded is in the ledger.
//! - What ended with `"sent":false` is not.
//! - What is no request is called so (rule 7), and is not stored.

use super::Invariant;
use crate::checker::book::{Answer, Book, Outcome, Ticket};
use crate::checker::message::{Body, Message, Response, Values};
use crate::checker::{Breach, Found};
use crate::dialect::ErrorCode;
use crate::history::{Entry, Event};
use crate::operation::RequestKind;

/// Serial Number of Device (LwM2M core TS, Annex E.4).
const SERIAL_NUMBER: &str = "/3/0/2";

pub struct WrongValue;

impl Invariant for WrongValue {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        if let Event::DeviceExecuted { ep, argument, .. } = &entry.event {
            executed_though_not_sent(entry, ep, argument.as_deref(), book, found);
        }
        let Some(message) = message else { return };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        let wrong = match &message.body {
            body if ticket.kind == RequestKind::Malformed => not_refused(body),
            // A copy of it is compared with it.
            Body::Response(_) if ticket.ended() => return,
            Body::Response(response) if ticket.kind == RequestKind::Read => {
                wrong_read(response, ticket, book)
            }
            Body::Response(response) => wrong_success(response, ticket, book),
            Body::Error(error) if error.sent == Some(false) => executed_in_this_era(ticket, book)
                .then(|| "\"sent\":false, but the device has executed it".into()),
            _ => return,
        };
        found.judged(Breach::WrongValue);
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

fn wrong_read(response: &Response, ticket: &Ticket, book: &Book) -> Option<String> {
    let ep = book.endpoint_name(ticket.endpoint);
    if let Some((_, value)) = &response.value
        && &*ticket.path == SERIAL_NUMBER
        && value != ep
    {
        return Some(format!("the serial number \"{value}\" is not that of {ep}"));
    }
    if !book.ledger_has_reads || !response.success() {
        return None;
    }
    if ticket.answers.iter().any(|answer| returned(answer, response)) {
        return None;
    }
    match (&response.value, &response.values) {
        (Some((kind, value)), _) => comparable(kind).then(|| {
            format!(
                "the value \"{value}\", which the device did not return for {} since it was asked",
                ticket.path
            )
        }),
        (None, values) if values.is_empty() => None,
        (None, values) => Some(wrong_node(values, ticket)),
    }
}

/// True if a device's answer is what was heard, as far as that can be compared.
fn returned(answer: &Answer, response: &Response) -> bool {
    match (&answer.value, &answer.values) {
        (Some(known), _) => response.value.as_ref().is_some_and(|heard| equal(known, heard)),
        (None, Some(known)) => {
            known.len() == response.values.len()
                && response
                    .values
                    .iter()
                    .all(|(path, heard)| known.get(path).is_some_and(|known| equal(known, heard)))
        }
        (None, None) => false,
    }
}

/// The first value that is in no answer of the device.
fn wrong_node(values: &Values, ticket: &Ticket) -> String {
    let known = |path: &String, heard: &(String, String)| {
        let answers = ticket.answers.iter().filter_map(|answer| answer.values.as_ref());
        let mut of_path = answers.filter_map(|values| values.get(path));
        of_path.any(|known| equal(known, heard))
    };
    match values.iter().find(|(path, heard)| !known(path, heard)) {
        Some((path, (_, value))) => format!(
            "the value \"{value}\" at {}/{path}, which the device did not return since it was asked",
            ticket.path
        ),
        None => format!(
            "values of {} that the device did not return together",
            ticket.path
        ),
    }
}

fn comparable(kind: &str) -> bool {
    [
        "string", "integer", "unsigned", "float", "boolean", "objlnk", "time",
    ]
    .contains(&kind)
}

/// Equal, or of a type that cannot be compared. A time is seconds to the device and milliseconds to the back end.
fn equal(ledger: &str, (kind, heard): &(String, String)) -> bool {
    match kind.as_str() {
        "time" => {
            ledger
                .parse::<i64>()
                .ok()
                .map(|seconds| seconds.saturating_mul(1000))
                == heard.parse().ok()
        }
        kind if comparable(kind) => same(ledger, heard),
        _ => true,
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
