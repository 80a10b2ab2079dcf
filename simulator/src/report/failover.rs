//! Failover: from a harmful fault to the first success of each device whose owner it hit.
//!
//! A success counts if another speaker than the incarnation that was hit published it, or if its ticket was first sent
//! after the fault's end was announced (resume, restart): a process that was paused for less than its lease goes on.
//! Without speakers (`leshan` dialect) it counts if its ticket was first sent after the fault.

use rustc_hash::FxHashMap;

use super::Failover;
use crate::checker::{Body, Message, Ticket};
use crate::history::{Entry, Event};

/// A device that waits for its first success.
struct Waiting {
    fault_us: u64,
    /// The instances that were hit, each with its newest incarnation at that time.
    hit: std::rc::Rc<Vec<(String, u64)>>,
}

/// Collects recoveries while a history is read.
#[derive(Default)]
pub struct Recoveries {
    waiting: FxHashMap<String, Vec<Waiting>>,
    /// The newest incarnation of each instance that spoke.
    incarnations: FxHashMap<String, u64>,
    /// When service was given back to an instance, last.
    given_back: FxHashMap<String, u64>,
    /// Instances that the balancer has not noticed yet, since when.
    undetected: FxHashMap<String, u64>,
    devices: u64,
    /// In microseconds: few enough to be kept as they are, and the limit on them is sharp.
    times: Vec<u64>,
    detect_us: Option<u64>,
    harmful_at: Vec<u64>,
}

impl Recoveries {
    /// Takes the next entry; `ticket` is the one that `message` is about.
    pub fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, ticket: Option<&Ticket>) {
        match &entry.event {
            Event::Fault {
                instances,
                affected,
                harmful: true,
                ..
            } => {
                self.begin(entry.at_us, instances, affected);
            }
            Event::Fault { instances, .. } => {
                for id in instances {
                    self.given_back.insert(id.clone(), entry.at_us);
                    self.undetected.remove(id);
                }
            }
            Event::Health { id, healthy: false } => {
                if let Some(since) = self.undetected.remove(id) {
                    self.detect_us = self.detect_us.max(Some(entry.at_us - since));
                }
            }
            _ => {}
        }
        if let (Some(message), Some(ticket)) = (message, ticket) {
            self.heard(entry.at_us, message, ticket);
        }
    }

    fn begin(&mut self, at_us: u64, instances: &[String], affected: &[String]) {
        self.harmful_at.push(at_us);
        let incarnation = |id: &String| (id.clone(), self.incarnations.get(id).copied().unwrap_or(0));
        let hit = std::rc::Rc::new(instances.iter().map(incarnation).collect::<Vec<_>>());
        self.devices += affected.len() as u64;
        for ep in affected {
            let waiting = Waiting {
                fault_us: at_us,
                hit: std::rc::Rc::clone(&hit),
            };
            self.waiting.entry(ep.clone()).or_default().push(waiting);
        }
        for id in instances {
            self.undetected.insert(id.clone(), at_us);
        }
    }

    fn heard(&mut self, at_us: u64, message: &Message<'_>, ticket: &Ticket) {
        if let Some(by) = &message.by {
            let newest = self.incarnations.entry(by.id.to_string()).or_default();
            *newest = by.incarnation.max(*newest);
        }
        let Body::Response(response) = &message.body else {
            return;
        };
        if !response.success() || self.waiting.is_empty() {
            return;
        }
        let Some(ep) = message.ep.as_deref() else { return };
        let Some(list) = self.waiting.get_mut(ep) else {
            return;
        };
        let given_back = &self.given_back;
        list.retain(|waiting| {
            let recovered = counts(waiting, message, ticket, given_back);
            if recovered {
                self.times.push(at_us - waiting.fault_us);
            }
            !recovered
        });
        if list.is_empty() {
            self.waiting.remove(ep);
        }
    }

    /// When the harmful faults were.
    pub fn harmful_at(&self) -> &[u64] {
        &self.harmful_at
    }

    /// The figures at the end of the history.
    pub fn figures(mut self) -> Failover {
        self.times.sort_unstable();
        let at = |share| millis_at(&self.times, share);
        Failover {
            devices: self.devices,
            n: self.times.len() as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
            unrecovered: self.waiting.values().map(|list| list.len() as u64).sum(),
            detect: self.detect_us.map(|micros| micros as f64 / 1000.0),
        }
    }
}

/// The smallest value that at least this share of them does not exceed, in milliseconds.
fn millis_at(sorted: &[u64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).map(|micros| *micros as f64 / 1000.0)
}

fn counts(
    waiting: &Waiting,
    message: &Message<'_>,
    ticket: &Ticket,
    given_back: &FxHashMap<String, u64>,
) -> bool {
    let Some(by) = &message.by else {
        return ticket.first_sent_us >= waiting.fault_us;
    };
    let hit = waiting
        .hit
        .iter()
        .find(|(id, incarnation)| by.id == *id && by.incarnation <= *incarnation);
    let Some((id, _)) = hit else { return true };
    given_back
        .get(id)
        .is_some_and(|back| *back >= waiting.fault_us && ticket.first_sent_us >= *back)
}
