//! `simulator SCENARIO`: reads the scenario, lets the world carry it out, judges the history, writes the report.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{End, Failure, RunArguments, interrupt, say, style, verbs};
use crate::real;
use crate::report::{Judged, Report, Verdict, judge, screen, write_facts, write_report};
use crate::run::{Outcome, RunOptions};
use crate::scenario::Scenario;
use crate::virtual_world;

/// Runs a scenario and says how it ended.
pub fn run(arguments: RunArguments) -> Result<End, Failure> {
    let file = arguments.scenario.clone().unwrap_or_default();
    let scenario = read_scenario(&file, &arguments.overrides.set)?;
    if !arguments.in_virtual_world
        && let Some(what) = scenario.needs_virtual_world()
    {
        return Err(Failure::Usage(format!(
            "{}: {what} is something that only the virtual world can do; run it with --virtual",
            file.display()
        )));
    }
    let baseline = arguments
        .baseline
        .as_deref()
        .map(verbs::read_report)
        .transpose()?;
    let out = prepare_directory(&scenario, arguments.out.as_deref())?;
    let options = RunOptions {
        seed: arguments.seed.unwrap_or(scenario.seed),
        redis: arguments
            .redis
            .clone()
            .unwrap_or_else(|| scenario.cluster.redis.clone()),
        out: out.clone(),
        quiet: arguments.quiet,
    };
    save_scenario(&scenario, &options)?;
    let outcome = carry_out(&scenario, &options, arguments.in_virtual_world)?;
    let judged = report(&scenario, &outcome, &out)?;
    show(&judged.report, &out, arguments.quiet);
    let regressed =
        baseline.is_some_and(|old| verbs::show_changes(&old, &judged.report, arguments.max_regression));
    Ok(match (outcome.interrupted, judged.report.verdict, regressed) {
        (true, _, _) => End::Interrupted,
        (false, Verdict::Pass, false) => End::Pass,
        (false, _, _) => End::ExpectationFailed,
    })
}

/// Lets the chosen world carry out the run. First it says what is needed to repeat it.
fn carry_out(scenario: &Scenario, options: &RunOptions, in_virtual_world: bool) -> Result<Outcome, Failure> {
    let world = if in_virtual_world { "virtual" } else { "real" };
    // Before the first word is said, so that whoever reads it can interrupt.
    let interrupted = in_virtual_world.then(interrupt::listen).transpose();
    let interrupted =
        interrupted.map_err(|error| Failure::Environment(format!("signals cannot be caught: {error}")))?;
    if !options.quiet {
        let (seed, version) = (options.seed, env!("CARGO_PKG_VERSION"));
        eprintln!("seed {seed}, version {version}, {world} world");
    }
    let began = Instant::now();
    let outcome = match interrupted {
        Some(flag) => virtual_world::run_until(scenario, options, &|| flag.load(Ordering::Relaxed)),
        None => real::run(scenario, options),
    };
    let mut outcome = outcome.map_err(|error| Failure::Environment(error.to_string()))?;
    if in_virtual_world {
        outcome.facts.wall_s = began.elapsed().as_secs_f64();
    }
    Ok(outcome)
}

/// Reads and checks a scenario file.
pub fn read_scenario(file: &Path, overrides: &[String]) -> Result<Scenario, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{name}: the scenario file cannot be read: {error}")))?;
    Scenario::parse_with(&text, &name, overrides).map_err(|error| Failure::Usage(error.to_string()))
}

fn report(scenario: &Scenario, outcome: &Outcome, out: &Path) -> Result<Judged, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Environment(error.to_string());
    write_facts(out, &outcome.facts).map_err(|error| failed(&error))?;
    let judged = judge(&outcome.history, scenario, &outcome.facts).map_err(|error| failed(&error))?;
    write_report(out, &judged).map_err(|error| failed(&error))?;
    Ok(judged)
}

fn show(report: &Report, out: &Path, quiet: bool) {
    let text = screen(report, out, style());
    match (quiet, text.lines().next()) {
        (true, Some(headline)) => say(&format!("{headline}  {}\n", out.display())),
        _ => say(&text),
    }
}

/// Makes the report directory, which must be empty: files of two runs side by side would lie.
fn prepare_directory(scenario: &Scenario, wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let failed = |out: &Path, error| {
        Failure::Environment(format!(
            "{}: the report directory cannot be made: {error}",
            out.display()
        ))
    };
    let Some(out) = wanted else {
        let name = format!("{}-{}", scenario.name, time_stamp(SystemTime::now()));
        let out = Path::new("reports").join(name);
        return new_directory(&out).map_err(|error| failed(&out, error));
    };
    std::fs::create_dir_all(out).map_err(|error| failed(out, error))?;
    let mut entries = std::fs::read_dir(out).map_err(|error| failed(out, error))?;
    if entries.next().is_some() {
        return Err(Failure::Usage(format!(
            "{}: the report directory is not empty; name another one",
            out.display()
        )));
    }
    Ok(out.to_path_buf())
}

/// Makes the directory; if there is one already, as when another run of the scenario began in this second, the first of
/// `PATH-2`, `PATH-3` and so on that is not there.
fn new_directory(path: &Path) -> std::io::Result<PathBuf> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut out = path.to_path_buf();
    let mut count = 1;
    loop {
        match std::fs::create_dir(&out) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                count += 1;
                out = PathBuf::from(format!("{}-{count}", path.display()));
            }
            made => return made.map(|()| out),
        }
    }
}

/// The scenario as run, with what the command line changed in comments on top.
fn save_scenario(scenario: &Scenario, options: &RunOptions) -> Result<(), Failure> {
    let mut text = format!("# as run: --seed {}", options.seed);
    for option in &scenario.overrides {
        text.push_str(&format!(" --set '{option}'"));
    }
    text.push_str("\n\n");
    text.push_str(&scenario.text);
    let path = options.out.join("scenario.toml");
    std::fs::write(&path, text).map_err(|error| Failure::Environment(format!("{}: {error}", path.display())))
}

/// `20160707T092514Z`
fn time_stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The Gregorian date of a day since 1970-01-01.
fn date(mut day: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn runs_that_begin_in_the_same_second_get_directories_of_their_own() {
        let reports = tempfile::tempdir().unwrap();
        let path = reports.path().join("reports/steady-20160707T092514Z");
        let made: Vec<_> = (0..3).map(|_| new_directory(&path).unwrap()).collect();
        let named = |end: &str| {
            reports
                .path()
                .join(format!("reports/steady-20160707T092514Z{end}"))
        };
        assert_eq!(made, [named(""), named("-2"), named("-3")]);
        assert!(made.iter().all(|out| out.is_dir()));
    }

    #[test]
    fn the_directory_name_carries_the_time_in_utc() {
        let at = |seconds| time_stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_467_883_514), "20160707T092514Z");
        assert_eq!(at(4_107_542_399), "21000228T235959Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
    }
}
