//! Who looks into the cluster of the virtual world while it runs: what was reached, and what happened to one ticket.
//!
//! In: each script with what it published and answered, each arrival, each datagram. Out: a [`Coverage`] of the scripts,
//! and a [`Trace`] for a diagram. A world that nobody watches does none of this.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use broker::Record;
use lwm2m::time::Time;
use server::store::protocol::replies::orders;
use server::store::{Call, Reply};

use super::effects::{known_status, message_effect, own_order};
use super::trace::Trace;
use super::transitions::Transitions;

/// A watch that several parts of a world report to, or none.
pub type Watching = Option<Rc<RefCell<Watch>>>;

/// How often a script answered with a status, or had an effect.
pub type Counts = BTreeMap<(usize, &'static str), u64>;

/// What is seen.
#[derive(Default)]
pub struct Watch {
    /// Statuses by script.
    pub statuses: Counts,
    /// Messages and orders by the script that they came from.
    pub effects: Counts,
    /// What changed its state.
    pub transitions: Transitions,
    /// One ticket's history.
    pub trace: Option<Trace>,
    /// The script that is being executed.
    current: Option<usize>,
    /// What it wrote.
    written: Vec<Record>,
}

/// What [`Watch::statuses`] says of a script that the broker refused.
pub const REFUSED: &str = "(refused)";

impl Watch {
    /// One that follows a ticket.
    pub fn of(trace: Trace) -> Watch {
        Watch {
            trace: Some(trace),
            ..Watch::default()
        }
    }

    /// A script is about to be executed.
    pub fn called(&mut self, now: Time, call: &Call) {
        self.current = Some(call.script.index());
        if let Some(trace) = &mut self.trace {
            trace.called(now, call);
        }
    }

    /// Something was published, by that script or by a back end.
    pub fn published(&mut self, now: Time, channel: &[u8], payload: &[u8]) {
        if let Some(script) = self.current
            && let Some(effect) = message_effect(channel, payload)
        {
            *self.effects.entry((script, effect)).or_default() += 1;
        }
        if let Some(trace) = &mut self.trace {
            trace.published(now, channel, payload);
        }
    }

    /// Something was written down in the data, by that script.
    pub fn wrote(&mut self, records: Vec<Record>) {
        self.written = records;
    }

    /// The script has answered.
    pub fn answered(&mut self, now: Time, call: &Call, reply: &Result<Reply, String>) {
        self.current = None;
        self.transitions.wrote(call, &std::mem::take(&mut self.written));
        let script = call.script.index();
        let status = match reply {
            Ok(reply) => known_status(call.script, reply.status()),
            Err(_) => REFUSED,
        };
        *self.statuses.entry((script, status)).or_default() += 1;
        if let Ok(reply) = reply {
            for order in orders(call.script, reply) {
                if let Some(effect) = own_order(order.kind()) {
                    *self.effects.entry((script, effect)).or_default() += 1;
                }
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.answered(now, call, status, reply);
        }
    }

    /// Something was seen that only a trace asks for.
    pub fn trace(&mut self, see: impl FnOnce(&mut Trace)) {
        if let Some(trace) = &mut self.trace {
            see(trace);
        }
    }
}

/// For the parts of a world that report to a watch.
pub fn tell(watching: &Watching, see: impl FnOnce(&mut Watch)) {
    if let Some(watch) = watching {
        see(&mut watch.borrow_mut());
    }
}
