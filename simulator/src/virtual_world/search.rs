//! The search for a schedule that breaks the contract: seed after seed a drawn scenario runs and is judged.
//!
//! In: a scenario and how long to try. Out: the first finding, as a scenario file that fails in the same way, or none.
//! Seeds are independent of each other, so several threads can try; each world still has a thread to itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::schedule::draw;
use super::world::World;
use crate::progress::Progress;
use crate::report::judge_entries;
use crate::run::EnvironmentError;
use crate::scenario::Scenario;

/// Between two lines of progress.
const PACE: Duration = Duration::from_secs(2);

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions {
    /// The first seed.
    pub first: u64,
    /// How many seeds.
    pub seeds: u64,
    /// No new seed after this time.
    pub limit: Option<Duration>,
    /// Threads.
    pub jobs: usize,
}

/// A scenario under which the cluster did what it must not do.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The seed that drew it.
    pub seed: u64,
    /// The scenario file.
    pub scenario: String,
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
}

/// How far a search came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    /// Seeds.
    pub seeds: u64,
    /// Virtual time in all of them.
    pub time: Duration,
}

/// Tries seeds until one fails, all are tried, or the time is over. `tell` hears now and then how far it is.
pub fn search(
    base: &Scenario,
    options: SearchOptions,
    tell: impl Fn(Tried) + Sync,
) -> Result<(Tried, Option<Finding>), EnvironmentError> {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let shared = Mutex::new((Tried::default(), None::<Finding>, None, began));
    let work = || {
        while !over.load(Ordering::Relaxed) && options.limit.is_none_or(|limit| began.elapsed() < limit) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.seeds {
                return;
            }
            let result = try_seed(base, options.first.saturating_add(index));
            let Ok(mut shared) = shared.lock() else { return };
            let (tried, finding, failed, told) = &mut *shared;
            match result {
                Ok((time, found)) => {
                    tried.seeds += 1;
                    tried.time += time;
                    over.fetch_or(found.is_some(), Ordering::Relaxed);
                    // Of two that were found at the same time the lower one counts.
                    if let Some(found) = found
                        && finding.as_ref().is_none_or(|known| found.seed < known.seed)
                    {
                        *finding = Some(found);
                    }
                }
                Err(error) => {
                    over.store(true, Ordering::Relaxed);
                    *failed = Some(error);
                }
            }
            if told.elapsed() >= PACE {
                *told = Instant::now();
                tell(*tried);
            }
        }
    };
    thread::scope(|scope| {
        (0..options.jobs.max(1)).for_each(|_| {
            scope.spawn(work);
        });
    });
    let (tried, finding, failed, _) = shared
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    failed.map_or(Ok((tried, finding)), Err)
}

/// Runs one seed: how long it took in virtual time, and what was wrong.
fn try_seed(base: &Scenario, seed: u64) -> Result<(Duration, Option<Finding>), EnvironmentError> {
    let text = draw(base, seed);
    let scenario = Scenario::parse(&text, "drawn.toml")
        .map_err(|error| EnvironmentError::new(format!("seed {seed} drew no valid scenario: {error}")))?;
    let outcome = catch_unwind(AssertUnwindSafe(|| run_and_judge(&scenario)));
    let (time, wrong) = match outcome {
        Ok(judged) => judged?,
        Err(_) => (Duration::ZERO, vec!["the program panicked".to_owned()]),
    };
    let found = (!wrong.is_empty()).then_some(Finding {
        seed,
        scenario: text,
        wrong,
    });
    Ok((time, found))
}

fn run_and_judge(scenario: &Scenario) -> Result<(Duration, Vec<String>), EnvironmentError> {
    let mut world = World::new(scenario, scenario.seed, Progress::new(true, scenario.duration))?;
    let mut time = Duration::ZERO;
    let mut goes_on = true;
    let entries = std::iter::from_fn(|| {
        loop {
            if let Some(entry) = world.poll_entry() {
                time = Duration::from_micros(entry.at_us);
                return Some(entry);
            }
            if !goes_on {
                return None;
            }
            goes_on = world.step();
        }
    });
    let report = judge_entries(entries, scenario);
    let violations = report.counter_examples.iter().map(|violation| {
        let seconds = violation.at_us as f64 / 1e6;
        format!(
            "{seconds:.3} s  {}  {} {}: {}",
            violation.breach.as_str(),
            violation.ep,
            violation.ticket,
            violation.explanation
        )
    });
    let wrong = violations.chain(world.defects().iter().cloned()).collect();
    Ok((time, wrong))
}
