//! What a run says: one [`Report`] made from a judged history, and its renderings.
//!
//! In: the history and the [`RunFacts`]. Out: `report.json` (this struct, as it is), `report.md`, `latency.hgrm` and one
//! screen on the terminal. Every rendering reads the struct and nothing else.

mod assemble;
pub mod compare;
mod disturbances;
mod durations;
mod failover;
mod files;
mod latency;
mod lives;
mod markdown;
pub mod schema;
mod screen;
mod series;
mod tally;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::facts::{
    AddedDelay, BrokerFacts, Build, Floor, Harness, InstanceCost, Machine, ProcessCost, Provenance, RunFacts,
    Unsent, UsageSample,
};
pub use assemble::{Judged, judge, judge_entries};
pub use files::{FACTS_FILE, REPORT_FILE, ReportError, read_facts, write_facts, write_report};
pub use markdown::markdown;
pub use screen::{Style, brief, screen};

use crate::checker::{Applied, Breach, Violation};
use crate::operation::RequestKind;
use crate::scenario::ExpectationOutcome;

/// The version of report.json: raised when a member changes its meaning.
pub const SCHEMA: &str = "report/1";

/// report.json
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`]
    pub schema: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's question.
    pub question: String,
    /// The seed in force.
    pub seed: u64,
    /// `real` or `virtual`.
    pub world: String,
    /// The simulator's version.
    pub version: String,
    /// What was run, and on what.
    pub provenance: Option<Provenance>,
    /// The broker under the cluster.
    pub broker: BrokerFacts,
    /// How long the run lasted on its own clock, drain included.
    pub duration_s: f64,
    /// The wall time, set-up included.
    pub wall_s: f64,
    /// True if a person ended the run early.
    pub interrupted: bool,
    /// `pass`, `fail` or `inconclusive`
    pub verdict: Verdict,
    /// Why nothing can be concluded.
    pub reason: Option<String>,
    /// The lines of `[expect]`.
    pub expectations: Vec<ExpectationOutcome>,
    /// The fleet.
    pub devices: Devices,
    /// The tickets.
    pub tickets: Tickets,
    /// The registration events.
    pub events: Events,
    /// What no fault explains.
    #[serde(default)]
    pub defects: Defects,
    /// The broker's memories.
    pub eras: Vec<Era>,
    /// Latencies of answered tickets.
    pub latency_ms: Latencies,
    /// How long devices waited for the cluster.
    pub uplink_ms: Uplink,
    /// How long devices were without service.
    pub failover_ms: Failover,
    /// Rates.
    pub throughput: Throughput,
    /// What it cost.
    pub cost: Cost,
    /// The harness's own share in what was measured; absent in the virtual world.
    pub harness: Option<Harness>,
    /// The run over time, a row for each second.
    pub series: Vec<Second>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// How often each rule was applied, and how often it looked away and why.
    #[serde(default)]
    pub judged: BTreeMap<Breach, Applied>,
    /// The first counter-examples of each broken rule.
    pub counter_examples: Vec<Violation>,
}

/// What the run proves.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation holds.
    Pass,
    /// At least one does not, or an instance ended though no fault said so.
    #[default]
    Fail,
    /// Nothing: the harness itself was too late for what the rules assume, or did not send what it was asked for, or was
    /// interrupted.
    Inconclusive,
}

/// `devices`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Devices {
    /// As in the scenario.
    pub count: u64,
    /// Devices that believed to be registered at the end.
    pub registered: u64,
    /// Registers that were answered 2.01.
    pub registrations: u64,
    /// Updates that were answered 2.04.
    pub updates: u64,
    /// Registers of devices that had been registered before.
    pub reregistrations: u64,
    /// DTLS handshakes.
    pub handshakes: u64,
    /// Those after the first harmful fault.
    pub handshakes_after_fault: u64,
    /// Devices that learned that they are not registered any more.
    pub lost_registrations: u64,
    /// Registers and Updates that were answered with an error other than 4.04.
    pub refused: u64,
}

/// `tickets`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tickets {
    /// Tickets, probes included.
    pub sent: u64,
    /// Reads that the harness added after a fault to see when a device answers again.
    pub probes: u64,
    /// Tickets that were acked.
    pub acked: u64,
    /// Tickets that ended with the device's answer.
    pub responses: u64,
    /// Tickets that ended with an error.
    pub errors: u64,
    /// These by their code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// Values of observations.
    pub notifications: u64,
    /// Broken rules: the sum of the members that follow.
    pub violations: u64,
    /// How often each rule was broken, a member each; see [`Breach`].
    #[serde(flatten)]
    pub broken: BTreeMap<Breach, u64>,
    /// Publications of tickets after their first.
    pub repeats: u64,
    /// Copies of acks and outcomes that repeats brought.
    pub repeat_copies: u64,
    /// Tickets that a broker forgot.
    pub lost_with_broker: u64,
    /// Tickets without outcome of which nothing can be said: the run was interrupted, or nobody can have stored them.
    pub open: u64,
    /// Requests of the load that were not made because no device was registered.
    pub skipped: u64,
    /// Requests of the load that were not made because too many tickets were open.
    pub refused: u64,
}

/// `events`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// `REG_NEW`
    pub new: u64,
    /// `REG_UP`
    pub up: u64,
    /// `REG_DEL`
    pub del: u64,
    /// Events out of sequence.
    pub violations: u64,
    /// Events missed while the back end was disconnected.
    pub gaps: u64,
}

/// `defects`: an instance that ended by itself; in the virtual world also a script that the broker refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Defects {
    /// How many.
    pub count: u64,
    /// The first of them, a sentence each.
    pub messages: Vec<String>,
}

/// One of `eras`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Era {
    /// From the start of the run.
    pub start_s: f64,
    /// What was seen.
    pub reason: String,
}

/// `latency_ms`
///
/// A ticket belongs to `fault` if any part of its life, from the intended time to the answer, lies between a harmful fault
/// and F and one CoAP retransmission (3 s, RFC 7252, 4.8) after the last device that it hit answered again (a minute, if some
/// never did); to `steady` otherwise. Probes do not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Without a fault near.
    pub steady: Percentiles,
    /// Around faults.
    pub fault: Percentiles,
    /// All, from the intended time.
    pub overall: Percentiles,
    /// All, from the first publication: what a closed-loop tool would report.
    pub uncorrected: Percentiles,
    /// All, from the intended time, by what was asked.
    pub by_kind: BTreeMap<RequestKind, Percentiles>,
}

/// `uplink_ms`: from the moment in which a Register or an Update was due to the answer, as the device sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    /// Registers.
    pub register: Percentiles,
    /// Updates.
    pub update: Percentiles,
}

/// Milliseconds; absent if nothing was measured. What ended in an error or was never answered counts as one that would have
/// taken longer than it is known to have lasted (Kaplan and Meier's estimate).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many were answered.
    pub n: u64,
    /// How many were not.
    pub unanswered: u64,
    /// Median.
    pub p50: Option<f64>,
    /// 90 %
    pub p90: Option<f64>,
    /// 99 %
    pub p99: Option<f64>,
    /// 99.9 %
    pub p999: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// `failover_ms`: from a harmful fault to the first success of each device that it hit, or of a sample of them. One that did
/// not answer again until the end counts as one that would have taken longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// Devices that were watched, added up over the faults.
    pub devices: u64,
    /// Those that answered again.
    pub n: u64,
    /// Median.
    pub p50: Option<f64>,
    /// 90 %
    pub p90: Option<f64>,
    /// 99 %
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
    /// Those that did not answer again until the end.
    pub unrecovered: u64,
    /// From a fault until the balancer took its instance out; the longest.
    pub detect: Option<f64>,
}

/// `throughput`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// First registrations, from the first to the last.
    pub registrations_per_s: Option<f64>,
    /// Updates, from the first to the last.
    pub updates_per_s: Option<f64>,
    /// Answered tickets, from the first publication to the end of the load.
    pub tickets_per_s: Option<f64>,
}

/// One of `series`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which: 0 is the first.
    pub s: u64,
    /// Tickets of the load that were sent for the first time.
    pub sent: u64,
    /// Tickets of the load that were answered.
    pub answered: u64,
    /// Tickets of the load that ended in an error.
    pub failed: u64,
    /// Registers that were answered 2.01.
    pub registrations: u64,
    /// Updates that were answered 2.04.
    pub updates: u64,
    /// Devices that believed to be registered at its end.
    pub registered: u64,
    /// Tickets that were open at its end, probes included.
    pub open: u64,
    /// Median latency, from the intended time, of the load's tickets that ended.
    pub p50_ms: Option<f64>,
    /// 99 %
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// What each instance used, if that was measured.
    pub instances: BTreeMap<String, InstanceSecond>,
}

/// One of `series.N.instances`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceSecond {
    /// CPU seconds per second; more than 1 if it has several threads.
    pub cpu: f64,
    /// Resident memory.
    pub rss_kib: u64,
}

/// `cost`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Per instance.
    pub instances: Vec<InstanceReport>,
    /// The instances together.
    pub cluster: ClusterReport,
    /// The broker.
    pub broker: BrokerReport,
    /// The simulator.
    pub simulator: SimulatorReport,
    /// A bare UDP echo in the same run.
    pub floor: Option<Floor>,
}

/// One of `cost.instances`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The instance id.
    pub id: String,
    /// CPU seconds of all its incarnations.
    pub cpu_s: f64,
    /// CPU time per registration, Update and ticket, if the instance counts them.
    pub cpu_us_per_op: Option<f64>,
    /// Peak memory.
    pub rss_peak_kib: u64,
}

/// `cost.cluster`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// CPU seconds of all instances, if that was measured.
    pub cpu_s: Option<f64>,
    /// CPU time per registration, Update and answered ticket.
    pub cpu_us_per_op: Option<f64>,
    /// The same as a multiple of the floor.
    pub cpu_floors_per_op: Option<f64>,
    /// An instance's memory per registered device.
    pub bytes_per_device: Option<f64>,
}

/// `cost.broker`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerReport {
    /// CPU seconds.
    pub cpu_s: Option<f64>,
    /// Peak memory.
    pub rss_peak_kib: Option<u64>,
    /// Memory per registered device.
    pub bytes_per_device: Option<f64>,
}

/// `cost.simulator`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimulatorReport {
    /// CPU seconds.
    pub cpu_s: Option<f64>,
    /// Peak memory.
    pub rss_peak_kib: Option<u64>,
    /// Memory per virtual device.
    pub bytes_per_device: Option<f64>,
}

impl Report {
    /// How often a rule looked away.
    pub fn excused(&self) -> u64 {
        self.judged.values().flat_map(|rule| rule.excused.values()).sum()
    }

    /// As `Expectation::judge` and other readers of JSON see it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report has string keys and finite numbers only")
    }
}
