//! The simulation and load-testing harness.

pub mod backend;
pub mod balancer;
pub mod checker;
#[allow(clippy::disallowed_methods, reason = "says how long things take")]
pub mod cli;
pub mod dialect;
#[allow(clippy::disallowed_methods, reason = "says how long a run took")]
pub mod experiment;
mod exponential;
pub mod facts;
pub mod fault;
mod fault_driver;
mod fault_schedule;
pub mod fleet;
pub mod history;
pub mod load;
pub mod network;
pub mod operation;
mod outside;
pub mod parties;
mod progress;
mod provenance;
#[allow(clippy::disallowed_methods, reason = "the real world has a real clock")]
pub mod real;
mod recorder;
pub mod report;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod targets;
pub mod virtual_world;
