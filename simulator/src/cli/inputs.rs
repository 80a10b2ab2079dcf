//! The files that the command line names: scenarios and reports, read and checked.

use std::path::Path;

use super::Failure;
use crate::report::Report;
use crate::report::schema::wrong_path;
use crate::scenario::Scenario;

/// Reads and checks a scenario file.
pub fn read_scenario(file: &Path, overrides: &[String]) -> Result<Scenario, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{name}: the scenario file cannot be read: {error}")))?;
    parse_scenario(&text, &name, overrides)
}

/// Checks the text of a scenario; `name` is where it comes from.
pub fn parse_scenario(text: &str, name: &str, overrides: &[String]) -> Result<Scenario, Failure> {
    Scenario::parse_knowing(text, name, overrides, &wrong_path)
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// Reads a report.json that the command line names.
pub fn read_report(path: &Path) -> Result<Report, Failure> {
    Report::read(path).map_err(|error| Failure::Usage(error.to_string()))
}
