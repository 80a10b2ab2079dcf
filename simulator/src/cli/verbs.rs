//! The verbs that run no scenario: `check`, `compare`, `replay`, `schema`.

use std::path::{Path, PathBuf};

use super::inputs::{read_reports, read_scenario};
use super::{End, Failure, SchemaOf, say, style};
use crate::history::HistoryReader;
use crate::report::{
    Report, compare as comparison, judge, read_facts, schema as report_schema, screen, write_report,
};
use crate::run::HISTORY_FILE;
use crate::scenario::{Scenario, schema as scenario_schema};

/// Validates files; every one is looked at, whatever the others are.
pub fn check(files: &[PathBuf], overrides: &[String]) -> Result<End, Failure> {
    let mut wrong = Vec::new();
    for file in files {
        match read_scenario(file, overrides) {
            Ok(scenario) => {
                say(&format!("{}: ok\n", file.display()));
                scenario
                    .warnings
                    .iter()
                    .for_each(|warning| say(&format!("  warning: {warning}\n")));
            }
            Err(Failure::Usage(message) | Failure::Environment(message)) => wrong.push(message),
        }
    }
    if wrong.is_empty() {
        Ok(End::Pass)
    } else {
        Err(Failure::Usage(wrong.join("\nerror: ")))
    }
}

/// Prints what changed between two reports.
pub fn compare(old: &Path, new: &Path, limit: Option<f64>) -> Result<End, Failure> {
    show_changes(&read_reports(old)?, &read_reports(new)?, limit)
}

/// Prints a table of changes; fails if one is worse than allowed.
pub fn show_changes(old: &[Report], new: &[Report], limit: Option<f64>) -> Result<End, Failure> {
    let reasons = comparison::unlike(old, new);
    if !reasons.is_empty() {
        let reasons = reasons.join("; ");
        return Err(Failure::Usage(format!(
            "these runs cannot be compared: {reasons}"
        )));
    }
    let changes = comparison::compare(old, new);
    say(&comparison::table(&changes, limit));
    let regressed = limit.is_some_and(|limit| !comparison::regressions(&changes, limit).is_empty());
    Ok(if regressed {
        End::ExpectationFailed
    } else {
        End::Pass
    })
}

/// Judges a saved history by the scenario in its header.
pub fn replay(history: &Path, out: Option<&Path>) -> Result<End, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let history = if history.is_dir() {
        history.join(HISTORY_FILE)
    } else {
        history.to_path_buf()
    };
    let directory = history.parent().unwrap_or(Path::new("."));
    let reader = HistoryReader::open(&history).map_err(|error| usage(&error))?;
    let header = reader.header();
    let scenario =
        Scenario::parse_with(&header.text, &header.file, &header.overrides).map_err(|error| usage(&error))?;
    let facts = read_facts(directory)
        .map_err(|error| usage(&error))?
        .unwrap_or_default();
    let judged = judge(&history, &scenario, &facts).map_err(|error| usage(&error))?;
    if let Some(out) = out {
        let failed = |error: &dyn std::fmt::Display| Failure::Environment(error.to_string());
        std::fs::create_dir_all(out).map_err(|error| failed(&error))?;
        write_report(out, &judged).map_err(|error| failed(&error))?;
    }
    say(&screen(&judged.report, out.unwrap_or(directory), style()));
    Ok(judged.report.verdict.into())
}

/// Prints a JSON Schema.
pub fn schema(of: SchemaOf) -> Result<End, Failure> {
    let schema = match of {
        SchemaOf::Scenario => scenario_schema::json_schema(),
        SchemaOf::Report => report_schema::json_schema(),
    };
    say(&format!("{schema:#}\n"));
    Ok(End::Pass)
}
