//! `--repeat N`: the same run N times, each with a report of its own, and what they have in common: medians and spread.

use std::path::Path;

use super::output::{Form, show};
use super::{End, Failure, say};
use crate::experiment::{World, run_once};
use crate::report::Report;
use crate::report::compare::{Row, spread_table, spreads};
use crate::run::RunOptions;
use crate::scenario::Scenario;

/// Medians and spread of the runs, in the report directory. The runs are beside it, a directory each.
const REPEATS_FILE: &str = "repeats.json";

/// Runs `count` times; fewer if somebody interrupts. One run alone has the report directory for itself.
pub fn run(
    scenario: &Scenario,
    options: &RunOptions,
    world: World<'_>,
    form: Form,
    count: u32,
) -> Result<Vec<Report>, Failure> {
    let mut reports = Vec::new();
    for number in 1..=count {
        let mut options = options.clone();
        if count > 1 {
            options.out.push(format!("run-{number}"));
            let made = std::fs::create_dir(&options.out);
            made.map_err(|error| Failure::Environment(format!("{}: {error}", options.out.display())))?;
        }
        let report = run_once(scenario, &options, world)?.report;
        show(&report, &options.out, form);
        let interrupted = report.interrupted;
        reports.push(report);
        if interrupted {
            break;
        }
    }
    if count > 1 {
        let rows = spreads(&reports);
        if form != Form::Json {
            say(&format!("\n{} runs\n{}", reports.len(), spread_table(&rows)));
        }
        write(&rows, &options.out.join(REPEATS_FILE))?;
    }
    Ok(reports)
}

/// The worst of them.
pub fn end_of(reports: &[Report]) -> End {
    let ends = reports.iter().map(|report| match report.interrupted {
        true => End::Interrupted,
        false => report.verdict.into(),
    });
    ends.max_by_key(|end| match end {
        End::Pass => 0,
        End::Inconclusive => 1,
        End::ExpectationFailed => 2,
        End::Interrupted => 3,
    })
    .unwrap_or(End::Pass)
}

fn write(rows: &[Row], path: &Path) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(rows).map_err(std::io::Error::from);
    let written = json.and_then(|json| std::fs::write(path, json + "\n"));
    written.map_err(|error| Failure::Environment(format!("{}: {error}", path.display())))
}
