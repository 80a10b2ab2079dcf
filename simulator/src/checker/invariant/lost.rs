//! A request is answered by an ack or an err, unless every instance that received it died before storing it (rule 1).
//!
//! A publication counts as received if an instance that was up before it stayed up until it was due: F later, or F after
//! the last of the faults around it. Both the first publication and the last repeat are looked at, when the back end has
//! repeated it for as long as it does.

use super::Open;
use crate::checker::book::{Book, Ticket};
use crate::checker::{Breach, Excuse, Found};

/// What to think of a ticket that has neither an ack nor an outcome.
pub fn judge(ticket: &Ticket, book: &Book, found: &mut Found) -> Open {
    if ticket.crossed_eras {
        // Only a repeat in the new era is owed an answer; the rest went with the broker.
        found.judgement.lost_with_broker += 1;
        return Open::Excused(Excuse::Era);
    }
    let published = [ticket.first_published_us, ticket.last_published_us];
    let due = published
        .into_iter()
        .flatten()
        .find_map(|at| Some((at, book.timeline.due(at)?)));
    match due {
        Some((at, due)) if due <= book.timeline.end_us() => {
            found.about(Breach::Lost, due, book, ticket, || {
                format!(
                    "neither ack nor err after {} publication(s), though an instance that was up at {:.3} s stayed",
                    ticket.attempts,
                    at as f64 / 1e6
                )
            });
            Open::Accused
        }
        Some(_) => Open::Waits(Excuse::Unfinished),
        None => {
            let (first, now) = (ticket.first_sent_us, book.timeline.end_us());
            let missed = book.timeline.may_have_missed(first, now);
            Open::Excused(if missed { Excuse::Missed } else { Excuse::Nobody })
        }
    }
}
