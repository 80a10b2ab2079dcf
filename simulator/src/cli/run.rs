//! `simulator SCENARIO`: reads the scenario, has it carried out and judged, shows what came of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::inputs::{parse_scenario, read_reports, read_scenario};
use super::output::Form;
use super::{End, Failure, RunArguments, interrupt, repeat, verbs};
use crate::experiment::{World, new_report_directory};
use crate::run::{EnvironmentError, RunOptions};
use crate::scenario::Scenario;

/// Runs a scenario and says how it ended.
pub fn run(arguments: RunArguments) -> Result<End, Failure> {
    let scenario = match &arguments.scenario {
        Some(file) => read_scenario(file, &arguments.overrides.set)?,
        None => parse_scenario(
            &arguments.quick.text(),
            "the command line",
            &arguments.overrides.set,
        )?,
    };
    if !arguments.in_virtual_world
        && let Some(what) = scenario.needs_virtual_world()
    {
        return Err(Failure::Usage(format!(
            "{}: {what} is something that only the virtual world can do; run it with --virtual",
            scenario.file
        )));
    }
    let baseline = arguments.baseline.as_deref().map(read_reports).transpose()?;
    let dash = Path::new("-");
    let out = arguments.out.as_deref().filter(|out| *out != dash);
    let json = arguments.json || arguments.out.as_deref() == Some(dash);
    let options = RunOptions {
        seed: arguments.seed.unwrap_or(scenario.seed),
        redis: arguments
            .redis
            .clone()
            .unwrap_or_else(|| scenario.cluster.redis.clone()),
        out: prepare_directory(&scenario, out)?,
        quiet: arguments.quiet,
    };
    // Before the first word is said, so that whoever reads it can interrupt.
    let raised = arguments.in_virtual_world.then(interrupt::listen).transpose();
    let raised =
        raised.map_err(|error| Failure::Environment(format!("signals cannot be caught: {error}")))?;
    let interrupted = || raised.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
    let world = match arguments.in_virtual_world {
        true => World::Virtual {
            interrupted: &interrupted,
        },
        false => World::Real,
    };
    let form = match (json, arguments.quiet) {
        (true, _) => Form::Json,
        (false, true) => Form::Brief,
        (false, false) => Form::Screen,
    };
    let reports = repeat::run(&scenario, &options, world, form, arguments.repeat)?;
    let end = repeat::end_of(&reports);
    let Some(old) = baseline.filter(|_| end == End::Pass) else {
        return Ok(end);
    };
    verbs::show_changes(&old, &reports, arguments.max_regression)
}

impl From<EnvironmentError> for Failure {
    fn from(error: EnvironmentError) -> Failure {
        Failure::Environment(error.to_string())
    }
}

/// Makes the report directory, which must be empty: files of two runs side by side would lie.
fn prepare_directory(scenario: &Scenario, wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(out) = wanted else {
        return Ok(new_report_directory(scenario)?);
    };
    let failed = |error| {
        Failure::Environment(format!(
            "{}: the report directory cannot be made: {error}",
            out.display()
        ))
    };
    std::fs::create_dir_all(out).map_err(failed)?;
    let mut entries = std::fs::read_dir(out).map_err(failed)?;
    if entries.next().is_some() {
        return Err(Failure::Usage(format!(
            "{}: the report directory is not empty; name another one",
            out.display()
        )));
    }
    Ok(out.to_path_buf())
}
