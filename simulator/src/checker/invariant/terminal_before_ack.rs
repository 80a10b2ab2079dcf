//! The ack comes before the terminal (rule 2): both are published on one channel, in the order of their scripts.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Found};
use crate::history::Entry;

pub struct TerminalBeforeAck;

impl Invariant for TerminalBeforeAck {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message.filter(|message| message.body == Body::Ack && !message.again) else {
            return;
        };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        found.judged(Breach::TerminalBeforeAck);
        if let Some(terminal) = &ticket.terminal
            && terminal.mark.era == book.timeline.era()
        {
            found.about(Breach::TerminalBeforeAck, entry.at_us, book, ticket, || {
                format!(
                    "an ack after the outcome of {:.3} s",
                    terminal.mark.at_us as f64 / 1e6
                )
            });
        }
    }
}
