//! When all faults are over everything becomes well: the world that made the calm says what did not.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::Message;
use crate::checker::{Breach, Found};
use crate::history::{Entry, Event};

pub struct NotRecovered;

impl Invariant for NotRecovered {
    fn observe(&mut self, entry: &Entry, _: Option<&Message<'_>>, _: &Book, found: &mut Found) {
        if let Event::NotRecovered { ep, ticket, what } = &entry.event {
            found.add(Breach::NotRecovered, entry.at_us, ep, ticket, || what.clone());
        }
    }
}
