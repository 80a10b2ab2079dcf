//! The command line: arguments in, exit code out. Everything it does is done by the other modules; here they meet.
//!
//! Exit codes: 0 pass, 1 an expectation failed or an instance ended by itself, 2 the scenario or the command line is wrong,
//! 3 the environment failed or the run is inconclusive, 130 interrupted.

mod inputs;
mod interrupt;
mod output;
mod quick;
mod repeat;
mod run;
mod search;
mod verbs;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use quick::Quick;

use crate::real::embedded_broker;
use crate::report::{Style, Verdict};
use crate::scenario::{RedisChoice, parse_share};

/// Simulation and load testing for LwM2M server clusters: runs a scenario against a cluster of server processes, breaks
/// things as it says, and proves what happened to every request.
#[derive(Debug, Parser)]
#[command(
    name = "simulator",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
#[command(
    after_help = "Exit codes: 0 pass · 1 an expectation failed, or an instance ended by itself · 2 the scenario or the \
                        command line is wrong · 3 the environment failed, or the run is inconclusive · 130 interrupted"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The scenario file. Without one, --devices, --rate, --kill-at and so on say what is run.
    #[arg(required_unless_present = "quick", value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    quick: Quick,
    /// Run in the virtual world: one thread, a virtual clock, decided by the seed alone.
    #[arg(long = "virtual")]
    in_virtual_world: bool,
    /// The seed, instead of the scenario's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The broker, instead of the scenario's: redis://HOST:PORT/DB, auto or embedded.
    #[arg(long, value_name = "URL", env = "REDIS_URL", value_parser = redis)]
    redis: Option<RedisChoice>,
    /// The report directory; it must not hold anything yet. Otherwise reports/NAME-TIME. `-` is --json.
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print report.json instead of the screen.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
    /// Run so many times and say the medians and the spread; each run has a directory (run-1 …) in the report directory.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Compare with the report.json of an earlier run, or with the directory of several.
    #[arg(long, value_name = "REPORT")]
    baseline: Option<PathBuf>,
    /// Fail if a figure is worse than the baseline's by more than this share, and by more than the repeats differ.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "baseline")]
    max_regression: Option<f64>,
    /// No progress, and at the end one line and what failed.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Overrides {
    /// Replace a value of the scenario: --set devices.count=5000, --set balancer.policy=round-robin, --set fault.0.at=9s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Validate scenario files without running them.
    Check {
        /// The scenario files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Compare two reports of the same scenario, or two sets of repeats.
    Compare {
        /// The report.json of the earlier run, or the directory of a run or of several (--repeat).
        old: PathBuf,
        /// The same of the later run.
        new: PathBuf,
        /// Fail if a figure is worse by more than this share, 10% or 0.1, and by more than the repeats differ.
        #[arg(long, value_name = "SHARE", value_parser = share)]
        max_regression: Option<f64>,
    },
    /// Judge a saved history again.
    Replay {
        /// A history.jsonl.zst, or a report directory.
        history: PathBuf,
        /// Write the report files into this directory.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Search for a schedule of faults under which the cluster breaks its contract, in the virtual world.
    Search(SearchArguments),
    /// Print the JSON Schema of the scenario file or of report.json.
    Schema {
        /// Which one.
        #[arg(value_enum, default_value_t = SchemaOf::Scenario)]
        of: SchemaOf,
    },
    /// Run one instance of the cluster server (the same program as the package `server`).
    #[command(disable_help_flag = true)]
    Server {
        /// As in `simulator server --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run the embedded broker: the part of Redis that the cluster needs.
    #[command(hide = true, disable_help_flag = true)]
    Broker {
        /// As in `simulator broker --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct SearchArguments {
    /// The scenario whose cluster and requests are tried; its faults and sizes are drawn anew for each seed.
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// How many seeds.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// Begin no seed after this many minutes.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Threads.
    #[arg(long, value_name = "J", default_value_t = 1)]
    jobs: usize,
    /// Go on after a finding, to the last seed or minute: findings are grouped by the rule that was broken
    #[arg(long)]
    keep_going: bool,
    /// Where the scenario that was found, its diagram and the coverage are written.
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Copy, Clone, Debug, clap::ValueEnum)]
enum SchemaOf {
    /// The scenario file.
    Scenario,
    /// report.json
    Report,
}

/// Why a command did not do what it was asked; each has its exit code.
#[derive(Debug)]
enum Failure {
    /// 2: the scenario or the command line is wrong.
    Usage(String),
    /// 3: the environment failed.
    Environment(String),
}

/// How a command ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    Pass,
    ExpectationFailed,
    Inconclusive,
    Interrupted,
}

impl From<Verdict> for End {
    fn from(verdict: Verdict) -> End {
        match verdict {
            Verdict::Pass => End::Pass,
            Verdict::Fail => End::ExpectationFailed,
            Verdict::Inconclusive => End::Inconclusive,
        }
    }
}

/// Runs the command line; `arguments` begin with the name of the program.
pub fn main_with(arguments: Vec<OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let ended = match parsed.verb {
        None => run::run(parsed.run),
        Some(Verb::Check { files, overrides }) => verbs::check(&files, &overrides.set),
        Some(Verb::Compare {
            old,
            new,
            max_regression,
        }) => verbs::compare(&old, &new, max_regression),
        Some(Verb::Replay { history, out }) => verbs::replay(&history, out.as_deref()),
        Some(Verb::Search(arguments)) => search::search(&arguments),
        Some(Verb::Schema { of }) => verbs::schema(of),
        Some(Verb::Server { arguments }) => {
            return server::cli::main_with(named("simulator server", arguments));
        }
        Some(Verb::Broker { arguments }) => return embedded_broker(named("simulator broker", arguments)),
    };
    match ended {
        Ok(End::Pass) => ExitCode::SUCCESS,
        Ok(End::ExpectationFailed) => ExitCode::from(1),
        Ok(End::Inconclusive) => ExitCode::from(3),
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(Failure::Usage(message)) => complain(&message, 2),
        Err(Failure::Environment(message)) => complain(&message, 3),
    }
}

/// The arguments of a program that is run through this one, its name first.
fn named(name: &str, arguments: Vec<OsString>) -> Vec<OsString> {
    std::iter::once(name.into()).chain(arguments).collect()
}

fn complain(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(code)
}

/// Prints; a reader that went away (`| head`) is no error of ours.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Colours only for a person at a terminal who did not ask for none (no-color.org).
fn style() -> Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && std::io::stdout().is_terminal() {
        Style::Coloured
    } else {
        Style::Plain
    }
}

fn redis(text: &str) -> Result<RedisChoice, String> {
    RedisChoice::parse(text)
        .ok_or_else(|| format!("expected auto, embedded or redis://HOST:PORT/DB, found `{text}`"))
}

fn share(text: &str) -> Result<f64, String> {
    parse_share(text)
}
