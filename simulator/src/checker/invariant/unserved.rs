//! A device that can be reached is served: no request ends with TIMEOUT because the cluster forgot to go on with it.
//!
//! A fault, a loss, a device that is away or busy are lawful reasons for a TIMEOUT, each for as long as it lasts. What
//! counts is how long nothing stood between the cluster and the device: since the request was acked, since the device
//! answered the one before it, since the last fault was over. If its turn came after all that, a datagram there and back is
//! enough. If it may have been under way before, its next copy is due when as much time has passed again as since the oldest
//! request of the device was taken (RFC 7252, 4.2: each wait is twice the one before), and ACK_TIMEOUT.
//!
//! What was never sent, though nothing else was open for the device, needs no network at all.

use super::Invariant;
use crate::checker::book::{Book, Ticket};
use crate::checker::message::{Body, ErrorBody, Message};
use crate::checker::{Breach, Excuse, Found};
use crate::dialect::ErrorCode;
use crate::history::Entry;

/// How much later a device answers that acknowledges first.
const SEPARATE_US: u64 = 200_000;

pub struct Unserved;

impl Invariant for Unserved {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        let Some(message) = message else { return };
        let Body::Error(error) = &message.body else { return };
        if error.code != ErrorCode::Timeout {
            return;
        }
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        if ticket.ended() {
            return;
        }
        match idle_us(entry.at_us, error, ticket, book) {
            Err(why) => found.excused(Breach::Unserved, why),
            Ok(idle) => {
                found.judged(Breach::Unserved);
                found.about(Breach::Unserved, entry.at_us, book, ticket, || {
                    format!(
                        "TIMEOUT, though for {:.1} s nothing hindered anybody from asking the device",
                        idle as f64 / 1e6
                    )
                });
            }
        }
    }
}

/// For how long the device could have been asked, if that was enough.
fn idle_us(at_us: u64, error: &ErrorBody, ticket: &Ticket, book: &Book) -> Result<u64, Excuse> {
    let rules = &book.rules;
    if ticket.crossed_eras {
        return Err(Excuse::Era);
    }
    let acked = ticket.ack.ok_or(Excuse::Missed)?.at_us;
    let endpoint = book.of_endpoint(ticket.endpoint);
    if at_us < endpoint.ghosts_until_us.saturating_add(rules.bound_us) {
        return Err(Excuse::Era);
    }
    let at_rest = book.timeline.at_rest_since(at_us).ok_or(Excuse::Fault)?;
    let oldest = book.oldest_ack(ticket.endpoint).unwrap_or(acked);
    let turn = acked.max(endpoint.ended_us);
    let idle_since = |hindered: u64| at_us.saturating_sub(turn.max(hindered));
    // It waits for nobody, and for no datagram.
    let alone = endpoint.open.len() == 1 && error.sent == Some(false);
    let free = at_rest.max(endpoint.ghosts_until_us);
    if alone && idle_since(free) >= 2 * rules.bound_us {
        return Ok(idle_since(free));
    }
    let lossless = book.timeline.lossless_since().ok_or(Excuse::Loss)?;
    let reachable = endpoint.reachable_since(at_us).ok_or(Excuse::Device)?;
    // A Reset has no token: where another instance hears it, who asked does not learn of it, nor from any copy.
    if endpoint.rejected_us >= Some(oldest) {
        return Err(Excuse::Device);
    }
    let ghosts = endpoint.ghosts_until_us;
    let hindered = at_rest.max(lossless).max(reachable).max(ghosts);
    let there_and_back = 2 * rules.delay_us + if rules.separate { SEPARATE_US } else { 0 };
    let needed = if hindered <= oldest {
        there_and_back
    } else if rules.separate {
        // The device may wait long for the acknowledgement of its answer, or have given the answer up.
        return Err(Excuse::Device);
    } else {
        there_and_back + (hindered - oldest) + rules.ack_timeout_us * 3 / 2
    };
    let idle = idle_since(hindered);
    if idle >= needed {
        return Ok(idle);
    }
    Err(match hindered {
        _ if turn >= hindered => Excuse::Busy,
        _ if hindered == reachable => Excuse::Device,
        _ if hindered == lossless => Excuse::Loss,
        _ => Excuse::Fault,
    })
}
