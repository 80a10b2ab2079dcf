//! One run from beginning to end: the scenario as it really runs is written down, a world carries it out, its history is
//! judged, the report is written.
//!
//! In: a scenario, how it is run, in which world. Out: a [`Judged`] run whose files are in the report directory. Who runs
//! many (`--repeat`, sweeps) calls [`run_once`] with a directory for each.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use crate::provenance;
use crate::real;
use crate::report::{Judged, judge, write_facts, write_report};
use crate::run::{EnvironmentError, Outcome, RunOptions};
use crate::scenario::{Draft, RedisChoice, Scenario};
use crate::virtual_world;

/// The scenario as it really ran, in the report directory.
pub const SCENARIO_FILE: &str = "scenario.toml";

/// Where a run takes place.
#[derive(Copy, Clone)]
pub enum World<'a> {
    /// Processes and sockets of this machine. It listens for Ctrl-C and SIGTERM itself.
    Real,
    /// One thread under a clock that jumps; it has no signals, so it asks whether somebody wants it to end.
    Virtual {
        /// True from the moment in which the run is to end early.
        interrupted: &'a dyn Fn() -> bool,
    },
}

impl World<'_> {
    /// As in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            World::Real => "real",
            World::Virtual { .. } => "virtual",
        }
    }
}

/// Runs a scenario once. An interrupted run is judged and reported too; `report.interrupted` says so.
pub fn run_once(
    scenario: &Scenario,
    options: &RunOptions,
    world: World<'_>,
) -> Result<Judged, EnvironmentError> {
    save_scenario(scenario, options, world)?;
    let mut outcome = carry_out(scenario, options, world)?;
    outcome.facts.provenance = Some(provenance::of(scenario));
    write_facts(&options.out, &outcome.facts).map_err(environment)?;
    let judged = judge(&outcome.history, scenario, &outcome.facts).map_err(environment)?;
    write_report(&options.out, &judged).map_err(environment)?;
    Ok(judged)
}

fn environment(error: impl Display) -> EnvironmentError {
    EnvironmentError::new(error.to_string())
}

/// Lets the world carry out the run. First it says what is needed to repeat it.
fn carry_out(
    scenario: &Scenario,
    options: &RunOptions,
    world: World<'_>,
) -> Result<Outcome, EnvironmentError> {
    if !options.quiet {
        let (seed, version) = (options.seed, env!("CARGO_PKG_VERSION"));
        eprintln!("seed {seed}, version {version}, {} world", world.as_str());
    }
    let began = Instant::now();
    match world {
        World::Real => real::run(scenario, options),
        World::Virtual { interrupted } => {
            let mut outcome = virtual_world::run_until(scenario, options, interrupted)?;
            outcome.facts.wall_s = began.elapsed().as_secs_f64();
            Ok(outcome)
        }
    }
}

/// Writes the scenario down as it runs, with everything in it that the command line changed, so that the file alone says
/// what was measured.
fn save_scenario(
    scenario: &Scenario,
    options: &RunOptions,
    world: World<'_>,
) -> Result<(), EnvironmentError> {
    let path = options.out.join(SCENARIO_FILE);
    std::fs::write(&path, as_run(scenario, options, world))
        .map_err(|error| EnvironmentError::new(format!("{}: {error}", path.display())))
}

fn as_run(scenario: &Scenario, options: &RunOptions, world: World<'_>) -> String {
    let mut draft = Draft::of(scenario);
    let seed = i64::try_from(options.seed).unwrap_or(i64::MAX);
    draft.root.insert("seed".into(), seed.into());
    let option = match world {
        World::Real => {
            let redis = without_password(&options.redis);
            draft.section("cluster").insert("redis".into(), redis.into());
            ""
        }
        World::Virtual { .. } => " --virtual",
    };
    format!(
        "# As run, made from {}. Again: simulator {SCENARIO_FILE}{option}\n\n{}",
        scenario.file,
        draft.render()
    )
}

/// Reports are passed on; a password is not for everybody who reads one.
fn without_password(redis: &RedisChoice) -> String {
    let url = redis.to_string();
    let hidden = url.split_once("://").and_then(|(scheme, rest)| {
        let (credentials, host) = rest.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    });
    hidden.unwrap_or(url)
}

/// Makes a report directory of its own for a run that begins now: `reports/NAME-TIME`.
pub fn new_report_directory(scenario: &Scenario) -> Result<PathBuf, EnvironmentError> {
    let name = format!("{}-{}", scenario.name, time_stamp(Timestamp::now()));
    let path = Path::new("reports").join(name);
    new_directory(&path).map_err(|error| {
        let path = path.display();
        EnvironmentError::new(format!("{path}: the report directory cannot be made: {error}"))
    })
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

/// `20160707T092514Z`
fn time_stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"x\"\nquestion = \"?\"\nduration = \"9s\"\n[devices]\ncount = 3\n[[load]]\n\
                        kind = \"read\"\nrate = 1\n";

    fn saved(overrides: &[&str], redis: &str, world: World<'_>) -> String {
        let overrides: Vec<String> = overrides.iter().map(|it| it.to_string()).collect();
        let scenario = Scenario::parse_with(FILE, "x.toml", &overrides).unwrap();
        let options = RunOptions {
            seed: 7,
            redis: RedisChoice::parse(redis).unwrap(),
            out: PathBuf::new(),
            quiet: true,
        };
        as_run(&scenario, &options, world)
    }

    #[test]
    fn the_saved_scenario_says_what_the_command_line_changed() {
        let text = saved(&["devices.count=5", "load.0.rate=9"], "embedded", World::Real);
        let scenario = Scenario::parse(&text, "scenario.toml").unwrap();
        assert_eq!(
            (scenario.seed, scenario.cluster.redis),
            (7, RedisChoice::Embedded)
        );
        assert_eq!((scenario.devices.count(), scenario.load[0].mean_rate()), (5, 9.0));
        let virtually = World::Virtual {
            interrupted: &|| false,
        };
        let text = saved(&[], "redis://10.0.0.1/3", virtually);
        let head = "# As run, made from x.toml. Again: simulator scenario.toml --virtual\n";
        assert!(text.starts_with(head) && !text.contains("redis ="), "{text}");
    }

    #[test]
    fn a_password_is_not_written_down() {
        let text = saved(&[], "redis://me:sec:ret@10.0.0.1:6379/3", World::Real);
        assert!(
            text.contains("redis = \"redis://me:***@10.0.0.1:6379/3\""),
            "{text}"
        );
        let text = saved(&[], "redis://10.0.0.1:6379/3", World::Real);
        assert!(text.contains("redis = \"redis://10.0.0.1:6379/3\""), "{text}");
    }

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
        let at = |seconds| time_stamp(Timestamp::from_second(seconds).unwrap());
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_467_883_514), "20160707T092514Z");
    }
}
