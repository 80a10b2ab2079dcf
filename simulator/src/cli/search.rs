//! `simulator search`: tries seeds in the virtual world and writes down the first one under which something is wrong.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::inputs::read_scenario;
use super::{End, Failure, SearchArguments, interrupt, say};
use crate::scenario::{Draft, Scenario};
use crate::virtual_world::{self, Finding, SearchOptions, ShrinkOptions, Tried, Wrong};

/// Lines of a diagram on the terminal.
const SCREEN: usize = 40;
/// Lines about what is wrong.
const SHOWN: usize = 5;

/// Searches and says what was found.
pub fn search(arguments: &SearchArguments) -> Result<End, Failure> {
    let base = read_scenario(&arguments.scenario, &arguments.overrides.set)?;
    let limit = arguments.minutes.map(|minutes| minutes * 60.0);
    let limit = limit.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    let options = SearchOptions {
        first: arguments.first,
        seeds: arguments.seeds,
        limit,
        jobs: arguments.jobs,
        keep_going: arguments.keep_going,
    };
    // Hours of search must not end at a directory that cannot be written.
    let coverage = format!("{}.coverage.json", base.name);
    write(arguments, &coverage, "{}\n")?;
    // Before the first word is said, so that whoever reads it can interrupt.
    let flag = interrupt::listen()
        .map_err(|error| Failure::Environment(format!("signals cannot be caught: {error}")))?;
    let interrupted = || flag.load(Ordering::Relaxed);
    let version = env!("CARGO_PKG_VERSION");
    eprintln!("seeds from {}, version {version}, virtual world", options.first);
    let began = Instant::now();
    let tell = |tried: &Tried| eprintln!("{}", describe(tried, began.elapsed()));
    let searched = virtual_world::search_until(&base, options, &interrupted, tell);
    let (tried, findings) = searched.map_err(|error| Failure::Environment(error.to_string()))?;
    say(&format!("{}\n", describe(&tried, began.elapsed())));
    say(&tried.coverage.table());
    let json = format!("{:#}\n", tried.coverage.to_json());
    let end = if !findings.is_empty() {
        End::ExpectationFailed
    } else if tried.interrupted {
        let Tried { seeds, .. } = tried;
        say(&format!(
            "interrupted after {seeds} of {} seeds, nothing found\n",
            options.seeds
        ));
        End::Interrupted
    } else {
        say(&format!("nothing found in {} seeds\n", tried.seeds));
        End::Pass
    };
    write(arguments, &coverage, &json)?;
    let mut summary = String::new();
    for finding in findings {
        let (seeds, of) = (finding.seeds, tried.seeds);
        let rule = finding.wrong.first().map(|wrong| wrong.kind.clone());
        let path = keep(arguments, &base, finding, &interrupted)?;
        if arguments.keep_going {
            let (rule, path) = (rule.unwrap_or_default(), path.display());
            summary += &format!("{rule}: {seeds} of {of} seeds, simulator {path} --virtual\n");
        }
    }
    say(&summary);
    Ok(end)
}

/// Writes down what was found, as it was drawn and as small as it can be, or as it is when somebody interrupts. Returns the
/// small file.
fn keep(
    arguments: &SearchArguments,
    base: &Scenario,
    finding: Finding,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<PathBuf, Failure> {
    let Finding {
        seed, draft, wrong, ..
    } = finding;
    say(&format!("FOUND  seed {seed}\n"));
    wrong
        .iter()
        .take(SHOWN)
        .for_each(|line| say(&format!("  {line}\n")));
    let name = format!("{}-{seed}", base.name);
    let found = write(
        arguments,
        &format!("{name}.found.toml"),
        &(header(base, seed, &wrong) + &draft.render()),
    )?;
    say(&format!("  as drawn: {}\n  shrinking …\n", found.display()));
    let options = ShrinkOptions {
        jobs: arguments.jobs,
        ..ShrinkOptions::default()
    };
    let began = Instant::now();
    let shrunk = virtual_world::shrink_until(draft.clone(), wrong, options, interrupted);
    let size = |draft: &Draft| {
        let devices = draft.scenario().map_or(0, |scenario| scenario.devices.count());
        let seconds = draft.duration(&["duration"]).unwrap_or_default().as_secs_f64();
        format!(
            "{} faults, {devices} devices, {seconds:.1} s",
            draft.count("fault")
        )
    };
    say(&format!(
        "  shrunk in {} runs ({:.1} s) from {} to {}\n",
        shrunk.runs,
        began.elapsed().as_secs_f64(),
        size(&draft),
        size(&shrunk.draft)
    ));
    shrunk
        .wrong
        .iter()
        .take(SHOWN)
        .for_each(|line| say(&format!("  {line}\n")));
    let text = header(base, seed, &shrunk.wrong) + &shrunk.draft.render();
    let small_file = write(arguments, &format!("{name}.toml"), &text)?;
    say(&format!(
        "  again: simulator {} --virtual\n",
        small_file.display()
    ));
    let small = shrunk.draft.scenario();
    let diagram = small
        .zip(shrunk.wrong.first())
        .and_then(|(scenario, wrong)| virtual_world::draw_diagram(&scenario, wrong));
    if let Some(diagram) = diagram {
        let path = write(arguments, &format!("{name}.diagram.txt"), &diagram)?;
        say(&format!("\n{}\n  all of it: {}\n", cut(&diagram), path.display()));
    }
    Ok(small_file)
}

/// A screenful of a diagram: how it begins and how it ends.
fn cut(diagram: &str) -> String {
    let lines: Vec<&str> = diagram.lines().collect();
    if lines.len() <= SCREEN {
        return diagram.to_owned();
    }
    let (head, tail) = (&lines[..SCREEN / 2], &lines[lines.len() - SCREEN / 2..]);
    let left_out = format!("            … {} lines …", lines.len() - head.len() - tail.len());
    [head, &[left_out.as_str()], tail].concat().join("\n") + "\n"
}

/// Where a scenario comes from, for who reads the file.
fn header(base: &Scenario, seed: u64, wrong: &[Wrong]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let kind = wrong.first().map_or("nothing", |wrong| &wrong.kind);
    let mut text = format!("# Found by `simulator search {}", base.file);
    base.overrides
        .iter()
        .for_each(|option| text += &format!(" --set '{option}'"));
    text += &format!("`, seed {seed}, version {version}: {kind}.\n");
    for line in wrong
        .iter()
        .take(1)
        .flat_map(|wrong| wrong.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        text += &format!("# {line}\n");
    }
    text + "\n"
}

fn write(arguments: &SearchArguments, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = arguments.out.join(name);
    let failed = |error| Failure::Environment(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(&arguments.out).map_err(failed)?;
    std::fs::write(&path, text).map_err(failed)?;
    Ok(path)
}

fn describe(tried: &Tried, wall: Duration) -> String {
    let wall = wall.as_secs_f64().max(1e-6);
    format!(
        "{} seeds in {wall:.1} s: {:.1} seeds/s, {:.0} virtual seconds per second",
        tried.seeds,
        tried.seeds as f64 / wall,
        tried.time.as_secs_f64() / wall
    )
}
