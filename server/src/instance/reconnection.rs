//! A new connection for calls. What is at its other end may be another Redis than before, one that knows less of this
//! member, or nothing: a replica that took over, or one that restarted without its last moments. Until the member has
//! renewed its lease there, it says nothing else; whoever is not known, or is dead, speaks no more.

use super::{Instance, Output, Purpose};
use crate::store::{LEASE_ARGUMENT, REPLAY_ARGUMENT, Script};
use lwm2m::time::Time;
use std::rc::Rc;

impl Instance {
    pub(super) fn command_connected(&mut self) {
        self.command_up = true;
        // Heartbeats of before prove nothing; a new one is due anyway.
        self.pending
            .retain(|p| !matches!(p.purpose, Purpose::Renew { .. } | Purpose::MarkDead));
        self.send_pending_again(true);
        if let Some(m) = self.membership_mut() {
            m.confirmed = false;
            m.renew_at = Time::ZERO;
            self.outage_is_over();
        }
    }

    /// The broker knows this member: what waits for that is said now.
    pub(super) fn confirm(&mut self) {
        if let Some(m) = self.membership_mut()
            && !m.confirmed
        {
            m.confirmed = true;
            self.send_pending_again(false);
        }
    }

    /// Every call whose reply is missing may be repeated blindly, in the old order; those about members, or the others.
    fn send_pending_again(&mut self, about_members: bool) {
        let lease = self.membership().map(|m| m.lease_until.to_string().into_bytes());
        let pending = self.pending.iter_mut();
        for pending in pending.filter(|it| it.call.script.is_about_members() == about_members) {
            let call = Rc::make_mut(&mut pending.call);
            if call.script == Script::Accept {
                // Whether it was executed is not known; a copy that nobody asked for must not come of it.
                call.args[REPLAY_ARGUMENT] = b"1".to_vec();
            }
            if let (Some(lease), false) = (&lease, about_members) {
                call.args[LEASE_ARGUMENT].clone_from(lease);
            }
            self.outputs.push_back(Output::Call(pending.call.clone()));
        }
    }
}
