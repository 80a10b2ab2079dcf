//! The simulation and load-testing harness.

pub mod backend;
pub mod balancer;
pub mod checker;
pub mod cli;
pub mod fleet;
pub mod history;
pub mod load;
pub mod network;
pub mod real;
pub mod report;
pub mod run;
pub mod scenario;
pub mod seed;
