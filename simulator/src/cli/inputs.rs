//! The files that the command line names: scenarios and reports, read and checked.

use std::path::Path;

use super::Failure;
use crate::report::schema::wrong_path;
use crate::report::{REPORT_FILE, Report};
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

/// Reads what the command line names as the runs of one side: a report.json, the directory of a run, or that of several
/// (`--repeat`). Not empty.
pub fn read_reports(path: &Path) -> Result<Vec<Report>, Failure> {
    let read = |path: &Path| Report::read(path).map_err(|error| Failure::Usage(error.to_string()));
    if !path.is_dir() || path.join(REPORT_FILE).exists() {
        let file = if path.is_dir() {
            path.join(REPORT_FILE)
        } else {
            path.to_path_buf()
        };
        return Ok(vec![read(&file)?]);
    }
    let unreadable = |error: std::io::Error| Failure::Usage(format!("{}: {error}", path.display()));
    let inside = std::fs::read_dir(path).map_err(unreadable)?;
    let files = inside.filter_map(|entry| Some(entry.ok()?.path().join(REPORT_FILE)));
    let mut files: Vec<_> = files.filter(|file| file.exists()).collect();
    files.sort();
    if files.is_empty() {
        let path = path.display();
        return Err(Failure::Usage(format!(
            "{path}: neither {REPORT_FILE} nor directories with one in it"
        )));
    }
    files.iter().map(|file| read(file)).collect()
}
