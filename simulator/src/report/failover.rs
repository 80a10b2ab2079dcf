//! Failover: from a harmful fault to the first success of each device that it hit, or of a sample of them.
//!
//! A success counts if its ticket was first sent after the fault, for then service is back, whoever gives it; but what a
//! killed incarnation says is from before. Of an older ticket it counts if another speaker than those that were hit
//! published it. A device that did not answer until the end counts as one that would have taken longer.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::Failover;
use super::disturbances::Disturbances;
use super::durations::{Step, percentiles};
use super::lives::Life;
use crate::checker::{Body, Message};
use crate::fault::FaultKind;
use crate::history::{Entry, Event};

/// A fault that devices have to recover from.
struct Harm {
    at_us: u64,
    action: FaultKind,
    /// The instances that were hit, each with its newest incarnation at that time.
    hit: Vec<(String, u64)>,
    /// The span in which it disturbs.
    span: usize,
}

/// Collects recoveries while a history is read.
#[derive(Default)]
pub struct Recoveries {
    /// What each device has to recover from.
    waiting: FxHashMap<String, Vec<Rc<Harm>>>,
    /// The newest incarnation of each instance that spoke.
    incarnations: FxHashMap<String, u64>,
    /// Instances that the balancer has not noticed yet, since when.
    undetected: FxHashMap<String, u64>,
    devices: u64,
    /// In microseconds: few enough to be kept as they are, and the limit on them is sharp.
    times: Vec<u64>,
    detect_us: Option<u64>,
    last_us: u64,
}

impl Recoveries {
    /// Takes the next entry; `life` is the open ticket that `message` is about.
    pub fn observe(
        &mut self,
        entry: &Entry,
        message: Option<&Message<'_>>,
        life: Option<&Life>,
        disturbances: &mut Disturbances,
    ) {
        self.last_us = entry.at_us;
        let span = disturbances.observe(entry);
        match (&entry.event, span) {
            (Event::Fault { .. }, Some(span)) => self.begin(entry, span),
            (Event::Fault { instances, .. }, None) => instances.iter().for_each(|id| {
                self.undetected.remove(id);
            }),
            (Event::Health { id, healthy: false }, _) => {
                if let Some(since) = self.undetected.remove(id) {
                    self.detect_us = self.detect_us.max(Some(entry.at_us - since));
                }
            }
            _ => {}
        }
        if let Some(message) = message {
            self.heard(entry.at_us, message, life, disturbances);
        }
    }

    fn begin(&mut self, entry: &Entry, span: usize) {
        let Event::Fault {
            action,
            instances,
            affected,
            ..
        } = &entry.event
        else {
            return;
        };
        let incarnation = |id: &String| (id.clone(), self.incarnations.get(id).copied().unwrap_or(0));
        let harm = Rc::new(Harm {
            at_us: entry.at_us,
            action: *action,
            hit: instances.iter().map(incarnation).collect(),
            span,
        });
        self.devices += affected.len() as u64;
        for ep in affected {
            self.waiting.entry(ep.clone()).or_default().push(Rc::clone(&harm));
        }
        if silences(*action) {
            let unseen = instances.iter().map(|id| (id.clone(), entry.at_us));
            self.undetected.extend(unseen);
        }
    }

    fn heard(
        &mut self,
        at_us: u64,
        message: &Message<'_>,
        life: Option<&Life>,
        disturbances: &mut Disturbances,
    ) {
        if let Some(by) = &message.by {
            let newest = self.incarnations.entry(by.id.to_string()).or_default();
            *newest = by.incarnation.max(*newest);
        }
        let (Body::Response(response), Some(life)) = (&message.body, life) else {
            return;
        };
        if !response.success() || self.waiting.is_empty() {
            return;
        }
        let Some(list) = self.waiting.get_mut(&*life.ep) else {
            return;
        };
        list.retain(|harm| {
            let recovered = counts(harm, message, life);
            if recovered {
                self.times.push(at_us - harm.at_us);
                disturbances.recovered(harm.span, at_us);
            }
            !recovered
        });
        if list.is_empty() {
            self.waiting.remove(&*life.ep);
        }
    }

    /// The figures at the end of the history.
    pub fn figures(self) -> Failover {
        let left = self.waiting.values().flatten();
        let cut = left.map(|harm| Step::one(self.last_us - harm.at_us, false));
        let ended = self.times.iter().map(|micros| Step::one(*micros, true));
        let mut steps: Vec<Step> = ended.chain(cut).collect();
        steps.sort_by_key(Step::order);
        let figures = percentiles(&steps);
        Failover {
            devices: self.devices,
            n: figures.n,
            p50: figures.p50,
            p90: figures.p90,
            p99: figures.p99,
            max: figures.max,
            unrecovered: figures.unanswered,
            detect: self.detect_us.map(|micros| micros as f64 / 1000.0),
        }
    }
}

/// True if the balancer has to take the instance out.
fn silences(action: FaultKind) -> bool {
    use FaultKind::{Kill, Partition, Pause, Stop};
    matches!(action, Kill | Stop | Pause | Partition)
}

fn counts(harm: &Harm, message: &Message<'_>, life: &Life) -> bool {
    let asked_since = life.sent_us >= harm.at_us;
    let Some(by) = &message.by else {
        return asked_since;
    };
    let mut hit = harm.hit.iter();
    let of_hit = hit.any(|(id, incarnation)| by.id == *id && by.incarnation <= *incarnation);
    match harm.action {
        FaultKind::Kill | FaultKind::Stop => !of_hit,
        _ if of_hit || harm.hit.is_empty() => asked_since,
        _ => true,
    }
}
