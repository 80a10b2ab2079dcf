//! One try: a scenario runs in a world of its own and is judged. Out: how long it took, and what was wrong.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::coverage::Coverage;
use crate::checker::whose;
use crate::facts::RunFacts;
use crate::progress::Progress;
use crate::report::judge_entries;
use crate::run::EnvironmentError;
use crate::scenario::Scenario;
use crate::virtual_world::diagram;
use crate::virtual_world::trace::Trace;
use crate::virtual_world::watch::Watch;
use crate::virtual_world::world::{Defect, World};

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// The broken rule, as in report.json; or `panic`, `refused_script`, `ended_by_itself`.
    pub kind: String,
    /// When it was seen.
    pub at: Duration,
    /// The endpoint, empty if it is about none.
    pub ep: String,
    /// The ticket, empty if it is about none.
    pub ticket: String,
    /// A sentence.
    pub explanation: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, kind) = (self.at.as_secs_f64(), &self.kind);
        let whose = whose(&self.ep, &self.ticket);
        write!(f, "{seconds:.3} s  {kind}  {whose}{}", self.explanation)
    }
}

/// What came of a try.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// Virtual time.
    pub time: Duration,
    /// What was wrong, in the order of time.
    pub wrong: Vec<Wrong>,
    /// What was reached.
    pub coverage: Coverage,
}

/// Runs a scenario with its own seed. A panic is something wrong like any other.
pub fn run(scenario: &Scenario) -> Result<Trial, EnvironmentError> {
    match catch_unwind(AssertUnwindSafe(|| run_and_judge(scenario))) {
        Ok(trial) => trial,
        Err(panic) => Ok(Trial {
            wrong: vec![defect("panic", words_of(panic.as_ref()))],
            ..Trial::default()
        }),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the program panicked: {}", text.unwrap_or("without words"))
}

fn defect(kind: &str, explanation: String) -> Wrong {
    Wrong {
        kind: kind.to_owned(),
        at: Duration::ZERO,
        ep: String::new(),
        ticket: String::new(),
        explanation,
    }
}

/// Runs a scenario again and draws what happened to what is wrong with it; `None` if that is about no device.
pub fn draw(scenario: &Scenario, wrong: &Wrong) -> Option<String> {
    if wrong.ep.is_empty() {
        return None;
    }
    let mut devices = 0..scenario.devices.count();
    let device = devices.find(|&number| scenario.devices.endpoint_name(number) == wrong.ep);
    let watch = Rc::new(RefCell::new(Watch::of(Trace::new(
        &wrong.ep,
        &wrong.ticket,
        device,
    ))));
    let mut world = World::new(scenario, scenario.seed, Progress::new(true, scenario.duration)).ok()?;
    world.watch(Some(Rc::clone(&watch)));
    let mut run = || {
        while world.step() {
            while world.poll_entry().is_some() {}
        }
    };
    // What is wrong may be a panic: until then there is something to see.
    drop(catch_unwind(AssertUnwindSafe(&mut run)));
    let watch = watch.borrow();
    let lines = watch.trace.as_ref()?.lines();
    Some(diagram::draw(&lines, &scenario.cluster.instance_ids()))
}

fn run_and_judge(scenario: &Scenario) -> Result<Trial, EnvironmentError> {
    let mut world = World::new(scenario, scenario.seed, Progress::new(true, scenario.duration))?;
    let watch = Rc::new(RefCell::new(Watch::default()));
    world.watch(Some(Rc::clone(&watch)));
    let mut coverage = Coverage::default();
    let mut time = Duration::ZERO;
    let mut goes_on = true;
    let entries = std::iter::from_fn(|| {
        loop {
            if let Some(entry) = world.poll_entry() {
                time = Duration::from_micros(entry.at_us);
                coverage.observe(&entry);
                return Some(entry);
            }
            if !goes_on {
                return None;
            }
            goes_on = world.step();
        }
    });
    let report = judge_entries(entries, scenario, RunFacts::default);
    let violations = report.counter_examples.into_iter().map(|violation| Wrong {
        kind: violation.breach.as_str().to_owned(),
        at: Duration::from_micros(violation.at_us),
        ep: violation.ep,
        ticket: violation.ticket,
        explanation: violation.explanation,
    });
    let defects = world.defects().iter().map(|found| {
        let kind = match found {
            Defect::EndedByItself(_) => "ended_by_itself",
            Defect::RefusedScript(_) => "refused_script",
        };
        defect(kind, found.to_string())
    });
    let wrong = violations.chain(defects).collect();
    coverage.add_watch(&watch.borrow());
    Ok(Trial {
        time,
        wrong,
        coverage,
    })
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::path::Path;

    use super::*;
    use crate::virtual_world::search::schedule;

    fn hash_of_history(scenario: &Scenario) -> u64 {
        let mut world = World::new(scenario, scenario.seed, Progress::new(true, scenario.duration)).unwrap();
        let mut hasher = DefaultHasher::new();
        while world.step() {
            while let Some(entry) = world.poll_entry() {
                serde_json::to_string(&entry).unwrap().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    #[test]
    fn a_seed_decides_its_whole_history_whatever_goes_wrong_in_it() {
        for name in ["failover", "devices"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.toml"));
            let text = std::fs::read_to_string(file).unwrap();
            let base = Scenario::parse(&text, name).unwrap();
            for seed in 1..=50 {
                let drawn = schedule::draw(&base, seed).scenario().unwrap();
                assert_eq!(
                    hash_of_history(&drawn),
                    hash_of_history(&drawn),
                    "{name}, seed {seed}"
                );
            }
        }
    }
}
