//! A stored request ends (rule 1): by its timeout and F, at the latest when the drain of the run is over. Where
//! the broker's clock was set back, the timeout is over later.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::{Breach, Found};

pub struct NoTerminal;

impl Invariant for NoTerminal {
    fn finish(&mut self, book: &Book, found: &mut Found) {
        let end = book.timeline.end_us();
        for ticket in book
            .tickets
            .iter()
            .filter(|ticket| ticket.ack.is_some() && !ticket.ended())
        {
            let arrived = ticket.arrived_by_us.unwrap_or(ticket.first_sent_us);
            let bound_us = book.rules.bound_us;
            let plain = arrived.saturating_add(ticket.timeout_us).saturating_add(bound_us);
            let first = ticket.first_published_us.unwrap_or(arrived).min(arrived);
            let over = book.timeline.timeout_over(first, arrived, ticket.timeout_us);
            let due = over.saturating_add(bound_us);
            // If the whole cluster is gone, what is stored waits for an instance that ends it.
            let somebody = book.timeline.somebody_stayed(end.saturating_sub(bound_us), end);
            if book.timeline.may_have_missed(ticket.first_sent_us, end)
                || !somebody
                || (end < due && (due > plain || !book.timeline.drained()))
            {
                found.judgement.open += 1;
                continue;
            }
            found.about(Breach::NoTerminal, end, book, ticket, || {
                format!(
                    "acked, and no outcome until {:.3} s; it was due at {:.3} s",
                    seconds(end),
                    seconds(due)
                )
            });
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
