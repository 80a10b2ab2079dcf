//! Registrations end: not before their lifetime is over (that is judged where the end is announced), and not long after it.
//!
//! In: what is announced, and who takes leave. Out: accusations. A registration that was last refreshed a lifetime ago ends
//! within F, the grace that the cluster gives to devices after an outage, and twice the time in which it had something to
//! get over meanwhile: devices get as long again as nobody may have heard them. One whose device takes leave ends within F.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::book::Book;
use super::{Breach, Excuse, Found};

/// What the cluster gives to devices at least after nobody may have heard them.
const GRACE_US: u64 = 5_000_000;

/// Why a registration is to end.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Its lifetime, in microseconds.
    Lifetime(u64),
    /// Its device took leave.
    Leave,
}

/// A registration that is to have ended by then, unless something was announced of it since.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at_us: u64,
    ep: String,
    since_us: u64,
    cause: Cause,
}

/// What is to end.
#[derive(Default)]
pub struct Expiry {
    due: BinaryHeap<Reverse<Due>>,
}

impl Expiry {
    /// A registration began or was refreshed.
    pub fn refreshed(&mut self, at_us: u64, ep: &str, lifetime_s: Option<u64>, book: &Book) {
        let Some(lifetime) = lifetime_s.map(|seconds| seconds.saturating_mul(1_000_000)) else {
            return;
        };
        let at = at_us.saturating_add(lifetime).saturating_add(slack_us(book));
        self.push(at, ep, at_us, Cause::Lifetime(lifetime));
    }

    /// A device takes leave.
    pub fn takes_leave(&mut self, at_us: u64, ep: &str, book: &Book) {
        let reachable = book
            .endpoint(ep)
            .and_then(|id| book.of_endpoint(id).reachable_since(at_us));
        let calm = book.timeline.at_rest_since(at_us).is_some() && book.timeline.lossless_since().is_some();
        if reachable.is_some() && calm {
            let by = at_us.saturating_add(book.rules.bound_us + 2 * book.rules.delay_us);
            self.push(by, ep, at_us, Cause::Leave);
        }
    }

    fn push(&mut self, at_us: u64, ep: &str, since_us: u64, cause: Cause) {
        let ep = ep.to_owned();
        self.due.push(Reverse(Due {
            at_us,
            ep,
            since_us,
            cause,
        }));
    }

    /// Judges what should have ended. `last` says of an endpoint when something was last announced of a registration that
    /// is in force.
    pub fn judge(&mut self, now_us: u64, book: &Book, found: &mut Found, last: impl Fn(&str) -> Option<u64>) {
        while self.due.peek().is_some_and(|Reverse(due)| due.at_us < now_us) {
            let Some(Reverse(due)) = self.due.pop() else {
                return;
            };
            if last(&due.ep).is_none_or(|heard| heard > due.since_us) {
                continue;
            }
            if let Some(later) = excused(&due, now_us, book, found) {
                if later > now_us {
                    self.push(later, &due.ep, due.since_us, due.cause);
                }
                continue;
            }
            found.judged(Breach::Event);
            found.add(Breach::Event, now_us, &due.ep, "", || match due.cause {
                Cause::Lifetime(lifetime) => format!(
                    "registered still, {:.3} s after it began or was refreshed: expected it to end after {:.0} s",
                    (now_us - due.since_us) as f64 / 1e6,
                    lifetime as f64 / 1e6
                ),
                Cause::Leave => format!(
                    "registered still, {:.3} s after its device took leave",
                    (now_us - due.since_us) as f64 / 1e6
                ),
            });
        }
    }
}

fn slack_us(book: &Book) -> u64 {
    book.rules.bound_us + GRACE_US + 2 * book.rules.lease_us + 1_000_000
}

/// When to ask again, if it may last; a time that is over: it cannot be judged at all.
fn excused(due: &Due, now_us: u64, book: &Book, found: &mut Found) -> Option<u64> {
    let timeline = &book.timeline;
    let why = if timeline.may_have_missed(due.since_us, now_us) {
        Excuse::Missed
    } else if timeline.any_clock_touched() {
        Excuse::Clock
    } else if timeline.at_rest_since(now_us).is_none() {
        return Some(now_us + book.rules.bound_us);
    } else {
        let unrest = timeline.unrest_since(due.since_us, now_us);
        match due.cause {
            Cause::Lifetime(lifetime) => {
                let over = due.since_us.saturating_add(lifetime + 2 * unrest);
                let later = over.max(timeline.keep_until_us()).saturating_add(slack_us(book));
                return (later > now_us).then_some(later);
            }
            Cause::Leave if unrest > 0 => Excuse::Fault,
            Cause::Leave if timeline.lossless_since().is_none_or(|since| since > due.since_us) => {
                Excuse::Loss
            }
            Cause::Leave => {
                let endpoint = book.endpoint(&due.ep).map(|id| book.of_endpoint(id));
                // It fell asleep or came back meanwhile.
                endpoint.filter(|it| it.hindered_us() > due.since_us)?;
                Excuse::Device
            }
        }
    };
    found.excused(Breach::Event, why);
    Some(now_us)
}
