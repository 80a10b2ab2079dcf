//! The search for a schedule that breaks the contract: seed after seed a drawn scenario runs and is judged.
//!
//! In: a scenario and how long to try. Out: the first finding, as a scenario file that fails in the same way, or none.
//! Seeds are independent of each other, so several threads can try; each world still has a thread to itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

mod coverage;
mod faults;
mod flavour;
mod schedule;
mod shrink;
mod trial;

pub use coverage::Coverage;

pub use shrink::{ShrinkOptions, Shrunk, shrink, shrink_until};
pub use trial::{Wrong, draw as draw_diagram};

use schedule::draw;
use trial::Trial;

use crate::run::EnvironmentError;
use crate::scenario::{Draft, Scenario};

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
    /// The scenario.
    pub draft: Draft,
    /// What is wrong.
    pub wrong: Vec<Wrong>,
}

/// How far a search came.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Seeds.
    pub seeds: u64,
    /// Virtual time in all of them.
    pub time: Duration,
    /// What was reached in all of them.
    pub coverage: Coverage,
    /// Somebody did not want to wait for the rest.
    pub interrupted: bool,
}

/// Tries seeds until one fails, all are tried, or the time is over. `tell` hears now and then how far it is.
pub fn search(
    base: &Scenario,
    options: SearchOptions,
    tell: impl Fn(&Tried) + Sync,
) -> Result<(Tried, Option<Finding>), EnvironmentError> {
    search_until(base, options, &|| false, tell)
}

/// As [`search`], but begins no seed any more when `interrupted` says that somebody wants it to end.
pub fn search_until(
    base: &Scenario,
    options: SearchOptions,
    interrupted: &(dyn Fn() -> bool + Sync),
    tell: impl Fn(&Tried) + Sync,
) -> Result<(Tried, Option<Finding>), EnvironmentError> {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let shared = Mutex::new((Tried::default(), None::<Finding>, None, began));
    let goes_on = || {
        let in_time = options.limit.is_none_or(|limit| began.elapsed() < limit);
        in_time && !over.load(Ordering::Relaxed) && !interrupted()
    };
    let work = || {
        while goes_on() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.seeds {
                return;
            }
            let result = try_seed(base, options.first.saturating_add(index));
            let Ok(mut shared) = shared.lock() else { return };
            let (tried, finding, failed, told) = &mut *shared;
            match result {
                Ok((trial, found)) => {
                    tried.seeds += 1;
                    tried.time += trial.time;
                    tried.coverage.add(&trial.coverage);
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
                tell(tried);
            }
        }
    };
    thread::scope(|scope| {
        (0..options.jobs.max(1)).for_each(|_| {
            scope.spawn(work);
        });
    });
    let (mut tried, finding, failed, _) = shared
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    tried.interrupted = finding.is_none() && tried.seeds < options.seeds && interrupted();
    failed.map_or(Ok((tried, finding)), Err)
}

/// Runs one seed.
fn try_seed(base: &Scenario, seed: u64) -> Result<(Trial, Option<Finding>), EnvironmentError> {
    let draft = draw(base, seed);
    let text = draft.render();
    let scenario = Scenario::parse(&text, "drawn.toml").map_err(|error| {
        EnvironmentError::new(format!("seed {seed} drew no valid scenario: {error}\n{text}"))
    })?;
    let trial = trial::run(&scenario)?;
    let found = (!trial.wrong.is_empty()).then_some(Finding {
        seed,
        draft,
        wrong: trial.wrong.clone(),
    });
    Ok((trial, found))
}
