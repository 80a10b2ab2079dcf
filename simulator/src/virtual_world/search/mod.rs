//! The search for a schedule that breaks the contract: seed after seed a drawn scenario runs and is judged.
//!
//! In: a scenario and how long to try. Out: the first finding, as a scenario file that fails in the same way, or none.
//! Seeds are independent of each other, so several threads can try; each world still has a thread to itself.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a search may take is told by a real clock"
)]

use std::collections::BTreeMap;
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
mod wider;

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
    /// After a finding the search goes on: there may be others, of other rules.
    pub keep_going: bool,
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
    /// In how many seeds that was the first that was wrong.
    pub seeds: u64,
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

/// Tries seeds until one fails, all are tried, or the time is over. `tell` hears now and then how far it is. The finding is
/// that of the lowest seed.
pub fn search(
    base: &Scenario,
    options: SearchOptions,
    tell: impl Fn(&Tried) + Sync,
) -> Result<(Tried, Option<Finding>), EnvironmentError> {
    let (tried, findings) = search_until(base, options, &|| false, tell)?;
    Ok((tried, findings.into_iter().next()))
}

/// As [`search`], but begins no seed any more when `interrupted` says that somebody wants it to end. One finding for each
/// rule, that of the lowest seed; the lowest seed first.
pub fn search_until(
    base: &Scenario,
    options: SearchOptions,
    interrupted: &(dyn Fn() -> bool + Sync),
    tell: impl Fn(&Tried) + Sync,
) -> Result<(Tried, Vec<Finding>), EnvironmentError> {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let shared = Mutex::new((Tried::default(), Findings::default(), None, began));
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
            let (tried, findings, failed, told) = &mut *shared;
            match result {
                Ok((trial, found)) => {
                    tried.seeds += 1;
                    tried.time += trial.time;
                    tried.coverage.add(&trial.coverage);
                    over.fetch_or(found.is_some() && !options.keep_going, Ordering::Relaxed);
                    found.into_iter().for_each(|found| findings.add(found));
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
    let (mut tried, findings, failed, _) = shared
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    tried.interrupted = findings.0.is_empty() && tried.seeds < options.seeds && interrupted();
    failed.map_or(Ok((tried, findings.in_order(options.keep_going))), Err)
}

/// The findings of a search by the rule that was broken first.
#[derive(Debug, Default)]
struct Findings(BTreeMap<String, Finding>);

impl Findings {
    /// Of several of a rule, that of the lowest seed is kept.
    fn add(&mut self, found: Finding) {
        let rule = found.wrong.first().map(|wrong| wrong.kind.clone());
        let known = self.0.entry(rule.unwrap_or_default());
        let known = known.or_insert_with(|| Finding {
            seeds: 0,
            ..found.clone()
        });
        let seeds = known.seeds + found.seeds;
        if found.seed < known.seed {
            *known = found;
        }
        known.seeds = seeds;
    }

    /// All of them, or the first: two may have been found at the same time.
    fn in_order(self, all: bool) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.0.into_values().collect();
        findings.sort_by_key(|finding| finding.seed);
        findings.truncate(if all { usize::MAX } else { 1 });
        findings
    }
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
        seeds: 1,
    });
    Ok((trial, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_grouped_by_rule_and_each_group_is_known_by_its_lowest_seed() {
        let found = |seed, kind: &str| Finding {
            seed,
            draft: Draft {
                root: toml::Table::new(),
            },
            wrong: vec![Wrong {
                kind: kind.to_owned(),
                at: Duration::ZERO,
                ep: String::new(),
                ticket: String::new(),
                explanation: String::new(),
            }],
            seeds: 1,
        };
        let mut findings = Findings::default();
        for (seed, kind) in [(7, "lost"), (9, "late"), (5, "lost"), (8, "lost"), (6, "event")] {
            findings.add(found(seed, kind));
        }
        let in_order = findings.in_order(true).into_iter();
        let said: Vec<_> = in_order
            .map(|it| (it.seed, it.wrong[0].kind.clone(), it.seeds))
            .collect();
        assert_eq!(
            said,
            [
                (5, "lost".to_owned(), 3),
                (6, "event".to_owned(), 1),
                (9, "late".to_owned(), 1)
            ]
        );
    }
}
