//! A stored request ends (rule 1): by its timeout and F. Where the broker's clock was set back, the timeout is over later;
//! where nobody was there, it waits for who comes, F longer. Who ended though no fault said so is no excuse.
//!
//! An outcome that the back end may have missed is not missing, unless it asked again since: then it is owed a copy.

use super::Open;
use crate::checker::book::{Book, Ticket};
use crate::checker::{Breach, Excuse, Found};

/// What to think of a ticket that was acked and has no outcome.
pub fn judge(ticket: &Ticket, book: &Book, found: &mut Found) -> Open {
    let now = book.timeline.end_us();
    let arrived = ticket.arrived_by_us.unwrap_or(ticket.first_sent_us);
    let bound_us = book.rules.bound_us;
    let plain = arrived.saturating_add(ticket.timeout_us).saturating_add(bound_us);
    let first = ticket.first_published_us.unwrap_or(arrived).min(arrived);
    let over = book.timeline.timeout_over(first, arrived, ticket.timeout_us);
    let asked_last = ticket.last_published_us.unwrap_or(arrived);
    let Some(hears_since) = book.timeline.hears_since(now) else {
        return Open::Waits(Excuse::Missed);
    };
    if hears_since > 0 && hears_since >= ticket.first_sent_us && asked_last < hears_since {
        return Open::Excused(Excuse::Missed);
    }
    let Some(due) = book.timeline.owed_by(over.max(hears_since)) else {
        return Open::Waits(Excuse::Nobody);
    };
    // The drain gives every ticket its timeout and F; only what comes on top of them may be cut off.
    let drained = book.timeline.drained() && due <= plain;
    if now < due && !drained {
        return Open::Waits(Excuse::Unfinished);
    }
    found.about(Breach::NoTerminal, now, book, ticket, || {
        format!(
            "acked, and no outcome until {:.3} s; it was due at {:.3} s",
            seconds(now),
            seconds(due)
        )
    });
    Open::Accused
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
