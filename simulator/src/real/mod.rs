//! The real world: operating-system processes, UDP sockets, a real broker, signals.
//!
//! In: a scenario and how to run it. Out: the history on disk, and what the run cost. [`run`] goes through the phases
//! (broker, floor, instances, the run itself, drain, end of all processes); everything that decides anything is in the
//! pure modules, which the loop drives.

mod alarm;
mod canary;
mod child;
mod clock;
mod embedded;
mod floor;
mod health_socket;
mod instances;
mod message_broker;
mod northbound;
mod null_run;
mod run_loop;
mod setup;
mod socket;
mod usage;

pub use embedded::embedded_broker;
pub use run_loop::Interrupts;

use crate::run::{EnvironmentError, Outcome, RunOptions};
use crate::scenario::Scenario;

/// Carries out a run. Must be called on the main thread, because the kernel ends the child processes with the thread
/// that started them.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<Outcome, EnvironmentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            EnvironmentError::new(format!(
                "the operating system refuses what an event loop needs: {error}"
            ))
        })?;
    runtime.block_on(setup::carry_out(scenario, options))
}
