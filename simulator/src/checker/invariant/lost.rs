//! A request is answered by an ack or an err, unless every instance that received it died before storing it (rule 1).
//!
//! A publication counts as received if an instance that was up before it stayed up until it was due: F later, or F after
//! the last of the faults around it. Both the first publication and the last repeat are looked at.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::{Breach, Found};

pub struct Lost;

impl Invariant for Lost {
    fn finish(&mut self, book: &Book, found: &mut Found) {
        let end = book.timeline.end_us();
        for ticket in &book.tickets {
            if ticket.ack.is_some() || ticket.ended() {
                continue;
            }
            if ticket.crossed_eras {
                // Only a repeat in the new era is owed an answer; the rest went with the broker.
                found.judgement.lost_with_broker += 1;
                continue;
            }
            let published = [ticket.first_published_us, ticket.last_published_us];
            let due = published
                .into_iter()
                .flatten()
                .find_map(|at| Some((at, book.timeline.due(at)?)));
            match due {
                Some((at, due)) if due <= end => found.about(Breach::Lost, due, book, ticket, || {
                    format!(
                        "neither ack nor err after {} publication(s), though an instance that was up at {:.3} s stayed",
                        ticket.attempts,
                        at as f64 / 1e6
                    )
                }),
                _ => found.judgement.open += 1,
            }
        }
    }
}
