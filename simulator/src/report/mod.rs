//! What a run says: one report made from a judged history, and its renderings.

pub mod facts;

pub use facts::{BrokerFacts, Floor, InstanceCost, ProcessCost, RunFacts};
