//! One voice (rule 6): a message of an incarnation after one of a later incarnation of the same instance was heard, or
//! acks of one ticket by two members. Redis keeps the order of a channel, so neither happens in a correct cluster. What
//! a dead incarnation published while it lived may be read late, but never behind its successor.

use rustc_hash::FxHashMap;

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Found};
use crate::history::{Entry, Event};

#[derive(Default)]
pub struct TwoVoices {
    newest: FxHashMap<String, u64>,
    /// In which era the process of each instance began.
    began: FxHashMap<String, u32>,
}

impl TwoVoices {
    /// A process that followed one of an earlier era: that one counted on where the broker had forgotten the count, perhaps
    /// until its end, and nobody could tell the new one.
    fn process_began(&mut self, id: &str, era: u32) {
        if self
            .began
            .insert(id.to_owned(), era)
            .is_some_and(|before| before < era)
        {
            self.newest.remove(id);
        }
    }
}

impl Invariant for TwoVoices {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        if matches!(entry.event, Event::Era { .. }) {
            // A broker that forgot the members counts their incarnations anew.
            self.newest.clear();
        }
        if let Event::InstanceStarted { id, .. } = &entry.event {
            self.process_began(id, book.timeline.era());
        }
        let Some(message) = message else { return };
        let Some(by) = &message.by else { return };
        found.judged(Breach::TwoVoices);
        let ep = message.ep.as_deref().unwrap_or_default();
        match self.newest.get_mut(by.id.as_ref()) {
            Some(newest) if by.incarnation < *newest => {
                let newest = *newest;
                found.add(Breach::TwoVoices, entry.at_us, ep, &message.ticket, || {
                    format!("{by} spoke after {}#{newest} had been heard", by.id)
                });
            }
            Some(newest) => *newest = by.incarnation,
            None => {
                self.newest.insert(by.id.clone().into_owned(), by.incarnation);
            }
        }
        if message.body != Body::Ack || message.again {
            return;
        }
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        if let (Some(first), false) = (ticket.acked_by.as_deref(), ticket.ended())
            && first != by.to_string()
        {
            found.about(Breach::TwoVoices, entry.at_us, book, ticket, || {
                format!("acked by {first} and again by {by}")
            });
        }
    }
}
