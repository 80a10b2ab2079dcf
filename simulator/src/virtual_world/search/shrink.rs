//! From a scenario that fails to the smallest one that still fails in the same way.
//!
//! In: a draft, what is wrong with it, and how much may be tried. Out: a draft with fewer faults, devices and requests, a
//! calmer network, a shorter run and rounder numbers. Each candidate is run and judged; it counts if the same rule is
//! broken. Later rounds also try a few other seeds, since a smaller scenario draws other delays.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a search may take is told by a real clock"
)]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use toml::{Table, Value};

use super::trial::{self, Wrong};
use crate::scenario::{Draft, millis};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct ShrinkOptions {
    /// Most runs.
    pub runs: u32,
    /// Begin none after this time.
    pub limit: Duration,
    /// Threads.
    pub jobs: usize,
}

impl Default for ShrinkOptions {
    fn default() -> Self {
        ShrinkOptions {
            runs: 300,
            limit: Duration::from_secs(60),
            jobs: 1,
        }
    }
}

/// The smallest that was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario.
    pub draft: Draft,
    /// What is wrong with it; the first is of the same kind as in the original.
    pub wrong: Vec<Wrong>,
    /// Runs that it took.
    pub runs: u32,
}

/// Other seeds that a candidate is tried with in later rounds.
const OTHER_SEEDS: i64 = 3;
/// What is kept after the moment at which something was wrong.
const AFTER: Duration = Duration::from_millis(100);
/// The first thing happens so long after the start at the earliest: the devices have to register.
const EARLIEST: Duration = Duration::from_millis(500);

/// Shrinks. `wrong` is what is wrong with `draft`; the first counts.
pub fn shrink(draft: Draft, wrong: Vec<Wrong>, options: ShrinkOptions) -> Shrunk {
    shrink_until(draft, wrong, options, &|| false)
}

/// As [`shrink`], but is content with what it has when `interrupted` says that somebody wants it to end.
pub fn shrink_until(
    draft: Draft,
    wrong: Vec<Wrong>,
    options: ShrinkOptions,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Shrunk {
    let mut shrinker = Shrinker {
        kind: wrong.first().map(|wrong| wrong.kind.clone()).unwrap_or_default(),
        best: draft,
        wrong,
        runs: 0,
        options,
        interrupted,
        began: Instant::now(),
        seeds: 1,
    };
    loop {
        let before = shrinker.best.clone();
        shrinker.round();
        if shrinker.is_over() || (shrinker.best == before && shrinker.seeds > 1) {
            break;
        }
        shrinker.seeds = 1 + OTHER_SEEDS;
    }
    Shrunk {
        draft: shrinker.best,
        wrong: shrinker.wrong,
        runs: shrinker.runs,
    }
}

struct Shrinker<'a> {
    best: Draft,
    wrong: Vec<Wrong>,
    kind: String,
    runs: u32,
    options: ShrinkOptions,
    interrupted: &'a (dyn Fn() -> bool + Sync),
    began: Instant,
    /// With how many seeds each candidate is tried.
    seeds: i64,
}

