//! Calls that wait for their turn, and how many may be under way at a time.
//!
//! What has left cannot be overtaken. So no more leaves at a time than the broker is done with in a small part of a lease;
//! the rest waits here, and a renewal goes before it. That changes nothing that the protocol relies on: scripts about
//! members and scripts of partitions share no key, the counters of partitions are in the replies of the latter only, a
//! call carries the lease that was granted when it was made and is only the more cautious for a renewal before it, and
//! both go over the same connection, so that the renewal says as much of this pair of connections as it would later.
//! Burying the dead may come first as well: another member might have done it at that moment.

use crate::store::{Call, Script};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Calls that may be under way: as many as there are two milliseconds in a lease, so that at 110 µs a call (what a ticket costs
/// Redis) a full pipe is worth an eighteenth of it, and as much for each other member that fills its own. So many at least,
const LEAST: usize = 100;
/// and at most.
const MOST: usize = 1024;
/// And their bytes; one call may always be under way.
const WINDOW_BYTES: usize = 1 << 20;

pub(super) struct Calls {
    window: usize,
    first: VecDeque<Rc<Call>>,
    waiting: VecDeque<Rc<Call>>,
    under_way: usize,
    bytes: usize,
}

impl Calls {
    /// None, for a member whose lease is so long.
    pub fn new(lease: Duration) -> Self {
        let window = usize::try_from(lease.as_millis() / 2).unwrap_or(usize::MAX);
        Calls {
            window: window.clamp(LEAST, MOST),
            first: VecDeque::new(),
            waiting: VecDeque::new(),
            under_way: 0,
            bytes: 0,
        }
    }

    pub fn push(&mut self, call: Rc<Call>) {
        if goes_first(call.script) {
            self.first.push_back(call);
        } else {
            self.waiting.push_back(call);
        }
    }

    /// The next call that may leave, which is under way from now on.
    pub fn next(&mut self) -> Option<Rc<Call>> {
        let has_room = self.under_way < self.window && self.bytes < WINDOW_BYTES;
        let call = match self.first.pop_front() {
            None if has_room => self.waiting.pop_front(),
            first => first,
        }?;
        self.under_way += 1;
        self.bytes += bytes(&call);
        Some(call)
    }

    pub fn answered(&mut self, call: &Call) {
        self.under_way -= 1;
        self.bytes -= bytes(call);
    }

    pub fn clear(&mut self) {
        self.first.clear();
        self.waiting.clear();
        (self.under_way, self.bytes) = (0, 0);
    }
}

fn goes_first(script: Script) -> bool {
    matches!(script, Script::Renew | Script::MarkDead)
}

fn bytes(call: &Call) -> usize {
    call.args.iter().map(Vec::len).sum()
}
