//! Nobody speaks of what was never asked: a message names a ticket that was sent, with its endpoint, and a device
//! executes only what a ticket asked of it.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::Message;
use crate::checker::{Breach, Found};
use crate::history::{Entry, Event};

pub struct Orphan;

impl Invariant for Orphan {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        if message.is_some() {
            found.judged(Breach::Orphan);
        }
        if let Some(message) = message
            && book.find(message).is_none()
        {
            let ep = message.ep.as_deref().unwrap_or_default();
            found.add(Breach::Orphan, entry.at_us, ep, &message.ticket, || {
                "a message about a ticket that was never sent to this endpoint".into()
            });
        }
        if let Event::DeviceExecuted {
            ep,
            kind,
            argument: Some(argument),
            ..
        } = &entry.event
            && book.find_argument(ep, argument).is_none()
        {
            found.add(Breach::Orphan, entry.at_us, ep, argument, || {
                format!("the device executed a {kind} that no ticket asked of it")
            });
        }
    }
}
