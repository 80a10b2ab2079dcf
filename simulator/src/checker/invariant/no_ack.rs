//! Every stored request has an ack before its terminal (rule 2). What a device answered was stored; an err with a `sent`
//! member says that it was. A `cancel` has no ack. An ack that the back end may have missed is not missing.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Excuse, Found};
use crate::history::Entry;

pub struct NoAck;

impl Invariant for NoAck {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message else { return };
        let stored = match &message.body {
            Body::Response(_) => true,
            Body::Error(error) => error.sent.is_some(),
            _ => false,
        };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        if !stored || ticket.ended() {
            return;
        }
        if ticket.crossed_eras {
            return found.excused(Breach::NoAck, Excuse::Era);
        }
        if ticket.ack.is_some() {
            return found.judged(Breach::NoAck);
        }
        let missed = book.timeline.may_have_missed(ticket.first_sent_us, entry.at_us);
        if missed {
            return found.excused(Breach::NoAck, Excuse::Missed);
        }
        found.judged(Breach::NoAck);
        found.about(Breach::NoAck, entry.at_us, book, ticket, || {
            "an outcome without an ack before it".into()
        });
    }
}
