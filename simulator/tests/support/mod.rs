//! What the tests of the virtual world share: one run of a scenario, and all that came of it.

use std::path::Path;

use simulator::history::{Entry, HistoryReader};
use simulator::report::{Report, judge};
use simulator::run::RunOptions;
use simulator::scenario::{RedisChoice, Scenario};
use simulator::virtual_world;

/// A finished run.
pub struct Ran {
    /// What the judge says.
    pub report: Report,
    /// The history as it was written.
    #[allow(dead_code, reason = "not every test compares bytes")]
    pub history: Vec<u8>,
    /// The same, read.
    #[allow(dead_code, reason = "not every test looks for events")]
    pub entries: Vec<Entry>,
}

/// A scenario of the repository, by its path below `scenarios/`.
#[allow(dead_code, reason = "not every test runs one")]
pub fn scenario(name: &str, overrides: &[&str]) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|option| option.to_string()).collect();
    Scenario::parse_with(&text, name, &overrides).unwrap()
}

/// A fault as a scenario file has it; `rest` says what is done, and to whom.
#[allow(dead_code, reason = "not every test has faults of its own")]
pub fn fault(at_ms: u32, rest: &str) -> String {
    format!("\n[[fault]]\nat = \"{at_ms}ms\"\n{rest}\n")
}

/// Runs a scenario in the virtual world.
pub fn run(scenario: &Scenario, seed: u64) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions {
        seed,
        redis: RedisChoice::Embedded,
        out: directory.path().to_owned(),
        quiet: true,
    };
    let outcome = virtual_world::run(scenario, &options).unwrap();
    let report = judge(&outcome.history, scenario, &outcome.facts).unwrap().report;
    let entries = HistoryReader::open(&outcome.history).unwrap();
    Ran {
        report,
        history: std::fs::read(&outcome.history).unwrap(),
        entries: entries.map(|entry| entry.unwrap()).collect(),
    }
}
