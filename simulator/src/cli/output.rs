//! What is printed of a run: one screen, what failed, or report.json.

use std::path::Path;

use super::{say, style};
use crate::report::{Report, brief, screen};

/// What is printed of a run.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One screen.
    Screen,
    /// The headline and what failed.
    Brief,
    /// report.json
    Json,
}

/// Prints it.
pub fn show(report: &Report, out: &Path, form: Form) {
    say(&match form {
        Form::Screen => screen(report, out, style()),
        Form::Brief => brief(report, out, style()),
        Form::Json => format!("{:#}\n", report.to_json()),
    });
}
