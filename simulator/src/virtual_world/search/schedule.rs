//! Draws what a search tries: a small scenario with faults near each other in time, all of it from one seed.
//!
//! In: the scenario that is searched (its cluster, what its back end asks for, its own faults) and a seed. Out: a draft
//! of a scenario file, so that what was tried can be run again by anybody.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use toml::{Table, Value};

use super::draft::{Draft, millis};
use crate::scenario::Scenario;
use crate::seed::{Purpose, generator};

/// Devices: the largest of a small and of a larger fleet. Few, so that many things happen to each.
const DEVICES: [u32; 3] = [4, 12, 30];
/// Requests per second: least and most.
const RATE: (u32, u32) = (5, 60);
/// Most faults, without those that give back what they took.
const FAULTS: u32 = 6;
/// Most outputs that a fault lets pass before it strikes between two of them.
const OUTPUTS: u32 = 12;
/// The first fault, in milliseconds after the start: earliest and latest.
const FIRST_MS: (u64, u64) = (1200, 3000);
/// From the last fault to the end of the load: a takeover and what follows from it.
const AFTERMATH_MS: u64 = 3000;
/// What can happen. `aimed` is whatever hits the instance that has most to do.
const KINDS: [&str; 9] = [
    "kill",
    "pause",
    "stop",
    "network",
    "aimed",
    "flow-reset",
    "reboot",
    "sleep",
    "nat-rebind",
];
/// An instance that is asked to stop has stopped after so long, unless devices keep it waiting.
const STOP_MS: u64 = 1500;
/// Leases that are tried beside the scenario's own, in milliseconds.
const LEASES_MS: [u64; 3] = [400, 600, 1000];

/// What an instance is in the course of a schedule.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Up,
    Down,
    Paused,
}

struct Drawing {
    random: ChaCha8Rng,
    faults: Vec<Value>,
    at_ms: u64,
    lease_ms: u64,
    states: Vec<State>,
    /// The instance that is not hit, if there is one.
    survivor: Option<usize>,
}

/// The scenario of a seed.
pub fn draw(base: &Scenario, seed: u64) -> Draft {
    let mut random = generator(seed, Purpose::Search);
    let own_lease = u64::try_from(base.cluster.lease.as_millis()).unwrap_or(u64::MAX);
    let leases: Vec<u64> = LEASES_MS
        .into_iter()
        .filter(|&lease| lease <= own_lease)
        .chain([own_lease])
        .collect();
    let lease_ms = pick(&mut random, &leases);
    let instances = base.cluster.instances as usize;
    let survivor = random.random_bool(0.7).then(|| random.random_range(0..instances));
    let mut drawing = Drawing {
        at_ms: random.random_range(FIRST_MS.0..=FIRST_MS.1),
        random,
        faults: Vec::new(),
        lease_ms,
        states: vec![State::Up; instances],
        survivor,
    };
    let own = Draft::of(base);
    if base.fault.is_empty() || drawing.random.random_bool(0.85) {
        drawing.draw_faults();
    } else {
        drawing.keep_faults(base, &own);
    }
    drawing.draw_setting(base, own, seed)
}

