//! When faults strike, whom they hit, and what the history says of it: the same for both worlds.
//!
//! In: the faults of a scenario, in the order of time; what a world says of its instances. Out: orders to the world, what
//! goes into the history, and probes of those who were hit. A world only says what it can do: [`FaultWorld`].

use std::sync::Arc;

use lwm2m::time::Time;

use crate::fault::{Fault, FaultAction};
use crate::history::Event;
use crate::outside::Outside;
use crate::progress::seconds;
use crate::targets::{Candidate, Target};

/// What is known of an instance.
#[derive(Clone, Debug)]
pub struct InstanceSeen {
    /// Its id.
    pub id: String,
    /// Its CoAP port.
    pub port: u16,
    /// It has a process.
    pub running: bool,
}

/// A world in which faults happen.
pub trait FaultWorld {
    /// What stands around the cluster, and the faults to come.
    fn outside(&mut self) -> &mut Outside;
    /// The instances, by index.
    fn instances(&self) -> Vec<InstanceSeen>;
    /// The steward of an endpoint, where somebody can tell.
    fn steward_of(&mut self, _now: Time, _endpoint: &str) -> Option<usize> {
        None
    }
    /// Does to an instance what a fault wants; an error says why that makes no sense now.
    fn apply(&mut self, now: Time, instance: usize, action: &FaultAction) -> Result<(), String>;
    /// Does it to the broker.
    fn apply_to_broker(&mut self, now: Time, action: &FaultAction) -> Result<(), String>;
    /// Does it to the back end's connections.
    fn apply_to_back_end(&mut self, now: Time, action: &FaultAction) -> Result<(), String>;
    /// From now on counts the outputs of an instance; after so many the world calls [`FaultWorld::strike_between_outputs`].
    /// False if the instance makes none, or nobody can count them.
    fn count_outputs(&mut self, _now: Time, _instance: usize, _outputs: u32) -> bool {
        false
    }
    /// The time after something that was begun at `now`: where time does not stand still meanwhile, a later one.
    fn time_after(&self, now: Time) -> Time {
        now
    }
    /// Puts an event into the history.
    fn record(&mut self, now: Time, event: Event);
    /// Tells a person.
    fn note(&mut self, text: &str);
    /// Tells a person, and the reader of the report.
    fn warn(&mut self, text: String);

    /// Lets happen what is due.
    fn inject_faults(&mut self, now: Time) {
        while let Some(fault) = self.outside().faults.poll(now) {
            let done = self.outside().inject(now, &fault.action);
            match done {
                Some(Ok(names)) => self.note_fault(now, &fault, &[], names),
                Some(Err(reason)) => self.note_no_effect(now, &fault, reason),
                None => self.aim(now, fault),
            }
        }
    }

    /// The moment has come for which a fault waits at this instance.
    fn strike_between_outputs(&mut self, now: Time, instance: usize) {
        if let Some(fault) = self.outside().faults.waiting.remove(&instance) {
            self.strike(now, &fault, &[instance]);
        }
    }

    /// Chooses whom a fault of the cluster hits. With `outputs` it waits there until the instance is between two of them.
    fn aim(&mut self, now: Time, fault: Fault) {
        if fault.target == Target::BackEnd {
            let done = self.apply_to_back_end(now, &fault.action);
            return self.note_outcome(now, &fault, done);
        }
        if fault.action.hits_broker() {
            let done = self.apply_to_broker(now, &fault.action);
            return self.note_outcome(now, &fault, done);
        }
        let candidates = self.candidates(now);
        let chosen = self.outside().faults.choose(&fault, &candidates);
        let Some(outputs) = fault.outputs else {
            return self.strike(now, &fault, &chosen);
        };
        let (waits, at_once): (Vec<_>, Vec<_>) = chosen
            .into_iter()
            .partition(|&instance| self.count_outputs(now, instance, outputs));
        let waiting = waits.iter().map(|&instance| (instance, fault.clone()));
        self.outside().faults.waiting.extend(waiting);
        self.outside().faults.last_faulted = waits;
        if !at_once.is_empty() {
            self.strike(now, &fault, &at_once);
        }
    }

