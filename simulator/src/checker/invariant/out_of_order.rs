//! Order (rule 5): requests to one endpoint are executed in the order of their acks.
//!
//! A request that ended with a response was executed before the next one was sent. One that ended otherwise may still
//! have datagrams on the way, so nothing is demanded of those behind it.

use rustc_hash::FxHashMap;

use super::Invariant;
use crate::checker::book::{Book, EndpointId, Outcome, Ticket};
use crate::checker::{Breach, Found};

pub struct OutOfOrder;

impl Invariant for OutOfOrder {
    fn finish(&mut self, book: &Book, found: &mut Found) {
        let mut by_endpoint: FxHashMap<(EndpointId, u32), Vec<&Ticket>> = FxHashMap::default();
        for ticket in &book.tickets {
            if ticket.ack.is_some()
                && !ticket.ack_is_copy
                && !ticket.crossed_eras
                && ticket
                    .executions
                    .as_ref()
                    .is_some_and(|it| it.first.era == ticket.era)
            {
                by_endpoint
                    .entry((ticket.endpoint, ticket.era))
                    .or_default()
                    .push(ticket);
            }
        }
        for tickets in by_endpoint.values_mut() {
            tickets.sort_by_key(|ticket| ticket.ack.map(|ack| ack.index));
            judge(tickets, book, found);
        }
    }
}

fn judge(in_order_of_ack: &[&Ticket], book: &Book, found: &mut Found) {
    let mut latest: Option<(&Ticket, u64)> = None;
    for ticket in in_order_of_ack {
        let Some(executed) = ticket.executions.as_ref().map(|executions| executions.first) else {
            continue;
        };
        match latest {
            Some((before, index)) if executed.index < index => {
                found.about(Breach::OutOfOrder, executed.at_us, book, ticket, || {
                    format!(
                        "executed before ticket {}, which was acked before it and answered",
                        before.name
                    )
                });
            }
            _ => {
                let answered = matches!(
                    ticket.terminal.as_ref().map(|terminal| &terminal.outcome),
                    Some(Outcome::Response { .. })
                );
                if answered {
                    latest = Some((ticket, executed.index));
                }
            }
        }
    }
}