fn pick<T: Copy>(random: &mut ChaCha8Rng, from: &[T]) -> T {
    *from.choose(random).expect("what is drawn from is never empty")
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

impl Drawing {
    fn draw_faults(&mut self) {
        // Each seed leaves some kinds out, so that the others come in purer forms.
        let kinds: Vec<&str> = KINDS
            .into_iter()
            .filter(|_| self.random.random_bool(0.5))
            .collect();
        for _ in 0..self.random.random_range(1..=FAULTS) {
            match kinds.choose(&mut self.random).copied().unwrap_or("aimed") {
                "network" => {
                    let network = self.draw_network();
                    self.fault("network", [("network", network.into())]);
                }
                "aimed" => self.hit_who_matters(),
                "flow-reset" => self.fault("flow-reset", []),
                kind @ ("reboot" | "sleep" | "nat-rebind") => self.hit_devices(kind),
                kind => self.hit_one(kind),
            }
            self.pause_between();
        }
        self.restore();
    }

    /// Everybody is back in the end, so that everything can end. Who was asked to stop takes its time.
    fn restore(&mut self) {
        self.fault("resume", [("instance", "all".into())]);
        self.pause_between();
        self.fault("restart", [("instance", "all".into())]);
        let stopped = |fault: &Value| fault.get("do").and_then(Value::as_str) == Some("stop");
        if self.faults.iter().any(stopped) {
            self.at_ms += STOP_MS;
            self.fault("restart", [("instance", "all".into())]);
        }
    }

    /// Something happens to a few devices, or to most.
    fn hit_devices(&mut self, kind: &str) {
        let share = Value::from(pick(&mut self.random, &[0.1, 0.3, 0.8]));
        let millis = |ms: u64| millis(Duration::from_millis(ms));
        match kind {
            "reboot" => {
                let off = pick(&mut self.random, &[1, 200, 1000]);
                self.fault(kind, [("share", share), ("off", millis(off))]);
            }
            "sleep" => {
                let duration = pick(&mut self.random, &[500, 2000, 5000]);
                self.fault(kind, [("share", share), ("duration", millis(duration))]);
            }
            _ => self.fault(kind, [("share", share)]),
        }
    }

    fn hit_one(&mut self, kind: &str) {
        let victims: Vec<usize> = (0..self.states.len())
            .filter(|index| Some(*index) != self.survivor)
            .collect();
        if let Some(&victim) = victims.choose(&mut self.random) {
            self.change(victim, kind);
        }
    }

    /// Whoever has most to do goes, and comes back.
    fn hit_who_matters(&mut self) {
        let (take, give) = pick(
            &mut self.random,
            &[("kill", "restart"), ("pause", "resume"), ("stop", "restart")],
        );
        let whom = pick(&mut self.random, &["busiest", "steward", "owner"]);
        self.take_away(take, whom.into());
        self.pause_between();
        self.fault(give, [("instance", "last-faulted".into())]);
    }

    fn change(&mut self, instance: usize, kind: &str) {
        let (action, next) = match (self.states[instance], kind) {
            (State::Up, "pause") => ("pause", State::Paused),
            (State::Up, "stop") => ("stop", State::Down),
            (State::Up, _) => ("kill", State::Down),
            (State::Down, _) => ("restart", State::Up),
            (State::Paused, "kill") => ("kill", State::Down),
            (State::Paused, _) => ("resume", State::Up),
        };
        self.states[instance] = next;
        let whom = i64::try_from(instance).unwrap_or(0).into();
        match action {
            "restart" | "resume" => self.fault(action, [("instance", whom)]),
            _ => self.take_away(action, whom),
        }
    }

    /// Half of the faults that take an instance away wait until it is between two outputs.
    fn take_away(&mut self, action: &str, whom: Value) {
        if self.random.random_bool(0.5) {
            let outputs = i64::from(self.random.random_range(1..=OUTPUTS));
            self.fault(action, [("instance", whom), ("outputs", outputs.into())]);
        } else {
            self.fault(action, [("instance", whom)]);
        }
    }

    fn fault<const N: usize>(&mut self, action: &str, rest: [(&str, Value); N]) {
        let mut fault = table(rest);
        fault.insert("at".to_owned(), millis(Duration::from_millis(self.at_ms)));
        fault.insert("do".to_owned(), action.into());
        self.faults.push(fault.into());
    }

    /// Faults that meet are close to each other; the lease is the other distance that matters.
    fn pause_between(&mut self) {
        let lease_ms = self.lease_ms;
        let longest = pick(&mut self.random, &[5, 50, 300, lease_ms, lease_ms, 3 * lease_ms]);
        self.at_ms += self.random.random_range(1..=longest.max(1));
    }

    /// The scenario's own faults, nearer to each other, each at another moment of the work.
    fn keep_faults(&mut self, base: &Scenario, own: &Draft) {
        let first = base.fault.first().map_or(Duration::ZERO, |fault| fault.at);
        let shorter = pick(&mut self.random, &[5, 10, 20]);
        let begin = self.at_ms;
        let faults = own
            .get(&["fault"])
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for mut fault in faults {
            let at = fault
                .get("at")
                .and_then(Value::as_str)
                .map(crate::scenario::parse_duration);
            let Some(Ok(at)) = at else { continue };
            let after = u64::try_from(at.saturating_sub(first).as_millis()).unwrap_or(0) / shorter;
            self.at_ms = self.at_ms.max(begin + after);
            if let Some(fault) = fault.as_table_mut() {
                fault.insert("at".to_owned(), millis(Duration::from_millis(begin + after)));
            }
            self.faults.push(fault);
        }
    }

    fn draw_network(&mut self) -> Table {
        let random = &mut self.random;
        let latency = random.random_range(1..=20);
        let jitter = random.random_range(0..=15);
        let mut share = || {
            let strengths = [0.0, 0.0, 0.02, 0.1];
            Value::from(pick(random, &strengths))
        };
        let [loss, duplicate, reorder] = [share(), share(), share()];
        table([
            ("latency", millis(Duration::from_millis(latency))),
            ("jitter", millis(Duration::from_millis(jitter))),
            ("loss", loss),
            ("duplicate", duplicate),
            ("reorder", reorder),
        ])
    }

    fn draw_setting(mut self, base: &Scenario, mut draft: Draft, seed: u64) -> Draft {
        let network = self.draw_network();
        let random = &mut self.random;
        let largest = pick(random, &DEVICES);
        let count = i64::from(random.random_range(1..=largest));
        let lifetime = pick(random, &[5, 10, 20, 60]);
        let policy = pick(random, &["source-hash", "round-robin", "random"]);
        let flow_timeout = pick(random, &[1, 300]);
        let rate = random.random_range(RATE.0..=RATE.1);
        let timeout = pick(random, &[2, 5, 20]);
        let stop = Duration::from_millis(self.at_ms + AFTERMATH_MS);
        let seconds = |whole: u64| millis(Duration::from_secs(whole));
        draft.root.extend(table([
            (
                "name",
                format!("{}-{seed}", base.name.chars().take(40).collect::<String>()).into(),
            ),
            ("question", "Does the contract hold under these faults?".into()),
            ("seed", i64::try_from(seed).unwrap_or(i64::MAX).into()),
            ("duration", millis(stop)),
            ("fault", self.faults.into()),
            ("expect", expectations().into()),
        ]));
        draft
            .section("cluster")
            .extend(table([("lease", millis(Duration::from_millis(self.lease_ms)))]));
        draft.section("devices").extend(table([
            ("count", count.into()),
            ("lifetime", seconds(lifetime)),
            ("register_rate", 50.into()),
            ("network", network.into()),
        ]));
        draft.section("balancer").extend(table([
            ("policy", policy.into()),
            ("flow_timeout", seconds(flow_timeout)),
        ]));
        let share = f64::from(rate) / base.load.iter().map(|load| load.rate).sum::<f64>().max(1e-9);
        for (table_of, load) in draft
            .list("load")
            .iter_mut()
            .filter_map(Value::as_table_mut)
            .zip(&base.load)
        {
            table_of.extend(table([
                ("rate", (load.rate * share).into()),
                ("start", seconds(1)),
                ("stop", millis(stop)),
                ("timeout", seconds(timeout)),
            ]));
        }
        draft
    }
}

fn expectations() -> Table {
    let nothing = |path: &str| (path.to_owned(), Value::from(0));
    ["tickets.violations", "events.violations", "defects.count"]
        .map(nothing)
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{FaultAction, Target};

    const BASE: &str = "name = \"base\"\nquestion = \"?\"\nduration = \"29s\"\n[cluster]\ninstances = 3\n\
                        arguments = [\"--nstart\", \"1\"]\n[[load]]\nkind = { read = 2, execute = 1 }\nrate = 100\n\
                        [[fault]]\nat = \"10s\"\ndo = \"kill\"\ninstance = 1\n[expect]\n\"tickets.violations\" = 0\n";

    #[test]
    fn every_drawn_schedule_is_a_valid_scenario_and_the_same_for_the_same_seed() {
        let base = Scenario::parse(BASE, "base.toml").unwrap();
        for seed in 0..300 {
            let text = draw(&base, seed).render();
            assert_eq!(text, draw(&base, seed).render());
            let scenario =
                Scenario::parse(&text, "drawn.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!((scenario.seed, scenario.cluster.instances), (seed, 3));
            assert_eq!(scenario.cluster.arguments, ["--nstart", "1"]);
            assert!(!scenario.fault.is_empty() && scenario.load[0].mix.len() == 2);
        }
        assert_ne!(draw(&base, 1), draw(&base, 2));
    }

    #[test]
    fn seeds_differ_in_what_they_do_to_whom_and_some_keep_the_faults_of_the_scenario() {
        let base = Scenario::parse(BASE, "base.toml").unwrap();
        let faults: Vec<_> = (0..300)
            .filter_map(|seed| draw(&base, seed).scenario())
            .map(|it| it.fault)
            .collect();
        let all = || faults.iter().flatten();
        for action in [
            "kill",
            "pause",
            "stop",
            "resume",
            "restart",
            "network",
            "flow-reset",
            "reboot",
            "sleep",
            "nat-rebind",
        ] {
            assert!(all().any(|fault| fault.action.as_str() == action), "{action}");
        }
        for target in [
            Target::Busiest,
            Target::Steward,
            Target::Owner,
            Target::LastFaulted,
            Target::Instance(2),
        ] {
            assert!(all().any(|fault| fault.target == target), "{target:?}");
        }
        assert!(all().any(|fault| fault.outputs.is_some()));
        let own = |faults: &&Vec<crate::scenario::Fault>| {
            faults.len() == 1
                && faults[0].action == FaultAction::Kill
                && faults[0].target == Target::Instance(1)
        };
        assert!(faults.iter().filter(own).count() > 20);
    }
}
