//! New connections. What is at the other end may be another Redis than before, one that knows less of this member, or
//! nothing: a replica that took over, or one that restarted without its last moments. Until the member has renewed its
//! lease on a new connection for calls, it says nothing else there; whoever is not known, or is dead, speaks no more.
//!
//! While two masters live, each connection may be to another one. So requests that are heard on a pair of connections of
//! which one is new wait in the ring until a heartbeat has gone through both: whoever accepted at the old master what was
//! asked at the new one would have a device do what the new one's members have it do again. What else is heard needs no
//! such care: the scripts that an order leads to find its ticket at the broker that gave it, or nothing.

use super::membership::{Membership, Seat};
use super::{Instance, Output, Purpose};
use crate::mutant::{Mutant, Planted};
use lwm2m::time::Time;

impl Membership {
    /// One of the two connections is lost, or another one than before.
    pub fn pair_anew(&mut self, planted: Planted) {
        self.pair += 1;
        self.echoed = planted.is(Mutant::MixedPair);
    }

    pub fn is_paired(&self) -> bool {
        self.confirmed && self.echoed
    }
}

impl Instance {
    pub(super) fn command_connected(&mut self) {
        self.calls.connected();
        // Heartbeats of before prove nothing, and no lease is worth anything that is reckoned from a join of before; new
        // ones are due anyway.
        self.calls.forget(|purpose| {
            matches!(
                purpose,
                Purpose::Join { .. } | Purpose::Renew { .. } | Purpose::MarkDead
            )
        });
        self.send_pending_again(true);
        let planted = self.config.planted;
        let unasked = planted.is(Mutant::UnconfirmedCalls);
        if let Some(m) = self.membership_mut() {
            m.confirmed = unasked;
            m.pair_anew(planted);
            m.renew_at = Time::ZERO;
            self.outage_is_over();
        }
        if unasked {
            self.send_pending_again(false);
        }
    }

    /// The broker knows this member: what waits for that is said now.
    pub(super) fn confirm(&mut self) {
        if let Some(m) = self.membership_mut()
            && !m.confirmed
        {
            m.confirmed = true;
            self.send_pending_again(false);
            self.go_on_if_paired();
        }
    }

    /// Both connections are known to be to one broker: what was heard meanwhile is accepted, marks of takes count again.
    pub(super) fn go_on_if_paired(&mut self) {
        if self.membership().is_some_and(Membership::is_paired) {
            self.accept_what_waits();
            self.take_assigned();
        }
    }

    /// Every call whose reply is missing may be repeated blindly, in the old order; those about members, or the others.
    fn send_pending_again(&mut self, about_members: bool) {
        let context = match &self.seat {
            Seat::Inside(m) => m.context.as_str(),
            // Who is no member has called nothing but scripts about members.
            Seat::Outside { .. } => "",
        };
        let again = self.calls.again(about_members, context);
        self.outputs.extend(again.into_iter().map(Output::Call));
    }
}
