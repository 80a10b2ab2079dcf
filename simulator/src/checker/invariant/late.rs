//! A request ends within its timeout and F (rule 1), counted from the last publication before the cluster first spoke
//! of it: the arrival cannot be later than that one's, nor than the ack. Faults that follow the timeout may delay it by F
//! each. The broker's clock decides; where it was set back, the timeout is over later.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Excuse, Found};
use crate::history::Entry;

pub struct Late;

impl Invariant for Late {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message else { return };
        if message.again || !matches!(message.body, Body::Response(_) | Body::Error(_)) {
            return;
        }
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        if ticket.ended() {
            return;
        }
        let Some(arrived) = book.arrived_by(ticket) else {
            return found.excused(Breach::Late, Excuse::Nobody);
        };
        let first = ticket.first_published_us.unwrap_or(arrived);
        let over = book.timeline.timeout_over(first, arrived, ticket.timeout_us);
        let Some(due) = book.timeline.ended_by(over) else {
            return found.excused(Breach::Late, Excuse::Nobody);
        };
        if ticket.crossed_eras {
            return found.excused(Breach::Late, Excuse::Era);
        }
        found.judged(Breach::Late);
        if entry.at_us > due {
            found.about(Breach::Late, entry.at_us, book, ticket, || {
                let after = (entry.at_us - due) as f64 / 1e6;
                format!(
                    "the outcome came {after:.3} s after timeout ({} ms) and F",
                    ticket.timeout_us / 1000
                )
            });
        }
    }
}
