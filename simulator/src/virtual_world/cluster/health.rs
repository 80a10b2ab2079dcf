//! How the cluster is, for who wants it well: what a fault took from it and nobody has given back, whether all are ready,
//! and what its broker keeps that nobody refers to.

use lwm2m::time::Time;

use super::Cluster;
use crate::fault::FaultAction;
use crate::virtual_world::left_over::{LeftOver, left_over};

/// What has to happen so that the cluster can become well; by index of an instance, or to the broker.
#[derive(Debug, PartialEq)]
pub enum Remedy {
    /// To an instance: it is to be started, if there is no action.
    Instance(usize, FaultAction),
    /// To the broker.
    Broker(FaultAction),
}

impl Cluster {
    /// What gives back what is missing, in the order in which it has to happen.
    pub fn remedies(&self) -> Vec<Remedy> {
        let down = self.broker.down.is_some();
        let mut remedies: Vec<Remedy> = down
            .then_some(Remedy::Broker(FaultAction::RedisRestart))
            .into_iter()
            .collect();
        for (index, slot) in self.slots.iter().enumerate() {
            let process = slot.process.as_ref();
            let remedy = [
                slot.partitioned.then_some(FaultAction::Heal),
                process
                    .is_some_and(|process| process.paused)
                    .then_some(FaultAction::Resume),
                process.is_none().then_some(FaultAction::Restart),
            ];
            let remedy = remedy.into_iter().flatten();
            remedies.extend(remedy.map(|action| Remedy::Instance(index, action)));
        }
        remedies
    }

    /// True if an instance is a member and has both of its connections.
    pub fn is_ready(&self, instance: usize) -> bool {
        let slot = &self.slots[instance];
        let ready = slot.process.as_ref().is_some_and(|process| process.ready);
        ready && slot.linked
    }

    /// What the broker keeps and nobody refers to.
    pub fn left_over(&mut self, now: Time) -> Vec<LeftOver> {
        left_over(&self.broker.kept(now), self.northbound.prefix())
    }
}
