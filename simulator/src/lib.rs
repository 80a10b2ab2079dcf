//! The simulation and load-testing harness.

pub mod backend;
pub mod balancer;
pub mod checker;
pub mod cli;
pub mod dialect;
pub mod experiment;
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
pub mod real;
mod recorder;
pub mod report;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod targets;
pub mod virtual_world;
