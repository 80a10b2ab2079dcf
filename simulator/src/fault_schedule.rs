//! The faults of a run in the order of time, and what is remembered of those that have struck.

use std::collections::{BTreeMap, VecDeque};

use lwm2m::time::Time;
use rand::rngs::ChaCha8Rng;

use crate::fault::Fault;
use crate::targets::{Candidate, choose};

/// The faults of a run, and what is remembered of those that have struck.
pub struct FaultSchedule {
    to_come: VecDeque<Fault>,
    /// Draws whom they hit.
    pub random: ChaCha8Rng,
    /// The fault that waits for the moment between two outputs of an instance.
    pub waiting: BTreeMap<usize, Fault>,
    /// The instances that the last one hit.
    pub last_faulted: Vec<usize>,
}

impl FaultSchedule {
    /// Of these, in the order of time.
    pub fn new(faults: &[Fault], random: ChaCha8Rng) -> Self {
        FaultSchedule {
            to_come: faults.iter().cloned().collect(),
            random,
            waiting: BTreeMap::new(),
            last_faulted: Vec::new(),
        }
    }

    /// When the next one is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.to_come.front().map(|fault| Time::ZERO + fault.at)
    }

    /// The next one that is due.
    pub fn poll(&mut self, now: Time) -> Option<Fault> {
        self.next_deadline().filter(|at| *at <= now)?;
        self.to_come.pop_front()
    }

    /// The instances that it hits.
    pub fn choose(&mut self, fault: &Fault, candidates: &[Candidate]) -> Vec<usize> {
        choose(
            fault.target,
            fault.action.kind().wants_running(),
            candidates,
            &self.last_faulted,
            &mut self.random,
        )
    }
}
