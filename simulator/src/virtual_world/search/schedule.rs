//! Draws what a search tries: a small scenario with faults near each other in time, all of it from one seed.
//!
//! In: the scenario that is searched (its cluster, what its back end asks for, its own faults) and a seed. Out: a draft
//! of a scenario file, so that what was tried can be run again by anybody.

use std::time::Duration;

use rand::RngExt;
use toml::{Table, Value};

use super::faults::Drawing;
use super::flavour::Flavour;
use super::wider::widen;
use crate::load::LoadOptions;
use crate::scenario::{Draft, Scenario, millis, table};
use crate::seed::{Purpose, generator, pick};

/// Devices: the largest of a small and of a larger fleet. Few, so that many things happen to each.
const DEVICES: [u32; 3] = [4, 12, 30];
/// Requests per second: least and most.
const RATE: (u32, u32) = (5, 60);
/// From the last fault to the end of the load: a takeover and what follows from it.
const AFTERMATH_MS: u64 = 3000;
/// Within this time everything is well again when all faults are over: it ends when that is so, mostly after two seconds.
const CALM: Duration = Duration::from_secs(60);
/// Leases that are tried beside the scenario's own, in milliseconds.
const LEASES_MS: [u64; 3] = [400, 600, 1000];

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
    let flavour = Flavour::draw(&mut random, generator(seed, Purpose::SearchClocks), base);
    let mut drawing = Drawing::begin(random, instances, lease_ms);
    let own = Draft::of(base);
    if base.fault.is_empty() || drawing.random.random_bool(0.85) {
        drawing.draw_faults(&flavour);
    } else {
        drawing.keep_faults(base, &own);
    }
    drawing.draw_setting(base, &flavour, own, seed)
}

impl Drawing {
    fn draw_setting(mut self, base: &Scenario, flavour: &Flavour, mut draft: Draft, seed: u64) -> Draft {
        let mut network = self.draw_network();
        for key in ["mtu", "duplicate_delay"] {
            let own = draft.get(&["devices", "network", key]).cloned();
            network.extend(own.map(|value| (key.to_owned(), value)));
        }
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
            ("calm", millis(CALM)),
            ("fault", std::mem::take(&mut self.faults).into()),
            ("expect", expectations().into()),
        ]));
        draft
            .section("cluster")
            .extend(table([("lease", millis(Duration::from_millis(self.lease_ms)))]));
        let groups = draft.devices();
        let each = (count / groups.len() as i64).max(1);
        for group in groups {
            group.remove("share");
            group.extend(table([
                ("count", each.into()),
                ("lifetime", seconds(lifetime)),
                ("register_rate", 50.into()),
                ("network", network.clone().into()),
            ]));
        }
        draft.section("balancer").extend(table([
            ("policy", policy.into()),
            ("flow_timeout", seconds(flow_timeout)),
        ]));
        self.add_loads(base, &mut draft, rate, timeout, stop);
        flavour.add_moods(&mut self.random, &mut draft);
        flavour.add_patience(generator(seed, Purpose::SearchPatience), &mut draft);
        widen(&mut draft, seed, flavour.long);
        draft
    }

    /// The load goes on from a second after the start to `stop`, but for the time in which nothing happens.
    fn add_loads(&self, base: &Scenario, draft: &mut Draft, rate: u32, timeout: u64, stop: Duration) {
        let seconds = |whole: u64| millis(Duration::from_secs(whole));
        let share = f64::from(rate)
            / base
                .load
                .iter()
                .map(LoadOptions::mean_rate)
                .sum::<f64>()
                .max(1e-9);
        for (table_of, load) in draft
            .list("load")
            .iter_mut()
            .filter_map(Value::as_table_mut)
            .zip(&base.load)
        {
            for key in ["stages", "ramp"] {
                table_of.remove(key);
            }
            table_of.extend(table([
                ("rate", (load.mean_rate() * share).into()),
                ("start", seconds(1)),
                ("stop", millis(stop)),
                ("timeout", seconds(timeout)),
            ]));
        }
        let Some((from_ms, to_ms)) = self.quiet else {
            return;
        };
        let loads = draft.list("load");
        let mut later = loads.clone();
        let of = |loads: &mut Vec<Value>, key: &str, ms: u64| {
            for load in loads.iter_mut().filter_map(Value::as_table_mut) {
                load.insert(key.to_owned(), millis(Duration::from_millis(ms)));
            }
        };
        of(loads, "stop", from_ms);
        of(&mut later, "start", to_ms);
        loads.extend(later);
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
    use crate::fault::FAULTS;
    use crate::fault::FaultAction;
    use crate::targets::Target;

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
            assert_eq!(scenario.cluster.arguments[..2], ["--nstart", "1"]);
            assert!(!scenario.fault.is_empty() && [2, 3].contains(&scenario.load[0].mix.len()));
        }
        assert_ne!(draw(&base, 1), draw(&base, 2));
    }

    #[test]
    fn some_seeds_are_impatient_some_make_mistakes_or_talk_nonsense_and_where_time_is_long_some_requests_wait()
     {
        let long = BASE.replace("29s", "340s");
        for (text, outlives) in [(BASE, false), (&long, true)] {
            let base = Scenario::parse(text, "base.toml").unwrap();
            let drawn: Vec<_> = (0..300).filter_map(|seed| draw(&base, seed).scenario()).collect();
            let count = |one: &dyn Fn(&Scenario) -> bool| drawn.iter().filter(|it| one(it)).count();
            let impatient = ["--nstart", "1", "--ack-timeout", "200ms", "--max-retransmit", "1"];
            let gives_up = count(&|it| it.cluster.arguments == impatient);
            assert!((20..80).contains(&gives_up), "{gives_up}");
            let mistaken = count(&|it| it.load[0].mix.len() == 3);
            assert!((20..80).contains(&mistaken), "{mistaken}");
            let broken = count(&|it| it.devices.groups[0].nonsense > 0.0);
            assert!((10..60).contains(&broken), "{broken}");
            let lasting = count(&|it| it.load.iter().all(|load| load.timeout.as_secs() == 600));
            assert!(
                if outlives {
                    (50..150).contains(&lasting)
                } else {
                    lasting == 0
                },
                "{lasting}"
            );
        }
    }

    #[test]
    fn seeds_differ_in_what_they_do_to_whom_and_some_keep_the_faults_of_the_scenario() {
        let base = Scenario::parse(BASE, "base.toml").unwrap();
        let faults: Vec<_> = (0..300)
            .filter_map(|seed| draw(&base, seed).scenario())
            .map(|it| it.fault)
            .collect();
        let all = || faults.iter().flatten();
        for known in &FAULTS {
            assert!(
                all().any(|fault| fault.action.kind() == known.kind),
                "{}",
                known.name
            );
        }
        for target in [
            Target::Busiest,
            Target::Steward,
            Target::Owner,
            Target::LastFaulted,
            Target::Instance(2),
            Target::BackEnd,
        ] {
            assert!(all().any(|fault| fault.target == target), "{target:?}");
        }
        assert!(all().any(|fault| fault.outputs.is_some()));
        let own = |faults: &&Vec<crate::fault::Fault>| {
            faults.len() == 1
                && faults[0].action == FaultAction::Kill
                && faults[0].target == Target::Instance(1)
        };
        assert!(faults.iter().filter(own).count() > 20);
    }
}
