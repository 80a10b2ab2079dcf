//! Draws what a search tries: a small scenario with faults near each other in time, all of it from one seed.
//!
//! In: the scenario that is searched (its cluster and what its back end asks for) and a seed. Out: the text of a
//! scenario file, so that what was tried can be run again by anybody. One instance is never hit, because the contract
//! promises nothing for a cluster of which nobody is left.

use std::fmt::Write as _;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

use crate::scenario::{Load, Scenario};
use crate::seed::{Purpose, generator};

/// Devices: least and most. Few, so that many things happen to each.
const DEVICES: (u32, u32) = (3, 30);
/// Requests per second: least and most.
const RATE: (u32, u32) = (10, 60);
/// Most faults, without those that give back what they took.
const FAULTS: u32 = 6;
/// Most outputs that a fault lets pass before it strikes between two of them.
const OUTPUTS: u32 = 12;
/// The first fault, in milliseconds after the start: earliest and latest.
const FIRST_MS: (u64, u64) = (2500, 4500);
/// From the last fault to the end of the load.
const AFTERMATH_MS: u64 = 4000;

/// What an instance is in the course of a schedule.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Up,
    Down,
    Paused,
}

struct Draft {
    random: ChaCha8Rng,
    text: String,
    at_ms: u64,
    lease_ms: u64,
}

/// The scenario of a seed, as a file.
pub fn draw(base: &Scenario, seed: u64) -> String {
    let lease_ms = u64::try_from(base.cluster.lease.as_millis()).unwrap_or(u64::MAX);
    let mut draft = Draft {
        random: generator(seed, Purpose::Search),
        text: String::new(),
        at_ms: 0,
        lease_ms,
    };
    draft.at_ms = draft.random.random_range(FIRST_MS.0..=FIRST_MS.1);
    draft.draw_faults(base.cluster.instances);
    let faults = std::mem::take(&mut draft.text);
    draft.draw_setting(base, seed);
    draft.text + &faults + "[expect]\n\"tickets.violations\" = 0\n\"events.violations\" = 0\n"
}

impl Draft {
    fn draw_faults(&mut self, instances: u32) {
        let survivor = self.random.random_range(0..instances);
        let mut states = vec![State::Up; instances as usize];
        // Each seed leaves some kinds out, so that the others come in purer forms.
        let kinds: Vec<&str> = ["kill", "pause", "stop", "network"]
            .into_iter()
            .filter(|_| self.random.random_bool(0.6))
            .collect();
        if instances > 1 && self.random.random_bool(0.25) {
            self.hit_the_busiest();
        }
        for _ in 0..self.random.random_range(1..=FAULTS) {
            let kind = kinds.choose(&mut self.random).copied().unwrap_or("kill");
            if kind == "network" {
                let network = self.draw_network();
                self.fault(&format!("do = \"network\"\nnetwork = {network}"));
            } else if instances > 1 {
                let step = self.random.random_range(1..instances);
                let victim = (survivor + step) % instances;
                self.change(victim, &mut states[victim as usize], kind);
            }
            self.pause_between();
        }
        for (index, state) in states
            .iter_mut()
            .enumerate()
            .filter(|(_, state)| **state != State::Up)
        {
            self.change(u32::try_from(index).unwrap_or(0), state, "");
            self.pause_between();
        }
    }

    /// The classic: whoever serves most devices goes, and comes back.
    fn hit_the_busiest(&mut self) {
        let kill = self.random.random_bool(0.5);
        let (take, give) = if kill {
            ("kill", "restart")
        } else {
            ("pause", "resume")
        };
        let outputs = self.draw_outputs(take);
        self.fault(&format!("do = \"{take}\"\ninstance = \"busiest\"{outputs}"));
        self.pause_between();
        self.fault(&format!("do = \"{give}\"\ninstance = \"last-faulted\""));
        // Only then is it known again who is up, and has been so for long enough to be given partitions.
        self.at_ms += 3 * self.lease_ms + 1500;
    }

    fn change(&mut self, instance: u32, state: &mut State, kind: &str) {
        let (action, next) = match (*state, kind) {
            (State::Up, "pause") => ("pause", State::Paused),
            (State::Up, "stop") => ("stop", State::Down),
            (State::Up, _) => ("kill", State::Down),
            (State::Down, _) => ("restart", State::Up),
            (State::Paused, "kill") => ("kill", State::Down),
            (State::Paused, _) => ("resume", State::Up),
        };
        *state = next;
        let outputs = self.draw_outputs(action);
        self.fault(&format!("do = \"{action}\"\ninstance = {instance}{outputs}"));
    }

    /// Half of the faults that take one instance away wait until it is between two outputs.
    fn draw_outputs(&mut self, action: &str) -> String {
        if matches!(action, "kill" | "pause") && self.random.random_bool(0.5) {
            format!("\noutputs = {}", self.random.random_range(1..=OUTPUTS))
        } else {
            String::new()
        }
    }

