//! `simulator search`: tries seeds in the virtual world and writes down the first one under which something is wrong.

use std::time::{Duration, Instant};

use super::run::read_scenario;
use super::{End, Failure, SearchArguments, say};
use crate::virtual_world::{self, Finding, SearchOptions, Tried};

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
    };
    let version = env!("CARGO_PKG_VERSION");
    eprintln!("seeds from {}, version {version}, virtual world", options.first);
    let began = Instant::now();
    let tell = |tried| eprintln!("{}", describe(tried, began.elapsed()));
    let searched = virtual_world::search(&base, options, tell);
    let (tried, finding) = searched.map_err(|error| Failure::Environment(error.to_string()))?;
    say(&format!("{}\n", describe(tried, began.elapsed())));
    match finding {
        None => {
            say(&format!("nothing found in {} seeds\n", tried.seeds));
            Ok(End::Pass)
        }
        Some(finding) => {
            keep(arguments, &base.name, &finding)?;
            Ok(End::ExpectationFailed)
        }
    }
}

fn keep(arguments: &SearchArguments, name: &str, finding: &Finding) -> Result<(), Failure> {
    let path = arguments.out.join(format!("{name}-{}.toml", finding.seed));
    let failed = |error| Failure::Environment(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(&arguments.out).map_err(failed)?;
    std::fs::write(&path, &finding.scenario).map_err(failed)?;
    say(&format!("FOUND  seed {}\n", finding.seed));
    finding.wrong.iter().for_each(|line| say(&format!("  {line}\n")));
    say(&format!("  again: simulator {} --virtual\n", path.display()));
    Ok(())
}

fn describe(tried: Tried, wall: Duration) -> String {
    let wall = wall.as_secs_f64().max(1e-6);
    format!(
        "{} seeds in {wall:.1} s: {:.1} seeds/s, {:.0} virtual seconds per second",
        tried.seeds,
        tried.seeds as f64 / wall,
        tried.time.as_secs_f64() / wall
    )
}
