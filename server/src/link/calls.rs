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

/// Calls that may be under way: what a broker is done with in 30 ms, a seventh of the shortest lease, if each takes 110 µs.
pub(super) const WINDOW: usize = 256;
/// And their bytes; one call may always be under way.
const WINDOW_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Calls {
    first: VecDeque<Rc<Call>>,
    waiting: VecDeque<Rc<Call>>,
    under_way: usize,
    bytes: usize,
}

impl Calls {
    pub fn push(&mut self, call: Rc<Call>) {
        if goes_first(call.script) {
            self.first.push_back(call);
        } else {
            self.waiting.push_back(call);
        }
    }

    /// The next call that may leave, which is under way from now on.
    pub fn next(&mut self) -> Option<Rc<Call>> {
        let has_room = self.under_way < WINDOW && self.bytes < WINDOW_BYTES;
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
        *self = Calls::default();
    }
}

fn goes_first(script: Script) -> bool {
    matches!(script, Script::Renew | Script::MarkDead)
}

fn bytes(call: &Call) -> usize {
    call.args.iter().map(Vec::len).sum()
}
