//! A stored request has one ack (rule 2); a repeat may bring one copy, marked `"again":true`. A second ack of another
//! member is judged by `two_voices`.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Found};
use crate::history::Entry;

pub struct DoubleAck;

impl Invariant for DoubleAck {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message.filter(|message| message.body == Body::Ack) else {
            return;
        };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        if ticket.ended() || ticket.ack.is_none() {
            return;
        }
        found.judged(Breach::DoubleAck);
        if message.again {
            if ticket.ack_copies >= ticket.attempts.saturating_sub(1) {
                found.about(Breach::DoubleAck, entry.at_us, book, ticket, || {
                    format!(
                        "{} copies of the ack after {} repeats",
                        ticket.ack_copies + 1,
                        ticket.attempts - 1
                    )
                });
            }
            return;
        }
        let speaker = message.by.as_ref().map(ToString::to_string);
        if speaker.as_deref() == ticket.acked_by.as_deref() {
            found.about(Breach::DoubleAck, entry.at_us, book, ticket, || {
                format!(
                    "a second ack of {}, not marked as a copy",
                    speaker.as_deref().unwrap_or("the cluster")
                )
            });
        }
    }
}
