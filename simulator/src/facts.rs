//! What a world knows about a run that the history does not say: the broker, wall time and what things cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Handed over by the world at the end of a run; saved beside the history (`facts.json`), so that a report can be made
/// again. Everything unknown is `None` and absent in report.json.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// What was run, and on what.
    #[serde(default)]
    pub provenance: Option<Provenance>,
    /// Which broker it was.
    pub broker: BrokerFacts,
    /// The wall time of the whole run in seconds, set-up and drain included.
    pub wall_s: f64,
    /// One per instance id, its incarnations added up.
    pub instances: Vec<InstanceCost>,
    /// What the instances had used at times, about once a second.
    #[serde(default)]
    pub usage: Vec<UsageSample>,
    /// The broker's process, if the harness started it.
    pub broker_cost: Option<ProcessCost>,
    /// The simulator's own process.
    pub simulator: Option<ProcessCost>,
    /// The simulator's memory per virtual device in bytes.
    pub bytes_per_device: Option<f64>,
    /// An instance's memory per registered device in bytes.
    pub server_bytes_per_device: Option<f64>,
    /// The broker's memory per registered device in bytes.
    pub broker_bytes_per_device: Option<f64>,
    /// A bare UDP echo measured in the same run.
    pub floor: Option<Floor>,
    /// How late the harness itself was, if it can be.
    pub harness: Option<Harness>,
    /// The load that was not sent.
    #[serde(default)]
    pub unsent: Unsent,
    /// What a reader of the report should know: the load generator was late, a log has errors …
    pub warnings: Vec<String>,
    /// What happened that no fault explains and that no rule about tickets or events is about: see the report's `defects`.
    #[serde(default)]
    pub defects: Vec<String>,
}

/// How late the harness itself was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// What the harness adds to the time of an exchange, by a run against an echo before this one.
    pub added_ms: Option<AddedDelay>,
    /// The longest time by which its loop came too late to what was due, in milliseconds.
    pub lag_ms: f64,
    /// The longest time by which a request was made too late, in milliseconds.
    pub late_ms: f64,
    /// Datagrams that the kernel dropped because the harness did not read them in time.
    pub drops: u64,
}

/// What the harness adds to the time of an exchange, in milliseconds: three waits for a timer, a datagram sent and one
/// received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddedDelay {
    /// How many were measured.
    pub n: u64,
    /// Median.
    pub p50: f64,
    /// 99 %
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl AddedDelay {
    /// From delays in microseconds; none if there are none.
    pub fn of(mut micros: Vec<u64>) -> Option<AddedDelay> {
        micros.sort_unstable();
        let at = |percent: usize| {
            let rank = (micros.len() * percent).div_ceil(100).max(1);
            micros.get(rank - 1).map(|micros| *micros as f64 / 1000.0)
        };
        Some(AddedDelay {
            n: micros.len() as u64,
            p50: at(50)?,
            p99: at(99)?,
            max: at(100)?,
        })
    }
}

/// Requests of the load that were never made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unsent {
    /// No device was registered.
    pub skipped: u64,
    /// Too many tickets were open.
    pub refused: u64,
}

/// The broker under the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerFacts {
    /// `redis`, `valkey` or `embedded`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// What it says of its memory and its disk (CONFIG GET), as far as it does.
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
}

/// What was run, and on what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The program.
    pub build: Build,
    /// The machine.
    pub machine: Machine,
    /// Equal for scenarios that ask for the same, whatever their seed, their broker and their limits; scenario.toml in the report
    /// directory has the text.
    pub scenario: String,
}

/// How a program was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its version.
    pub version: String,
    /// The git commit, `-dirty` if files differed from it.
    pub commit: String,
    /// `debug` or `release`, with the level of optimisation.
    pub profile: String,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// How many there are for this process.
    pub cores: u64,
    /// The release of the Linux kernel.
    pub kernel: String,
}

/// What a process used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessCost {
    /// CPU time, user and system, in seconds.
    pub cpu_s: f64,
    /// The peak of its resident memory in KiB.
    pub rss_peak_kib: u64,
}

/// What an instance used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceCost {
    /// The instance id.
    pub id: String,
    /// CPU time, user and system, in seconds.
    pub cpu_s: f64,
    /// The peak of its resident memory in KiB.
    pub rss_peak_kib: u64,
    /// Registrations, Updates and tickets that it served, if it says so.
    pub operations: Option<u64>,
}

/// What an instance had used at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageSample {
    /// Microseconds since the start of the run.
    pub at_us: u64,
    /// The instance id.
    pub id: String,
    /// CPU time of all its incarnations so far, in seconds.
    pub cpu_s: f64,
    /// Resident memory in KiB; 0 while it does not run.
    pub rss_kib: u64,
}

/// A bare UDP echo, one receive and one send per datagram: the unit that costs are multiples of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// CPU time per datagram in microseconds.
    pub cpu_us_per_datagram: f64,
    /// Datagrams per second.
    pub datagrams_per_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_added_delay_is_the_rank_in_the_sorted_delays() {
        let added = AddedDelay::of((1..=200).rev().map(|n| n * 1000).collect());
        let expected = AddedDelay {
            n: 200,
            p50: 100.0,
            p99: 198.0,
            max: 200.0,
        };
        assert_eq!(added, Some(expected));
        assert_eq!(AddedDelay::of(Vec::new()), None);
    }
}
