//! Calls that wait for their turn, and how many may be under way at a time.
//!
//! What has left cannot be overtaken. So no more leaves at a time than the broker is done with in a small part of a lease:
//! the time that answers take steers how many, since a broker that shares its core, or serves many members, is slower than
//! any constant knows. The rest waits here, and a renewal goes before it. That changes nothing that the protocol relies on: scripts about
//! members and scripts of partitions share no key, the counters of partitions are in the replies of the latter only, a
//! call carries the lease that was granted when it was made and is only the more cautious for a renewal before it, and
//! both go over the same connection, so that the renewal says as much of this pair of connections as it would later.
//! Burying the dead may come first as well: another member might have done it at that moment.

use crate::store::{Call, Script};
use lwm2m::time::Time;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Calls that may be under way at the beginning: as many as there are two milliseconds in a lease, so that at 110 µs a call
/// (what a ticket costs Redis) a full pipe is worth an eighteenth of it. While answers are prompt it grows by one with each, to
const MOST: usize = 1024;
/// and while they are slow it shrinks to
const LEAST: usize = 16;
/// An answer is slow if it takes longer than the lease divided by this.
const SLOW: u32 = 16;
/// And their bytes; one call may always be under way.
const WINDOW_BYTES: usize = 1 << 20;

pub(super) struct Calls {
    window: usize,
    slow: Duration,
    /// A call that left before then was under way when the window shrank: that it is slow is known already.
    shrunk_at: Time,
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
            slow: lease / SLOW,
            shrunk_at: Time::ZERO,
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

    /// A call that left at `sent_at` is answered.
    pub fn answered(&mut self, now: Time, sent_at: Time, call: &Call) {
        self.under_way -= 1;
        self.bytes -= bytes(call);
        if now - sent_at <= self.slow {
            self.window = (self.window + 1).min(MOST);
        } else if sent_at >= self.shrunk_at {
            self.window = (self.window / 2).max(LEAST);
            self.shrunk_at = now;
        }
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
