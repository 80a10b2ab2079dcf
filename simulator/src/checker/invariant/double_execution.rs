//! At most once on the device (rule 4): a request of a kind that may not be repeated is executed once; one of another
//! kind is sent again with the same message ID and token for as long as a device remembers them, so the device does not
//! execute it in a second exchange either.
//!
//! A device that rebooted meanwhile does not know what it executed: a copy that it gets then is a new request to it. That
//! excuses a second execution in the same exchange, as long as there can be copies of it, and never another exchange.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::Message;
use crate::checker::{Breach, Found};
use crate::history::{Entry, Event};

/// EXCHANGE_LIFETIME (RFC 7252, 4.8.2): after it a repeatable request gets a fresh exchange.
const EXCHANGE_LIFETIME_US: u64 = 247_000_000;

pub struct DoubleExecution;

impl Invariant for DoubleExecution {
    fn observe(&mut self, entry: &Entry, _: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Event::DeviceExecuted {
            ep,
            message_id,
            token,
            argument: Some(argument),
            ..
        } = &entry.event
        else {
            return;
        };
        let Some(ticket) = book.find_argument(ep, argument).map(|id| book.ticket(id)) else {
            return;
        };
        let Some(executions) = &ticket.executions else {
            return;
        };
        if executions.first.era != book.timeline.era() {
            return;
        }
        let (first_id, first_token) = &executions.exchange;
        let same_exchange = first_id == message_id && **first_token == **token;
        let soon = entry.at_us.saturating_sub(executions.first.at_us) < EXCHANGE_LIFETIME_US;
        let excused = same_exchange
            && (ticket.repeatable || book.rebooted_since(ticket.endpoint, executions.last_index));
        let wrong = if ticket.repeatable {
            soon && !excused
        } else {
            !(soon && excused)
        };
        if wrong {
            found.about(Breach::DoubleExecution, entry.at_us, book, ticket, || {
                format!(
                    "executed {} times; the first exchange was message ID {first_id} token {first_token}, this one \
                     {message_id} {token}",
                    executions.count + 1
                )
            });
        }
    }
}
