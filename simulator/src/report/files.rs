//! The report directory: `report.json`, `report.md`, `latency.hgrm` and the facts from which they can be made again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::latency::hgrm;
use super::{Judged, Report, RunFacts, markdown};

/// What the world knew beside the history.
pub const FACTS_FILE: &str = "facts.json";

/// The report for machines.
pub const REPORT_FILE: &str = "report.json";

/// A file of the report directory could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system said no.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Not a report of this version.
    #[error("{}: expected a report.json of schema \"{}\", found {found}", .path.display(), super::SCHEMA)]
    Format {
        /// The file.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
}

/// Writes all renderings into `directory`.
pub fn write_report(directory: &Path, judged: &Judged) -> Result<(), ReportError> {
    let json = serde_json::to_string_pretty(&judged.report).map_err(io::Error::from);
    let json = json.map_err(|source| ReportError::Io {
        path: directory.join(REPORT_FILE),
        source,
    })?;
    write(&directory.join(REPORT_FILE), &(json + "\n"))?;
    write(&directory.join("report.md"), &markdown(&judged.report))?;
    write(&directory.join("latency.hgrm"), &hgrm(&judged.latency))
}

impl Report {
    /// Reads a report.json.
    pub fn read(path: &Path) -> Result<Report, ReportError> {
        let text = read(path)?;
        let wrong = |found: String| ReportError::Format {
            path: path.into(),
            found,
        };
        let report: Report = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if report.schema != super::SCHEMA {
            return Err(wrong(format!("schema \"{}\"", report.schema)));
        }
        Ok(report)
    }
}

/// Saves the facts beside the history.
pub fn write_facts(directory: &Path, facts: &RunFacts) -> Result<(), ReportError> {
    let path = directory.join(FACTS_FILE);
    let json = serde_json::to_string_pretty(facts).map_err(io::Error::from);
    let json = json.map_err(|source| ReportError::Io {
        path: path.clone(),
        source,
    })?;
    write(&path, &(json + "\n"))
}

/// The facts beside a history; `None` if there are none.
pub fn read_facts(directory: &Path) -> Result<Option<RunFacts>, ReportError> {
    let path = directory.join(FACTS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let facts = serde_json::from_str(&read(&path)?).map_err(io::Error::from);
    facts.map(Some).map_err(|source| ReportError::Io { path, source })
}

fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    fs::write(path, text).map_err(|source| ReportError::Io {
        path: path.into(),
        source,
    })
}

fn read(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(|source| ReportError::Io {
        path: path.into(),
        source,
    })
}
