//! The simulation and load-testing harness.

pub mod history;
