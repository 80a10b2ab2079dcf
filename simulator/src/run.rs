//! What the command line and a world agree on: how a run is asked for, and what it hands back.
//!
//! A world (`real::run`, `virtual_world::run`) takes a [`Scenario`] and [`RunOptions`],
//! writes the history, and returns an [`Outcome`]. Judging and reporting are the caller's.

use std::path::PathBuf;

use crate::facts::RunFacts;
use crate::history::{Header, SCHEMA};
use crate::scenario::{RedisChoice, Scenario};

/// How a run is carried out; what is not in the scenario.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The seed in force: `--seed`, else the scenario's.
    pub seed: u64,
    /// The broker in force: `--redis`, else `REDIS_URL`, else the scenario's.
    pub redis: RedisChoice,
    /// The report directory. It exists and is empty; the world writes `history.jsonl.zst` ([`HISTORY_FILE`]) and
    /// each instance's log (`instance-A.log`) into it.
    pub out: PathBuf,
    /// No progress on the terminal.
    pub quiet: bool,
}

/// The header of the history of this scenario by this version of the simulator; `world` is `real` or `virtual`.
pub fn header(scenario: &Scenario, seed: u64, world: &str, started_ms: u64) -> Header {
    Header {
        schema: SCHEMA.into(),
        scenario: scenario.name.clone(),
        file: scenario.file.clone(),
        text: scenario.text.clone(),
        overrides: scenario.overrides.clone(),
        seed,
        version: env!("CARGO_PKG_VERSION").into(),
        world: world.into(),
        started_ms,
    }
}

/// The name of the history in the report directory.
pub const HISTORY_FILE: &str = "history.jsonl.zst";

/// A run that came to its end. Its history is complete: the last entry is `Event::Ended`.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The history, closed.
    pub history: PathBuf,
    /// What the history does not say: costs and versions.
    pub facts: RunFacts,
    /// True if Ctrl-C or SIGTERM ended it early.
    pub interrupted: bool,
}

/// The environment failed: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EnvironmentError {
    /// What was tried, what happened, what to do: `instance A did not get ready within 10 s; see reports/…/instance-A.log`.
    pub message: String,
}

impl EnvironmentError {
    /// From a sentence for a person.
    pub fn new(message: impl Into<String>) -> Self {
        EnvironmentError {
            message: message.into(),
        }
    }
}
