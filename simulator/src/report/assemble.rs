//! From a history to a report: reads the file once to judge and measure, and once more for the stories of what is wrong.

use std::path::Path;

use hdrhistogram::Histogram;

use super::disturbances::Disturbances;
use super::failover::Recoveries;
use super::latency::{Measured, is_answer};
use super::lives::{Change, Lives};
use super::series::{Counted, Series};
use super::tally::Tally;
use super::verdict::{Asked, verdict};
use super::{
    BrokerReport, ClusterReport, Cost, Defects, InstanceReport, Report, RunFacts, SCHEMA, SimulatorReport,
};
use crate::checker::{Checker, Message, Rules, tell_stories};
use crate::history::{Entry, Event, HistoryError, HistoryReader};
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
    checker: Checker,
    tally: Tally,
    lives: Lives,
    disturbances: Disturbances,
    recoveries: Recoveries,
    latency: Measured,
    series: Series,
}

impl Reading {
    pub fn new(scenario: &Scenario) -> Self {
        Reading {
            checker: Checker::new(Rules::of(scenario)),
            tally: Tally::new(),
            lives: Lives::default(),
            disturbances: Disturbances::of(scenario),
            recoveries: Recoveries::default(),
            latency: Measured::new(),
            series: Series::new(),
        }
    }

    pub fn observe(&mut self, entry: &Entry) {
        let parsed = Message::of(entry);
        let message = parsed.as_ref().and_then(|parsed| parsed.as_ref().ok());
        self.series
            .go_on(entry.at_us, self.tally.registered(), self.lives.open());
        self.tally.observe(entry, message);
        match entry.event {
            Event::DeviceRegistered { .. } => self.series.count(Counted::Registered),
            Event::DeviceUpdated { .. } => self.series.count(Counted::Updated),
            _ => {}
        }
        let life = message.and_then(|message| self.lives.find(message));
        self.recoveries
            .observe(entry, message, life, &mut self.disturbances);
        self.observe_ticket(entry, message);
        self.checker.observe_parsed(entry, parsed.as_ref());
    }

    fn observe_ticket(&mut self, entry: &Entry, message: Option<&Message<'_>>) {
        let Some(change) = self.lives.observe(entry, message) else {
            return;
        };
        self.tally.observe_ticket(entry.at_us, &change);
        match change {
            Change::Sent(life) if !life.probe => self.series.count(Counted::Sent),
            Change::Ended(life, ending) if !life.probe => {
                let at = entry.at_us;
                let disturbed = self.disturbances.touch(&life.ep, life.intended_us, at);
                self.latency.note(&life, Some(&ending), at, disturbed);
                let answered = is_answer(&life, Some(&ending));
                self.series.ended(at.saturating_sub(life.intended_us), answered);
            }
            _ => {}
        }
    }

    /// What is open at the end has lasted until then.
    fn end_open(&mut self) -> u64 {
        let (lives, end) = (std::mem::take(&mut self.lives), self.tally.last_us());
        let open = lives.open();
        for life in lives.into_open().filter(|life| !life.probe) {
            let disturbed = self.disturbances.touch(&life.ep, life.intended_us, end);
            self.latency.note(&life, None, end, disturbed);
        }
        open
    }

    pub fn finish(mut self, scenario: &Scenario, facts: &RunFacts) -> Judged {
        let open = self.end_open();
        let judgement = self.checker.finish();
        let mut counts = self.tally.tickets(&judgement);
        (counts.skipped, counts.refused) = (facts.unsent.skipped, facts.unsent.refused);
        let exits = self.tally.take_warnings();
        let mut report = Report {
            schema: SCHEMA.into(),
            scenario: scenario.name.clone(),
            question: scenario.question.clone(),
            seed: scenario.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            provenance: facts.provenance.clone(),
            broker: facts.broker.clone(),
            duration_s: self.tally.last_us() as f64 / 1e6,
            wall_s: facts.wall_s,
            interrupted: self.tally.interrupted,
            devices: self.tally.devices(scenario.devices.count()),
            events: self.tally.events(&judgement),
            defects: defects(&facts.defects, &exits),
            eras: self.tally.eras(),
            latency_ms: self.latency.figures(),
            uplink_ms: self.tally.uplink(),
            failover_ms: self.recoveries.figures(),
            throughput: self.tally.throughput(),
            cost: cost(facts, self.tally.operations()),
            series: self.series.finish(self.tally.registered(), open, &facts.usage),
            harness: facts.harness.clone(),
            tickets: counts,
            warnings: [scenario.warnings.clone(), facts.warnings.clone(), exits.clone()].concat(),
            judged: judgement.judged,
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
            latency: self.latency.overall(),
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
    let measured = facts.instances.iter().map(|instance| instance.cpu_s);
    let cpu_s = measured.reduce(|sum, cpu_s| sum + cpu_s);
    let cpu_us_per_op = cpu_s.filter(|cpu_s| operations > 0 && *cpu_s > 0.0);
    let cpu_us_per_op = cpu_us_per_op.map(|cpu_s| cpu_s * 1e6 / operations as f64);
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
