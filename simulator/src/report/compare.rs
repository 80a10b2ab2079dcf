//! Reports side by side: what changed, and whether it changed for the worse by more than is allowed and more than chance.
//!
//! Each side is one run, or several of the same (`--repeat`). Of several the median counts, and a change is none as long as the
//! ranges of both sides overlap. Runs of unlike things are not compared.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Provenance, Report};
use crate::scenario::expectation_value as value_at;

/// A figure that is compared, and which way is worse.
struct Figure {
    path: &'static str,
    worse: Worse,
}

#[derive(Copy, Clone, PartialEq)]
enum Worse {
    Higher,
    Lower,
}

const fn higher(path: &'static str) -> Figure {
    Figure {
        path,
        worse: Worse::Higher,
    }
}

const fn lower(path: &'static str) -> Figure {
    Figure {
        path,
        worse: Worse::Lower,
    }
}

const FIGURES: &[Figure] = &[
    higher("tickets.violations"),
    higher("events.violations"),
    higher("tickets.errors"),
    higher("devices.lost_registrations"),
    higher("devices.reregistrations"),
    higher("latency_ms.steady.p50"),
    higher("latency_ms.steady.p99"),
    higher("latency_ms.fault.p99"),
    higher("latency_ms.steady.unanswered"),
    higher("uplink_ms.register.p99"),
    higher("uplink_ms.update.p99"),
    higher("failover_ms.p50"),
    higher("failover_ms.p99"),
    higher("failover_ms.max"),
    higher("failover_ms.unrecovered"),
    lower("throughput.registrations_per_s"),
    lower("throughput.updates_per_s"),
    lower("throughput.tickets_per_s"),
    higher("cost.cluster.cpu_us_per_op"),
    higher("cost.cluster.cpu_floors_per_op"),
    higher("cost.cluster.bytes_per_device"),
    higher("cost.broker.cpu_s"),
    higher("cost.broker.bytes_per_device"),
    higher("cost.simulator.bytes_per_device"),
];

/// What several runs of the same gave for one figure.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; of an even number the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// A figure of several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The path in report.json.
    pub path: &'static str,
    /// What the runs gave.
    #[serde(flatten)]
    pub spread: Spread,
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The path in report.json.
    pub path: &'static str,
    /// Before; `None` if it was not measured.
    pub old: Option<Spread>,
    /// After.
    pub new: Option<Spread>,
    /// By what share the median became worse; negative if better, infinite from zero.
    pub worse_by: f64,
    /// The ranges do not overlap: it is more than chance.
    pub beyond_noise: bool,
}

/// Why these runs cannot be compared; nothing if they can. Each side is not empty.
pub fn unlike(old: &[Report], new: &[Report]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    let all: Vec<&Report> = old.iter().chain(new).collect();
    let Some((first, others)) = all.split_first() else {
        return reasons;
    };
    type Trait = (&'static str, fn(&Report) -> String);
    let traits: [Trait; 8] = [
        ("scenario", |report| report.scenario.clone()),
        ("scenario's content", |report| known(report, |it| &it.scenario)),
        ("world", |report| report.world.clone()),
        ("broker", |report| {
            format!("{} {}", report.broker.kind, report.broker.version)
        }),
        ("build profile", |report| known(report, |it| &it.build.profile)),
        ("processor", |report| known(report, |it| &it.machine.cpu)),
        ("number of cores", |report| known(report, |it| &it.machine.cores)),
        ("kernel", |report| known(report, |it| &it.machine.kernel)),
    ];
    for (name, read) in traits {
        let wanted = read(first);
        if let Some(other) = others
            .iter()
            .map(|report| read(report))
            .find(|found| *found != wanted)
        {
            reasons.push(format!("the {name} differs: `{wanted}` and `{other}`"));
        }
    }
    let inconclusive = all.iter().find_map(|report| report.reason.as_ref());
    reasons.extend(inconclusive.map(|reason| format!("one of them is inconclusive: {reason}")));
    reasons
}

fn known<T: ToString>(report: &Report, read: fn(&Provenance) -> &T) -> String {
    let provenance = report.provenance.as_ref();
    provenance.map_or("unknown".to_owned(), |provenance| read(provenance).to_string())
}

/// The figures that all of these runs have.
pub fn spreads(reports: &[Report]) -> Vec<Row> {
    let reports: Vec<_> = reports.iter().map(Report::to_json).collect();
    let row = |figure: &Figure| {
        let path = figure.path;
        spread(&reports, path).map(|spread| Row { path, spread })
    };
    FIGURES.iter().filter_map(row).collect()
}

fn spread(reports: &[serde_json::Value], path: &str) -> Option<Spread> {
    let read = |report| value_at(report, path).and_then(serde_json::Value::as_f64);
    let mut values: Vec<f64> = reports.iter().map(read).collect::<Option<_>>()?;
    values.sort_by(f64::total_cmp);
    let (low, high) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    };
    Some(Spread { median, low, high })
}

