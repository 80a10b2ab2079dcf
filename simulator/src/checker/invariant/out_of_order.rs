//! Order (rule 5): requests to one endpoint are executed in the order of their acks.
//!
//! A request that ended with a response was executed before the next one was sent. One that ended otherwise may still
//! have datagrams on the way, so nothing is demanded of those behind it.

use rustc_hash::FxHashMap;

use super::Invariant;
use crate::checker::book::{Book, EndpointId, Executions, Outcome, Ticket, TicketId};
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Excuse, Found};
use crate::history::Entry;

/// Behind a ticket that ended so long ago nothing can be out of order that has not been seen.
const REMEMBERED_US: u64 = 60_000_000;
/// Lists that are no longer are not tidied up, and others when they are twice as long as after the last time.
const SHORT: usize = 32;

/// An acked ticket.
struct Acked {
    id: TicketId,
    ended_us: Option<u64>,
    accused: bool,
}

/// The acked tickets of an endpoint, in the order of their acks.
#[derive(Default)]
struct Line {
    acked: Vec<Acked>,
    /// Tidied up, it was so long.
    tidy: usize,
}

impl Line {
    /// The place of a ticket; mostly it is one of the last.
    fn place_of(&self, id: TicketId) -> Option<usize> {
        self.acked.iter().rposition(|known| known.id == id)
    }

    /// Forgets those behind whom nothing can be out of order any more.
    fn tidy_up(&mut self, at_us: u64, book: &Book) {
        if self.acked.len() <= SHORT.max(2 * self.tidy) {
            return;
        }
        let recent = |ended: u64| ended.saturating_add(REMEMBERED_US) > at_us;
        self.acked
            .retain(|known| book.get(known.id).is_some() && known.ended_us.is_none_or(recent));
        self.tidy = self.acked.len();
    }
}

#[derive(Default)]
pub struct OutOfOrder {
    lines: FxHashMap<EndpointId, Line>,
}

impl Invariant for OutOfOrder {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message else { return };
        let Some(id) = book.find(message) else { return };
        let ticket = book.ticket(id);
        match &message.body {
            Body::Ack if ticket.ack.is_none() && !message.again => self.acked(entry.at_us, id, book, found),
            Body::Response(_) | Body::Error(_) if !ticket.ended() => {
                if matches!(message.body, Body::Response(_)) {
                    self.answered(id, book, found);
                }
                if let Some(line) = self.lines.get_mut(&ticket.endpoint)
                    && let Some(place) = line.place_of(id)
                {
                    line.acked[place].ended_us = Some(entry.at_us);
                }
            }
            _ => {}
        }
    }
}

impl OutOfOrder {
    fn acked(&mut self, at_us: u64, id: TicketId, book: &Book, found: &mut Found) {
        let ticket = book.ticket(id);
        let line = self.lines.entry(ticket.endpoint).or_default();
        // Executed before its ack was heard: who was acked before may have been answered already.
        let mut overtaken = None;
        if ticket.executions.is_some() {
            let before = line.acked.iter().filter_map(|before| book.get(before.id));
            overtaken = before
                .filter(|before| answered(before))
                .find(|before| overtook(ticket, before));
        }
        if let Some(before) = overtaken {
            accuse(ticket, before, book, found);
        }
        line.tidy_up(at_us, book);
        let (ended_us, accused) = (None, overtaken.is_some());
        line.acked.push(Acked {
            id,
            ended_us,
            accused,
        });
    }

    /// A device answered: what was acked later must not have been executed before it.
    fn answered(&mut self, id: TicketId, book: &Book, found: &mut Found) {
        let ticket = book.ticket(id);
        if execution(ticket).is_none() {
            return;
        }
        // Without a line or a place in it, its ack was missed.
        let line = self.lines.get_mut(&ticket.endpoint);
        let Some((line, place)) = line.and_then(|line| line.place_of(id).map(|place| (line, place))) else {
            return found.excused(Breach::OutOfOrder, Excuse::Missed);
        };
        found.judged(Breach::OutOfOrder);
        for later in &mut line.acked[place + 1..] {
            let Some(other) = book.get(later.id).filter(|_| !later.accused) else {
                continue;
            };
            if overtook(other, ticket) {
                later.accused = true;
                accuse(other, ticket, book, found);
            }
        }
    }
}

/// The first execution, if the ticket's place in the order is known.
fn execution(ticket: &Ticket) -> Option<&Executions> {
    let executions = ticket.executions.as_ref();
    executions.filter(|it| it.first.era == ticket.era && !ticket.ack_is_copy && !ticket.crossed_eras)
}

fn answered(ticket: &Ticket) -> bool {
    let outcome = ticket.terminal.as_ref().map(|terminal| &terminal.outcome);
    matches!(outcome, Some(Outcome::Response { .. }))
}

fn overtook(ticket: &Ticket, before: &Ticket) -> bool {
    match (execution(ticket), execution(before)) {
        (Some(now), Some(then)) => now.first.index < then.first.index && ticket.era == before.era,
        _ => false,
    }
}

fn accuse(ticket: &Ticket, before: &Ticket, book: &Book, found: &mut Found) {
    let at_us = ticket
        .executions
        .as_ref()
        .map_or(0, |executions| executions.first.at_us);
    found.about(Breach::OutOfOrder, at_us, book, ticket, || {
        format!(
            "executed before ticket {}, which was acked before it and answered",
            before.name
        )
    });
}
