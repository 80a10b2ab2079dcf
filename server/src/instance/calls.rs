//! The calls that wait for their replies: in the order in which they were made, so that they can be made again.
//!
//! In: calls, replies by number, and what becomes of the connection for calls. Out: what is to be written to it now. A call
//! may be repeated blindly (its reply can be lost), but on a new connection nothing of a partition is said before the
//! broker at its other end is known to know the member.

use super::Purpose;
use crate::partition::Partition;
use crate::store::Call;
use std::collections::VecDeque;
use std::rc::Rc;

/// A call without its reply, and what that is for.
pub(super) struct Pending {
    pub call: Rc<Call>,
    pub purpose: Purpose,
    /// None for a call about members.
    pub partition: Option<Partition>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Calls {
    pending: VecDeque<Pending>,
    last: u64,
    up: bool,
}

impl Calls {
    /// True while there is a connection for calls.
    pub fn are_possible(&self) -> bool {
        self.up
    }

    pub fn connected(&mut self) {
        self.up = true;
    }

    pub fn disconnected(&mut self) {
        self.up = false;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True if one of them is for this.
    pub fn any(&self, is_it: impl Fn(&Purpose) -> bool) -> bool {
        self.pending.iter().any(|it| is_it(&it.purpose))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.pending.clear();
    }

    /// Forgets those whose replies would mean nothing any more.
    pub fn forget(&mut self, is_stale: impl Fn(&Purpose) -> bool) {
        self.pending.retain(|it| !is_stale(&it.purpose));
    }

    /// The number of the next call.
    pub fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps a call. `known`: the broker knows the member. Answers it if it is to be written now.
    pub fn add(
        &mut self,
        call: Call,
        purpose: Purpose,
        partition: Option<Partition>,
        known: bool,
    ) -> Option<Rc<Call>> {
        debug_assert!(
            self.pending.back().is_none_or(|last| last.call.id < call.id),
            "calls are kept in the order in which they were made"
        );
        let call = Rc::new(call);
        let now = self.up && (known || partition.is_none());
        self.pending.push_back(Pending {
            call: call.clone(),
            purpose,
            partition,
        });
        now.then_some(call)
    }

    /// The call whose reply has come. Replies come in the order of the calls, so it is nearly always the first.
    pub fn take(&mut self, call: u64) -> Option<Pending> {
        let at = self.pending.iter().position(|it| it.call.id == call)?;
        self.pending.remove(at)
    }

    /// Every call whose reply is missing, in the old order: those about members, or the others, which speak as `context`.
    pub fn again(&mut self, about_members: bool, context: &str) -> Vec<Rc<Call>> {
        let pending = self.pending.iter_mut();
        let wanted = pending.filter(|it| it.partition.is_none() == about_members);
        wanted
            .map(|it| {
                let call = Rc::make_mut(&mut it.call);
                call.speak_as(context);
                call.may_be_repeated();
                it.call.clone()
            })
            .collect()
    }
}