/// All figures that both or one of the sides have.
pub fn compare(old: &[Report], new: &[Report]) -> Vec<Change> {
    let json = |reports: &[Report]| reports.iter().map(Report::to_json).collect::<Vec<_>>();
    let (old, new) = (json(old), json(new));
    let figure = |figure: &Figure| {
        let (old, new) = (spread(&old, figure.path), spread(&new, figure.path));
        old.or(new)?;
        Some(Change {
            path: figure.path,
            old,
            new,
            worse_by: worse_by(old, new, figure.worse),
            beyond_noise: old
                .zip(new)
                .is_none_or(|(old, new)| old.high < new.low || new.high < old.low),
        })
    };
    FIGURES.iter().filter_map(figure).collect()
}

fn worse_by(old: Option<Spread>, new: Option<Spread>, worse: Worse) -> f64 {
    match (old, new) {
        (Some(Spread { median: old, .. }), Some(Spread { median: new, .. })) => {
            let growth = if worse == Worse::Higher {
                new - old
            } else {
                old - new
            };
            if growth == 0.0 { 0.0 } else { growth / old.abs() }
        }
        // What is measured no more may hide anything; what is measured for the first time is no change.
        (Some(_), None) => f64::INFINITY,
        _ => 0.0,
    }
}

impl Change {
    /// True if it is worse by more than `limit`, a share, and by more than chance.
    pub fn is_regression(&self, limit: f64) -> bool {
        self.worse_by > limit && self.beyond_noise
    }
}

/// The changes that are worse by more than `limit`, a share, and by more than chance.
pub fn regressions(changes: &[Change], limit: f64) -> Vec<&Change> {
    changes
        .iter()
        .filter(|change| change.is_regression(limit))
        .collect()
}

/// A table for people; `limit` marks what is worse by more.
pub fn table(changes: &[Change], limit: Option<f64>) -> String {
    let mut text = format!("{:<36} {:>22} {:>22} {:>9}\n", "", "old", "new", "worse by");
    for change in changes {
        let mark = match limit {
            Some(limit) if change.is_regression(limit) => "  REGRESSION",
            _ if change.worse_by != 0.0 && !change.beyond_noise => "  within the noise",
            _ => "",
        };
        let by = if change.worse_by.is_infinite() {
            "∞".into()
        } else {
            format!("{:+.1} %", change.worse_by * 100.0)
        };
        let (old, new) = (show(change.old), show(change.new));
        let _ = writeln!(text, "{:<36} {old:>22} {new:>22} {by:>9}{mark}", change.path);
    }
    text
}

/// The median, and if runs differ the range.
fn show(spread: Option<Spread>) -> String {
    match spread {
        None => "–".into(),
        Some(Spread { median, low, high }) if low == high => format!("{median:.2}"),
        Some(Spread { median, low, high }) => format!("{median:.2} ({low:.2}–{high:.2})"),
    }
}

/// What several runs of the same gave, for people.
pub fn spread_table(rows: &[Row]) -> String {
    let mut text = format!("{:<36} {:>12} {:>12} {:>12}\n", "", "median", "lowest", "highest");
    for Row { path, spread } in rows {
        let Spread { median, low, high } = spread;
        let _ = writeln!(text, "{path:<36} {median:>12.2} {low:>12.2} {high:>12.2}");
    }
    text
}
