//! Two reports side by side: what changed, and whether it changed for the worse by more than is allowed.

use std::fmt::Write as _;

use super::Report;
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

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The path in report.json.
    pub path: &'static str,
    /// Before; `None` if it was not measured.
    pub old: Option<f64>,
    /// After.
    pub new: Option<f64>,
    /// By what share it became worse; negative if better, infinite from zero.
    pub worse_by: f64,
}

/// All figures that both or one of the reports have.
pub fn compare(old: &Report, new: &Report) -> Vec<Change> {
    let (old, new) = (old.to_json(), new.to_json());
    let figure = |figure: &Figure| {
        let read = |report| value_at(report, figure.path).and_then(serde_json::Value::as_f64);
        let (old, new) = (read(&old), read(&new));
        old.or(new)?;
        Some(Change {
            path: figure.path,
            old,
            new,
            worse_by: worse_by(old, new, figure.worse),
        })
    };
    FIGURES.iter().filter_map(figure).collect()
}

fn worse_by(old: Option<f64>, new: Option<f64>, worse: Worse) -> f64 {
    match (old, new) {
        (Some(old), Some(new)) => {
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

/// The changes that are worse by more than `limit`, a share.
pub fn regressions(changes: &[Change], limit: f64) -> Vec<&Change> {
    changes.iter().filter(|change| change.worse_by > limit).collect()
}

/// A table for people; `limit` marks what is worse by more.
pub fn table(changes: &[Change], limit: Option<f64>) -> String {
    let mut text = format!("{:<36} {:>12} {:>12} {:>9}\n", "", "old", "new", "worse by");
    let show = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.2}"));
    for change in changes {
        let mark = if limit.is_some_and(|limit| change.worse_by > limit) {
            "  REGRESSION"
        } else {
            ""
        };
        let by = if change.worse_by.is_infinite() {
            "∞".into()
        } else {
            format!("{:+.1} %", change.worse_by * 100.0)
        };
        let (old, new) = (show(change.old), show(change.new));
        let _ = writeln!(text, "{:<36} {old:>12} {new:>12} {by:>9}{mark}", change.path);
    }
    text
}
