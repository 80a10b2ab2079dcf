//! What a world knows about a run that the history does not say: the broker, wall time and what things cost.

use serde::{Deserialize, Serialize};

/// Handed over by the world at the end of a run; saved beside the history (`facts.json`), so that a report can be made
/// again. Everything unknown is `None` and absent in report.json.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
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
    /// The longest time by which its loop came too late to what was due, in milliseconds.
    pub lag_ms: f64,
    /// The longest time by which a request was made too late, in milliseconds.
    pub late_ms: f64,
    /// Datagrams that the kernel dropped because the harness did not read them in time.
    pub drops: u64,
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