    fn fault(&mut self, rest: &str) {
        let at_ms = self.at_ms;
        let _ = write!(self.text, "[[fault]]\nat = \"{at_ms}ms\"\n{rest}\n\n");
    }

    /// Faults that meet are close to each other; the lease is the other distance that matters.
    fn pause_between(&mut self) {
        let lease_ms = self.lease_ms;
        let longest = *[50, 300, lease_ms, 3 * lease_ms]
            .choose(&mut self.random)
            .unwrap_or(&lease_ms);
        self.at_ms += self.random.random_range(1..=longest.max(1));
    }

    fn draw_network(&mut self) -> String {
        let random = &mut self.random;
        let latency = random.random_range(1..=20);
        let jitter = random.random_range(0..=15);
        let [loss, duplicate, reorder] = [0.1, 0.1, 0.1].map(|most| {
            let strength = *[0.0, 0.0, 0.2, 1.0].choose(random).unwrap_or(&0.0);
            most * strength
        });
        format!(
            "{{ latency = \"{latency}ms\", jitter = \"{jitter}ms\", loss = {loss:?}, duplicate = {duplicate:?}, \
             reorder = {reorder:?} }}"
        )
    }

    fn draw_setting(&mut self, base: &Scenario, seed: u64) {
        let network = self.draw_network();
        let random = &mut self.random;
        let count = random.random_range(DEVICES.0..=DEVICES.1);
        let lifetime = *[10, 20, 60].choose(random).unwrap_or(&60);
        let policies = ["source-hash", "round-robin", "random"];
        let policy = policies.choose(random).unwrap_or(&policies[0]);
        let rate = random.random_range(RATE.0..=RATE.1);
        let stop_ms = self.at_ms + AFTERMATH_MS;
        let (instances, health) = (base.cluster.instances, &base.balancer.health);
        let _ = write!(
            self.text,
            "# Drawn by a search over {name}.\n\nname = \"{name}-{seed}\"\n\
             question = \"Does the contract hold under these faults?\"\nseed = {seed}\nduration = \"{stop_ms}ms\"\n\n\
             [cluster]\ninstances = {instances}\nlease = \"{lease}ms\"\narguments = {arguments:?}\n\n\
             [devices]\ncount = {count}\nlifetime = \"{lifetime}s\"\nregister_rate = 50\nnetwork = {network}\n\n\
             [balancer]\npolicy = \"{policy}\"\nhealth = {{ interval = \"{interval}ms\", failures = {failures} }}\n\n",
            name = base.name,
            arguments = base.cluster.arguments,
            lease = self.lease_ms,
            interval = health.interval.as_millis(),
            failures = health.failures,
        );
        let share = f64::from(rate) / base.load.iter().map(|load| load.rate).sum::<f64>().max(1e-9);
        for load in &base.load {
            self.text += &load_as_toml(load, load.rate * share, stop_ms);
        }
    }
}

fn load_as_toml(load: &Load, rate: f64, stop_ms: u64) -> String {
    let kinds: Vec<String> = load
        .mix
        .iter()
        .map(|part| format!("{} = {}", part.kind.as_str(), part.weight))
        .collect();
    let paths: Vec<String> = load
        .mix
        .iter()
        .map(|part| format!("{} = {:?}", part.kind.as_str(), part.paths))
        .collect();
    let millis = |duration: Duration| duration.as_millis();
    format!(
        "[[load]]\nkind = {{ {} }}\npath = {{ {} }}\nrate = {rate:?}\nstart = \"1500ms\"\nstop = \"{stop_ms}ms\"\n\
         timeout = \"{}ms\"\nrepeat = {}\n\n",
        kinds.join(", "),
        paths.join(", "),
        millis(load.timeout),
        load.repeat
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "name = \"base\"\nquestion = \"?\"\nduration = \"9s\"\n[cluster]\ninstances = 3\n[[load]]\n\
                        kind = { read = 2, execute = 1 }\nrate = 100\n[expect]\n\"tickets.violations\" = 0\n";

    #[test]
    fn every_drawn_schedule_is_a_valid_scenario_and_the_same_for_the_same_seed() {
        let base = Scenario::parse(BASE, "base.toml").unwrap();
        for seed in 0..200 {
            let text = draw(&base, seed);
            assert_eq!(text, draw(&base, seed));
            let scenario =
                Scenario::parse(&text, "drawn.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!((scenario.seed, scenario.cluster.instances), (seed, 3));
            assert!(!scenario.fault.is_empty() && scenario.load[0].mix.len() == 2);
        }
        assert_ne!(draw(&base, 1), draw(&base, 2));
    }
}
