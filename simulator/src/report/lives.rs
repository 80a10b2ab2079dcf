//! The lives of tickets: from the intended time to the outcome, one after the other. Only what is open is kept.
//!
//! In: entries. Out: a [`Life`] when a ticket ends. The report's own book: what a ticket owes is the checker's business.

use rustc_hash::FxHashMap;

use crate::checker::{Body, Message};
use crate::history::{Entry, Event};
use crate::operation::RequestKind;

/// A ticket without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// The endpoint.
    pub ep: Box<str>,
    /// What was asked.
    pub kind: RequestKind,
    /// The harness asked it to see when a device answers again.
    pub probe: bool,
    /// When it was meant to be sent.
    pub intended_us: u64,
    /// When the back end first tried to publish it.
    pub sent_us: u64,
    /// When it first succeeded.
    pub published_us: Option<u64>,
    acked: bool,
}

/// What came of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The device answered.
    Answered,
    /// An error with this code.
    Failed(Box<str>),
}

/// What an entry did to a ticket.
#[derive(Debug, PartialEq)]
pub enum Change<'a> {
    /// It was sent for the first time.
    Sent(&'a Life),
    /// It was sent again.
    Repeated,
    /// It was acked, for the first time.
    Acked,
    /// It ended. Whoever speaks of it again speaks of nothing that is known here.
    Ended(Life, Ending),
}

/// The open tickets.
#[derive(Default)]
pub struct Lives {
    /// By their names, which several endpoints may share.
    open: FxHashMap<Box<str>, Vec<Life>>,
    count: u64,
}

impl Lives {
    /// How many are open.
    pub fn open(&self) -> u64 {
        self.count
    }

    /// The open ticket that a message is about.
    pub fn find(&self, message: &Message<'_>) -> Option<&Life> {
        let sharers = self.open.get(message.ticket.as_ref())?;
        sharers.iter().find(|life| meant(message, life))
    }

    /// Takes the next entry, with what its message says.
    pub fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>) -> Option<Change<'_>> {
        match (&entry.event, message) {
            (Event::Sent { attempt: 2.., .. }, _) => {
                self.published_again(entry);
                Some(Change::Repeated)
            }
            (Event::Sent { .. }, _) => self.sent(entry),
            (_, Some(message)) => self.heard(message),
            _ => None,
        }
    }

    /// Those that are left.
    pub fn into_open(self) -> impl Iterator<Item = Life> {
        self.open.into_values().flatten()
    }

    fn sent(&mut self, entry: &Entry) -> Option<Change<'_>> {
        let Event::Sent {
            ep,
            ticket,
            kind,
            probe,
            intended_us,
            published,
            ..
        } = &entry.event
        else {
            return None;
        };
        let life = Life {
            ep: ep.as_str().into(),
            kind: *kind,
            probe: *probe,
            intended_us: *intended_us,
            sent_us: entry.at_us,
            published_us: published.then_some(entry.at_us),
            acked: false,
        };
        self.count += 1;
        let sharers = self.open.entry(ticket.as_str().into()).or_default();
        sharers.push(life);
        sharers.last().map(Change::Sent)
    }

    /// A publication that failed may succeed later.
    fn published_again(&mut self, entry: &Entry) {
        let Event::Sent {
            ep,
            ticket,
            published: true,
            ..
        } = &entry.event
        else {
            return;
        };
        let sharers = self.open.get_mut(ticket.as_str()).into_iter().flatten();
        let of_endpoint = sharers.filter(|life| *life.ep == **ep);
        of_endpoint.for_each(|life| life.published_us = life.published_us.or(Some(entry.at_us)));
    }

    fn heard(&mut self, message: &Message<'_>) -> Option<Change<'_>> {
        let sharers = self.open.get_mut(message.ticket.as_ref())?;
        let index = sharers.iter().position(|life| meant(message, life))?;
        let ending = match &message.body {
            Body::Ack => {
                let first = !std::mem::replace(&mut sharers[index].acked, true);
                return first.then_some(Change::Acked);
            }
            Body::Response(_) => Ending::Answered,
            Body::Error(error) => Ending::Failed(error.code.as_str().into()),
            Body::Notification | Body::End => return None,
        };
        let life = sharers.swap_remove(index);
        if sharers.is_empty() {
            self.open.remove(message.ticket.as_ref());
        }
        self.count -= 1;
        Some(Change::Ended(life, ending))
    }
}

/// The `leshan` dialect does not name the endpoint.
fn meant(message: &Message<'_>, life: &Life) -> bool {
    message.ep.as_ref().is_none_or(|ep| **ep == *life.ep)
}
