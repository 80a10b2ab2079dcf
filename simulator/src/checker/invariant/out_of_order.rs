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
/// Lists that are no longer are not tidied up.
const SHORT: usize = 32;

/// An acked ticket.
struct Acked {
    id: TicketId,
    ended_us: Option<u64>,
    accused: bool,
}

/// Per endpoint its acked tickets, in the order of their acks.
#[derive(Default)]
pub struct OutOfOrder {
    acked: FxHashMap<EndpointId, Vec<Acked>>,
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
                let list = self.acked.get_mut(&ticket.endpoint);
                let known = list.and_then(|list| list.iter_mut().find(|known| known.id == id));
                known
                    .into_iter()
                    .for_each(|known| known.ended_us = Some(entry.at_us));
            }
            _ => {}
        }
    }
}

impl OutOfOrder {
    fn acked(&mut self, at_us: u64, id: TicketId, book: &Book, found: &mut Found) {
        let ticket = book.ticket(id);
        let list = self.acked.entry(ticket.endpoint).or_default();
        // Executed before its ack was heard: who was acked before may have been answered already.
        let before = list.iter().filter_map(|before| book.get(before.id));
        let overtaken = before
            .filter(|before| answered(before))
            .find(|before| overtook(ticket, before));
        let accused = overtaken.is_some();
        if let Some(before) = overtaken {
            accuse(ticket, before, book, found);
        }
        if list.len() > SHORT {
            list.retain(|known| {
                let recent = |ended: u64| ended.saturating_add(REMEMBERED_US) > at_us;
                book.get(known.id).is_some() && known.ended_us.is_none_or(recent)
            });
        }
        let ended_us = None;
        list.push(Acked {
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
        let Some(list) = self.acked.get_mut(&ticket.endpoint) else {
            return;
        };
        // Its ack was missed: its place is not known.
        if !list.iter().any(|known| known.id == id) {
            return found.excused(Breach::OutOfOrder, Excuse::Missed);
        }
        found.judged(Breach::OutOfOrder);
        for later in list.iter_mut().rev().take_while(|later| later.id != id) {
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