impl Shrinker<'_> {
    fn round(&mut self) {
        while self.improve(Self::shorter) {}
        self.fewer_faults();
        let passes = [
            Self::calmer,
            Self::fewer_instances,
            Self::fewer_devices,
            Self::fewer_requests,
            Self::sooner,
            Self::shorter,
            Self::plainer,
            Self::rounder,
        ];
        for pass in passes {
            while self.improve(pass) {}
        }
    }

    fn is_over(&self) -> bool {
        let used_up = self.runs >= self.options.runs || self.began.elapsed() >= self.options.limit;
        used_up || (self.interrupted)()
    }

    /// Takes the first candidate that fails in the same way; false if none does.
    fn improve(&mut self, candidates: impl Fn(&Self) -> Vec<Draft>) -> bool {
        let candidates = candidates(self);
        let fit = candidates
            .into_iter()
            .filter(|it| *it != self.best && it.scenario().is_some());
        let fit: Vec<Draft> = fit.collect();
        for group in fit.chunks(self.options.jobs.max(1)) {
            if self.is_over() {
                return false;
            }
            let tried: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = group
                    .iter()
                    .map(|draft| scope.spawn(|| self.fails(draft)))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or((0, None)))
                    .collect()
            });
            self.runs += tried.iter().map(|(runs, _)| runs).sum::<u32>();
            if let Some((best, wrong)) = tried.into_iter().find_map(|(_, failed)| failed) {
                (self.best, self.wrong) = (best, wrong);
                return true;
            }
        }
        false
    }

    /// The runs that it took, and the draft with the seed under which it fails.
    fn fails(&self, draft: &Draft) -> (u32, Option<(Draft, Vec<Wrong>)>) {
        let seed = draft.integer(&["seed"]).unwrap_or(0);
        let mut runs = 0;
        for other in 0..self.seeds {
            let Some(draft) = draft.with(&["seed"], seed.wrapping_add(other).max(0)) else {
                break;
            };
            let Some(scenario) = draft.scenario() else { break };
            runs += 1;
            let Ok(mut trial) = trial::run(&scenario) else {
                break;
            };
            if let Some(same) = trial.wrong.iter().position(|wrong| wrong.kind == self.kind) {
                trial.wrong.swap(0, same);
                return (runs, Some((draft, trial.wrong)));
            }
        }
        (runs, None)
    }

    /// Delta debugging: halves first, single faults in the end.
    fn fewer_faults(&mut self) {
        let mut size = self.best.count("fault");
        while size > 0 {
            let without = |it: &Self| {
                let count = it.best.count("fault");
                let starts = (0..count).step_by(size);
                let cut = starts.map(|start| {
                    let mut draft = it.best.clone();
                    draft.list("fault").drain(start..(start + size).min(count));
                    draft
                });
                cut.collect()
            };
            while self.improve(without) {}
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn calmer(&self) -> Vec<Draft> {
        let mut places = self.best.device_places();
        let faults = 0..self.best.count("fault");
        places.extend(faults.map(|index| vec!["fault".to_owned(), index.to_string()]));
        let mut drafts = Vec::new();
        for place in places {
            let mut path: Vec<&str> = place.iter().map(String::as_str).collect();
            path.push("network");
            let Some(network) = self.best.get(&path).and_then(Value::as_table) else {
                continue;
            };
            let still: Table = network
                .iter()
                .filter(|(key, _)| *key == "latency")
                .map(owned)
                .collect();
            drafts.extend(self.best.with(&path, still));
            for key in network.keys().filter(|key| *key != "latency") {
                let fewer: Table = network
                    .iter()
                    .filter(|(other, _)| *other != key)
                    .map(owned)
                    .collect();
                drafts.extend(self.best.with(&path, fewer));
            }
        }
        drafts
    }

    fn fewer_instances(&self) -> Vec<Draft> {
        self.smaller(&["cluster", "instances"])
    }

    fn fewer_devices(&self) -> Vec<Draft> {
        let places = self.best.device_places().into_iter();
        let smaller = places.flat_map(|place| {
            let mut path: Vec<&str> = place.iter().map(String::as_str).collect();
            path.push("count");
            self.smaller(&path)
        });
        smaller.collect()
    }

    /// With a smaller whole number, the smallest first.
    fn smaller(&self, path: &[&str]) -> Vec<Draft> {
        let count = self.best.integer(path).unwrap_or(1);
        let wanted = [1, 2, 3, count / 4, count / 2, count * 3 / 4, count - 1];
        let wanted = wanted.into_iter().filter(|&fewer| fewer >= 1 && fewer < count);
        wanted.filter_map(|fewer| self.best.with(path, fewer)).collect()
    }

    fn fewer_requests(&self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for index in 0..self.best.count("load") {
            let number = index.to_string();
            let mut without = self.best.clone();
            without.list("load").remove(index);
            drafts.push(without);
            let kinds = self
                .best
                .get(&["load", &number, "kind"])
                .and_then(Value::as_table);
            if let Some(kinds) = kinds.filter(|kinds| kinds.len() > 1) {
                for kind in kinds.keys() {
                    let only: Table = kinds.iter().filter(|(key, _)| *key == kind).map(owned).collect();
                    drafts.extend(self.best.with(&["load", &number, "kind"], only));
                }
                for kind in kinds.keys() {
                    let rest: Table = kinds.iter().filter(|(key, _)| *key != kind).map(owned).collect();
                    drafts.extend(self.best.with(&["load", &number, "kind"], rest));
                }
            }
            let rate = self.best.number(&["load", &number, "rate"]).unwrap_or(1.0);
            let rates = [1.0, 2.0, 5.0, rate / 2.0, rate * 0.75]
                .into_iter()
                .filter(|&less| less < rate && less >= 1.0);
            drafts.extend(rates.filter_map(|less| self.best.with(&["load", &number, "rate"], less.round())));
        }
        drafts
    }

    /// Ends earlier: as early as what is wrong was seen, or by a part.
    fn shorter(&self) -> Vec<Draft> {
        let Some(now) = self.best.duration(&["duration"]) else {
            return Vec::new();
        };
        let seen = self.wrong.first().map_or(Duration::ZERO, |wrong| wrong.at);
        let ends = [seen + AFTER, now / 4, now / 2, now * 3 / 4];
        let ends = ends
            .into_iter()
            .filter(|end| *end > EARLIEST && *end + AFTER < now);
        ends.filter_map(|end| self.ending(end)).collect()
    }

    fn ending(&self, end: Duration) -> Option<Draft> {
        let mut draft = self.best.with(&["duration"], millis(end))?;
        let at = |table: &Value, key: &str| {
            let text = table.get(key).and_then(Value::as_str)?;
            crate::scenario::parse_duration(text).ok()
        };
        draft
            .list("fault")
            .retain(|fault| at(fault, "at").is_some_and(|at| at < end));
        draft
            .list("load")
            .retain(|load| at(load, "start").unwrap_or_default() < end);
        for load in draft.list("load").iter_mut().filter_map(Value::as_table_mut) {
            let stop = load
                .get("stop")
                .and_then(Value::as_str)
                .map(crate::scenario::parse_duration);
            if matches!(stop, Some(Ok(stop)) if stop > end) {
                load.insert("stop".to_owned(), millis(end));
            }
        }
        Some(draft)
    }

    /// Begins earlier, and asks nothing before it matters.
    fn sooner(&self) -> Vec<Draft> {
        let times = self.times();
        let first = times.values().min().copied().unwrap_or_default();
        let mut drafts = Vec::new();
        for by in [first.saturating_sub(EARLIEST), first / 2] {
            let moved = times.iter().try_fold(self.best.clone(), |draft, (path, at)| {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                draft.with(&path, millis(at.saturating_sub(by)))
            });
            drafts.extend(moved.filter(|_| by >= Duration::from_millis(20)));
        }
        for index in 0..self.best.count("load") {
            let number = index.to_string();
            let path = ["load", &number, "start"];
            let start = self.best.duration(&path).unwrap_or_default();
            let seen = self.wrong.first().map_or(Duration::ZERO, |wrong| wrong.at);
            for later in [
                seen.saturating_sub(Duration::from_secs(1)),
                start + (seen.saturating_sub(start)) / 2,
            ] {
                if later > start + AFTER {
                    drafts.extend(self.best.with(&path, millis(later)));
                }
            }
        }
        drafts
    }

    /// Every time of the run: of faults, of the load, of the end.
    fn times(&self) -> BTreeMap<Vec<String>, Duration> {
        let mut times = BTreeMap::new();
        let mut add = |path: &[&str]| {
            if let Some(at) = self.best.duration(path) {
                times.insert(path.iter().map(|key| (*key).to_owned()).collect(), at);
            }
        };
        add(&["duration"]);
        (0..self.best.count("fault")).for_each(|index| add(&["fault", &index.to_string(), "at"]));
        for index in 0..self.best.count("load") {
            ["start", "stop"]
                .into_iter()
                .for_each(|key| add(&["load", &index.to_string(), key]));
        }
        times
    }

    /// Without what is not the usual.
    fn plainer(&self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        drafts.extend(self.best.with(&["balancer", "policy"], "source-hash"));
        for index in 0..self.best.count("load") {
            let number = index.to_string();
            let table = |key| self.best.get(&["load", &number, key]).and_then(Value::as_table);
            if let (Some(kinds), Some(paths)) = (table("kind"), table("path")) {
                let asked: Table = paths
                    .iter()
                    .filter(|(kind, _)| kinds.contains_key(*kind))
                    .map(owned)
                    .collect();
                drafts.extend(self.best.with(&["load", &number, "path"], asked));
            }
        }
        for index in 0..self.best.count("fault") {
            let fault = self
                .best
                .get(&["fault", &index.to_string()])
                .and_then(Value::as_table);
            let keys = fault.into_iter().flat_map(Table::keys);
            for key in keys.filter(|key| !["at", "do", "network"].contains(&key.as_str())) {
                let mut draft = self.best.clone();
                let fault = draft.list("fault").get_mut(index).and_then(Value::as_table_mut);
                fault.into_iter().for_each(|fault| drop(fault.remove(key)));
                drafts.push(draft);
            }
        }
        drafts
    }

    /// With rounder times.
    fn rounder(&self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (path, at) in self.times() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            let is_round = |step: u64| at % step == 0;
            let steps = [1000, 100, 10].into_iter().take_while(|&step| !is_round(step));
            let rounded = steps.flat_map(|step| [at / step * step, at.div_ceil(step) * step]);
            let rounded = rounded
                .filter(|&to| to > 0)
                .map(|to| millis(Duration::from_millis(to)));
            drafts.extend(rounded.filter_map(|to| self.best.with(&path, to)));
        }
        drafts
    }
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}
