//! At most once on the device (rule 4): a request of a kind that may not be repeated is executed once; one of another
//! kind is sent again with the same message ID and token for as long as a device remembers them, so the device does not
//! execute it in a second exchange either. A broker that forgot cannot know what it asked before.
//!
//! A device that does not de-duplicate, or rebooted meanwhile, does not know what it executed: a copy is a new request to
//! it. That excuses a second execution in the same exchange, as long as there can be copies of it. It excuses neither
//! another exchange nor, for kinds that may not be repeated, another instance that takes the exchange up again, nor the
//! same one after it was started anew.
//!
//! And long after a request has ended nobody executes it any more, of whatever kind it is: devices have forgotten it, and it
//! would undo what came after it.

use super::Invariant;
use crate::checker::book::Book;
use crate::checker::message::Message;
use crate::checker::{Breach, Excuse, Found};
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
            from,
            ..
        } = &entry.event
        else {
            return;
        };
        let Some(ticket) = book.find_argument(ep, argument).map(|id| book.ticket(id)) else {
            return;
        };
        if let Some(terminal) = &ticket.terminal {
            let late_us = entry.at_us.saturating_sub(terminal.mark.at_us);
            if ticket.born_era == book.timeline.era() && late_us > EXCHANGE_LIFETIME_US + book.rules.way_us {
                return found.about(Breach::DoubleExecution, entry.at_us, book, ticket, || {
                    let sender = by(from.as_deref());
                    format!(
                        "sent{sender} and executed {:.3} s after it had ended",
                        late_us as f64 / 1e6
                    )
                });
            }
        }
        let Some(executions) = &ticket.executions else {
            return found.judged(Breach::DoubleExecution);
        };
        if ticket.born_era != book.timeline.era() {
            return found.excused(Breach::DoubleExecution, Excuse::Era);
        }
        found.judged(Breach::DoubleExecution);
        let (first_id, first_token) = &executions.exchange;
        let same_exchange = first_id == message_id && **first_token == **token;
        let soon = entry.at_us.saturating_sub(executions.first.at_us) < EXCHANGE_LIFETIME_US;
        let first_sender = executions.sender.as_deref();
        let other_sender = match (first_sender, from.as_deref()) {
            (Some(first), Some(now)) if first == now => {
                let (life, started_us) = book.life_of(now);
                life > executions.sender_life && entry.at_us > started_us.saturating_add(book.rules.way_us)
            }
            (first, now) => first.is_some() && now.is_some(),
        };
        let wrong = if ticket.repeatable {
            soon && !same_exchange
        } else {
            let excused = book.has_forgotten(ticket.endpoint, executions.last_index);
            !(soon && same_exchange && excused) || other_sender
        };
        if wrong {
            found.about(Breach::DoubleExecution, entry.at_us, book, ticket, || {
                format!(
                    "executed {} times; the first exchange was message ID {first_id} token {first_token}{}, this one \
                     {message_id} {token}{}",
                    executions.count + 1,
                    by(first_sender),
                    by(from.as_deref())
                )
            });
        }
    }
}

fn by(instance: Option<&str>) -> String {
    instance.map_or(String::new(), |id| format!(" by {id}"))
}
