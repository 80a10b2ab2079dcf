//! From a history to a report: reads the file once to judge and measure, and once more for the stories of what is wrong.

use std::path::Path;

use hdrhistogram::Histogram;

use super::failover::Recoveries;
use super::latency::{self, RETRANSMISSION_US};
use super::tally::Tally;
use super::verdict::{Asked, verdict};
use super::{
    BrokerReport, ClusterReport, Cost, Defects, InstanceReport, Report, RunFacts, SCHEMA, SimulatorReport,
};
use crate::checker::{Checker, Message, Rules, tell_stories};
use crate::history::{Entry, HistoryError, HistoryReader};
use crate::scenario::Scenario;

/// Defects that are told in full.
const SHOWN_DEFECTS: usize = 20;

/// A report, and what it was made from that is no part of it.
pub struct Judged {
    /// report.json
    pub report: Report,
    /// All latencies from the intended time, in microseconds.
    pub latency: Histogram<u64>,
}

/// Judges a history. `scenario` is what was run (its `[expect]` gives the verdict).
pub fn judge(history: &Path, scenario: &Scenario, facts: &RunFacts) -> Result<Judged, HistoryError> {
    let mut reader = HistoryReader::open(history)?;
    let mut reading = Reading::new(scenario);
    for entry in reader.by_ref() {
        reading.observe(&entry?);
    }
    let mut judged = reading.finish(scenario, facts);
    let header = reader.header();
    judged.report.seed = header.seed;
    judged.report.world = header.world.clone();
    judged.report.version = header.version.clone();
    if reader.truncated() {
        judged
            .report
            .warnings
            .push("the history has no end: its writer was killed, or still writes".into());
    }
    let again = HistoryReader::open(history)?.map_while(Result::ok);
    tell_stories(&mut judged.report.counter_examples, again);
    Ok(judged)
}

/// Judges a history that is on no disk. `facts` are asked for at its end. Its counter-examples have no stories.
pub fn judge_entries(
    entries: impl Iterator<Item = Entry>,
    scenario: &Scenario,
    facts: impl FnOnce() -> RunFacts,
) -> Report {
    let mut reading = Reading::new(scenario);
    entries.for_each(|entry| reading.observe(&entry));
    reading.finish(scenario, &facts()).report
}

/// Everything that looks at the entries.
pub struct Reading {
    rules: Rules,
    checker: Checker,
    tally: Tally,
    recoveries: Recoveries,
}

impl Reading {
    pub fn new(scenario: &Scenario) -> Self {
        let rules = Rules::of(scenario);
        Reading {
            rules,
            checker: Checker::new(rules),
            tally: Tally::default(),
            recoveries: Recoveries::default(),
        }
    }

    pub fn observe(&mut self, entry: &Entry) {
        let parsed = Message::of(entry);
        let message = parsed.as_ref().and_then(|parsed| parsed.as_ref().ok());
        self.tally.observe(entry, message);
        let ticket = message.and_then(|message| self.checker.ticket_of(message));
        self.recoveries.observe(entry, message, ticket);
        self.checker.observe_parsed(entry, parsed.as_ref());
    }

    pub fn finish(mut self, scenario: &Scenario, facts: &RunFacts) -> Judged {
        let window = self.rules.bound_us.saturating_add(RETRANSMISSION_US);
        let windows: Vec<_> = self
            .recoveries
            .harmful_at()
            .iter()
            .map(|at| (*at, at.saturating_add(window)))
            .collect();
        let measured = latency::measure(self.checker.tickets(), &windows);
        let throughput = self.tally.throughput(self.checker.tickets());
        let (judgement, tickets) = self.checker.finish();
        let mut counts = self.tally.tickets(&tickets, &judgement);
        (counts.skipped, counts.refused) = (facts.unsent.skipped, facts.unsent.refused);
        let exits = self.tally.take_warnings();
        let mut report = Report {
            schema: SCHEMA.into(),
            scenario: scenario.name.clone(),
            question: scenario.question.clone(),
            seed: scenario.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            broker: facts.broker.clone(),
            duration_s: self.tally.duration_s(),
            wall_s: facts.wall_s,
            interrupted: self.tally.interrupted,
            devices: self.tally.devices(scenario.devices.count()),
            events: self.tally.events(&judgement),
            defects: defects(&facts.defects, &exits),
            eras: self.tally.eras(),
            latency_ms: measured.figures(),
            failover_ms: self.recoveries.figures(),
            throughput,
            cost: cost(facts, self.tally.operations(&counts)),
            harness: facts.harness.clone(),
            tickets: counts,
            warnings: [scenario.warnings.clone(), facts.warnings.clone(), exits.clone()].concat(),
            counter_examples: judgement.violations,
            ..Report::default()
        };
        let json = report.to_json();
        report.expectations = scenario
            .expect
            .iter()
            .map(|expectation| expectation.judge(&json))
            .collect();
        let asked = Asked {
            load: !scenario.load.is_empty(),
            lossless: scenario.networks().all(|network| network.loss == 0.0),
        };
        (report.verdict, report.reason) = verdict(&report, asked);
        Judged {
            report,
            latency: measured.overall,
        }
    }
}

/// What the world saw, or for a world that looks at nothing but its history, what that says.
fn defects(seen: &[String], exits: &[String]) -> Defects {
    let messages = if seen.is_empty() { exits } else { seen };
    Defects {
        count: messages.len() as u64,
        messages: messages.iter().take(SHOWN_DEFECTS).cloned().collect(),
    }
}

fn cost(facts: &RunFacts, operations: u64) -> Cost {
    let cpu_s: f64 = facts.instances.iter().map(|instance| instance.cpu_s).sum();
    let cpu_us_per_op = (operations > 0 && cpu_s > 0.0).then(|| cpu_s * 1e6 / operations as f64);
    let floor = facts
        .floor
        .as_ref()
        .map(|floor| floor.cpu_us_per_datagram)
        .filter(|floor| *floor > 0.0);
    let instance = |instance: &super::InstanceCost| InstanceReport {
        id: instance.id.clone(),
        cpu_s: instance.cpu_s,
        cpu_us_per_op: instance
            .operations
            .filter(|count| *count > 0)
            .map(|count| instance.cpu_s * 1e6 / count as f64),
        rss_peak_kib: instance.rss_peak_kib,
    };
    Cost {
        instances: facts.instances.iter().map(instance).collect(),
        cluster: ClusterReport {
            cpu_s,
            cpu_us_per_op,
            cpu_floors_per_op: cpu_us_per_op.zip(floor).map(|(cost, floor)| cost / floor),
            bytes_per_device: facts.server_bytes_per_device,
        },
        broker: BrokerReport {
            cpu_s: facts.broker_cost.as_ref().map(|cost| cost.cpu_s),
            rss_peak_kib: facts.broker_cost.as_ref().map(|cost| cost.rss_peak_kib),
            bytes_per_device: facts.broker_bytes_per_device,
        },
        simulator: SimulatorReport {
            cpu_s: facts.simulator.as_ref().map(|cost| cost.cpu_s),
            rss_peak_kib: facts.simulator.as_ref().map(|cost| cost.rss_peak_kib),
            bytes_per_device: facts.bytes_per_device,
        },
        floor: facts.floor.clone(),
    }
}