    /// What is known of the instances.
    fn candidates(&mut self, now: Time) -> Vec<Candidate> {
        let back_end = &self.outside().back_end;
        let owners = back_end.registry().owners();
        let endpoint = back_end.busiest_endpoint();
        let owner = endpoint
            .as_deref()
            .and_then(|endpoint| back_end.registry().owner(endpoint));
        let steward = endpoint.and_then(|endpoint| self.steward_of(now, &endpoint));
        let instances = self.instances().into_iter().enumerate();
        let candidate = |(index, instance): (usize, InstanceSeen)| Candidate {
            running: instance.running,
            devices: owners.get(&instance.port).copied().unwrap_or(0),
            steward: steward == Some(index),
            owner: owner == Some(instance.port),
        };
        instances.map(candidate).collect()
    }

    /// Does to instances what a fault wants.
    fn strike(&mut self, now: Time, fault: &Fault, chosen: &[usize]) {
        let mut hit = Vec::new();
        for &instance in chosen {
            self.outside().faults.waiting.remove(&instance);
            match self.apply(now, instance, &fault.action) {
                Ok(()) => hit.push(instance),
                Err(reason) => self.note_no_effect(now, fault, &reason),
            }
        }
        if hit.is_empty() {
            return;
        }
        // It was done before this: what has a later time was said after the fault.
        let now = self.time_after(now);
        let instances = self.instances();
        let registry = self.outside().back_end.registry();
        let owned = hit
            .iter()
            .flat_map(|&index| registry.owned_by(instances[index].port));
        let owned = owned.collect();
        self.note_harm(now, fault, &hit, owned);
        self.outside().faults.last_faulted = hit;
    }

    /// A fault that hits no instance has happened, or could not.
    fn note_outcome(&mut self, now: Time, fault: &Fault, done: Result<(), String>) {
        match done {
            Ok(()) => {
                let all = self.outside().back_end.registry().endpoints().to_vec();
                self.note_harm(now, fault, &[], all);
            }
            Err(reason) => self.note_no_effect(now, fault, &reason),
        }
    }

    /// Notes a fault of the cluster; if it is harmful, a sample of those whom it hit is asked until they answer again.
    fn note_harm(&mut self, now: Time, fault: &Fault, hit: &[usize], mut affected: Vec<Arc<str>>) {
        if !fault.action.harmful() {
            affected.clear();
        }
        let sample = self.outside().sample(affected);
        let names = sample.iter().map(|endpoint| endpoint.to_string()).collect();
        self.note_fault(now, fault, hit, names);
        for endpoint in sample {
            self.outside().back_end.probe(now, endpoint);
        }
    }

    /// Says in the history what has happened to whom.
    fn note_fault(&mut self, now: Time, fault: &Fault, hit: &[usize], affected: Vec<String>) {
        let all = self.instances();
        let instances: Vec<String> = hit.iter().map(|&index| all[index].id.clone()).collect();
        let action = fault.action.kind();
        let devices = match affected.len() {
            0 => String::new(),
            count => format!(" ({count} devices)"),
        };
        let (at, whom) = (seconds(now), instances.join(", "));
        self.note(&format!("{at:>7.1} s  {action} {whom}{devices}"));
        self.record(
            now,
            Event::Fault {
                action,
                instances,
                affected,
                harmful: fault.action.harmful(),
                lasts_us: fault.action.lasts_us(),
            },
        );
    }

    /// Says that nothing has happened, and why.
    fn note_no_effect(&mut self, now: Time, fault: &Fault, reason: &str) {
        let action = fault.action.kind();
        self.warn(format!("the fault `{action}` at {now} had no effect: {reason}"));
    }
}
