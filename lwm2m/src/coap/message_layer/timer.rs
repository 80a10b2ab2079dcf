//! The deadlines of a message layer: ordered, each removed exactly when its exchange ends, so that they never outnumber the
//! open exchanges.

use std::collections::BTreeSet;

use crate::time::Time;

/// Deadlines of exchanges, each named by peer and serial number.
pub(super) struct Timers<P>(BTreeSet<(Time, P, u64)>);

impl<P: Copy + Ord> Timers<P> {
    pub(super) fn new() -> Self {
        Timers(BTreeSet::new())
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, ..)| *at)
    }

    pub(super) fn start(&mut self, at: Time, peer: P, serial: u64) {
        self.0.insert((at, peer, serial));
    }

    pub(super) fn stop(&mut self, at: Time, peer: P, serial: u64) {
        self.0.remove(&(at, peer, serial));
    }

    /// Removes and returns the earliest deadline that is not after `now`.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(P, u64)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, peer, serial)| (peer, serial))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
