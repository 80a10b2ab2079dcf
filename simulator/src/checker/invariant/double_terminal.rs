//! A request has exactly one outcome (rule 1); a repeat may bring one copy of it, marked `"again":true`, and never
//! another outcome (rule 3).

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Excuse, Found};
use crate::history::Entry;

pub struct DoubleTerminal;

impl Invariant for DoubleTerminal {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message else { return };
        let fingerprint = match &message.body {
            Body::Response(response) => response.fingerprint,
            Body::Error(error) => error.fingerprint(),
            _ => return,
        };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        let Some(terminal) = &ticket.terminal else { return };
        if terminal.mark.era != book.timeline.era() {
            found.excused(Breach::DoubleTerminal, Excuse::Era);
            return;
        }
        found.judged(Breach::DoubleTerminal);
        let repeats = ticket.attempts.saturating_sub(1);
        let wrong = if !message.again {
            "a second outcome, not marked as a copy".into()
        } else if fingerprint != terminal.fingerprint {
            "a copy that differs from the outcome".into()
        } else if ticket.terminal_copies >= repeats {
            format!(
                "{} copies of the outcome after {repeats} repeats",
                ticket.terminal_copies + 1
            )
        } else {
            return;
        };
        found.about(Breach::DoubleTerminal, entry.at_us, book, ticket, || wrong);
    }
}
