//! Draws that came after the others: longer leases, short memories, long absences, joins that hang, the default path.
//!
//! Each kind has a generator of its own, so that a seed keeps whatever else was drawn of it. In: the draft of a seed. Out:
//! the same, in most seeds without any of these.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use toml::Value;

use crate::scenario::{Draft, millis, table};
use crate::seed::{Purpose, generator, pick};

/// Leases in milliseconds, longer than what else is drawn. Not beyond 2 s: a takeover replays what was published up to two
/// leases and a second ago, also the repeat of a request whose refusal was remembered for 10 s from the first copy on.
const LEASES_MS: [u64; 2] = [1500, 2000];
/// So many leases it takes until everything is well again: the one that a dead instance leaves behind, two and a second of
/// listening, and what a device waits until it tries again.
const LEASES_OF_CALM: u32 = 5;
/// Outcomes are remembered for so long at least; back ends repeat for less.
const RETENTION: &str = "60s";
/// A lifetime, and how long devices are away whose registration has to end meanwhile, in milliseconds.
const LIFETIME_MS: u64 = 5000;
const ABSENCES_MS: [u64; 2] = [15_000, 45_000];
/// How long nothing passes between an instance that comes back and the broker, in milliseconds. Not longer: the balancer goes on
/// to send it answers that devices give once, and it can tell nobody.
const STALLS_MS: [u64; 2] = [700, 3000];
/// From the last of these faults to the end of the load.
const AFTERMATH_MS: u64 = 3000;

/// Adds what a seed has of these. `long`: it lasts longer than anybody remembers anything.
pub fn widen(draft: &mut Draft, seed: u64, long: bool) {
    let random = |purpose| generator(seed, purpose);
    draw_parameters(draft, &mut random(Purpose::SearchParameters), long);
    if !long {
        draw_absence(draft, &mut random(Purpose::SearchAbsence));
    }
    draw_hanging_join(draft, &mut random(Purpose::SearchHanging));
    draw_paths(draft, &mut random(Purpose::SearchPaths));
}

/// How long members and outcomes last.
fn draw_parameters(draft: &mut Draft, random: &mut ChaCha8Rng, long: bool) {
    if random.random_bool(0.1) {
        let lease = Duration::from_millis(pick(random, &LEASES_MS));
        draft.section("cluster").insert("lease".to_owned(), millis(lease));
        let calm = draft.duration(&["calm"]).unwrap_or_default();
        let calm = calm + lease * LEASES_OF_CALM;
        draft.root.insert("calm".to_owned(), millis(calm));
    }
    if random.random_bool(0.1) && !long {
        add_argument(draft, "--ticket-retention", RETENTION);
    }
}

fn add_argument(draft: &mut Draft, name: &str, value: &str) {
    let arguments = draft.section("cluster").entry("arguments");
    let arguments = arguments
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut();
    if let Some(arguments) = arguments
        && !arguments.iter().any(|argument| argument.as_str() == Some(name))
    {
        arguments.extend([name, value].map(Value::from));
    }
}

/// Devices are gone for longer than their registration lives, and come back.
fn draw_absence(draft: &mut Draft, random: &mut ChaCha8Rng) {
    if !random.random_bool(0.12) {
        return;
    }
    let at = random.random_range(1000..=4000);
    let off = pick(random, &ABSENCES_MS);
    let share = pick(random, &[0.3, 0.8]);
    let lifetime = millis(Duration::from_millis(LIFETIME_MS));
    draft.section("devices").insert("lifetime".to_owned(), lifetime);
    let off_for = millis(Duration::from_millis(off));
    add_fault(draft, at, "reboot", [("share", share.into()), ("off", off_for)]);
    last_until(draft, at + off + AFTERMATH_MS);
}

/// An instance comes back, and what it says to the broker then is never answered, or late.
fn draw_hanging_join(draft: &mut Draft, random: &mut ChaCha8Rng) {
    if !random.random_bool(0.12) {
        return;
    }
    let count = draft.integer(&["cluster", "instances"]).unwrap_or(1).max(1);
    let whom = Value::from(random.random_range(0..count));
    let at = random.random_range(1000..=4000);
    let back = at + random.random_range(1..=3000);
    let silent = back + random.random_range(0..=20);
    let connection = pick(random, &["command", "subscriber", "both"]);
    let (kind, key, time) = match random.random_bool(0.5) {
        true => ("redis-cut", "half_open", pick(random, &[5000, 30_000])),
        false => ("redis-slow", "stall", pick(random, &STALLS_MS)),
    };
    let time = millis(Duration::from_millis(time));
    add_fault(draft, at, "kill", [("instance", whom.clone())]);
    add_fault(draft, back, "restart", [("instance", whom.clone())]);
    let of_link = [("instance", whom), ("connection", connection.into()), (key, time)];
    add_fault(draft, silent, kind, of_link);
    last_until(draft, silent + AFTERMATH_MS);
}

/// What is asked for by default.
fn draw_paths(draft: &mut Draft, random: &mut ChaCha8Rng) {
    if random.random_bool(0.15) {
        for load in draft.list("load").iter_mut().filter_map(Value::as_table_mut) {
            load.remove("path");
        }
    }
}

fn add_fault<const N: usize>(draft: &mut Draft, at_ms: u64, action: &str, rest: [(&str, Value); N]) {
    let mut fault = table(rest);
    fault.insert("at".to_owned(), millis(Duration::from_millis(at_ms)));
    fault.insert("do".to_owned(), action.into());
    draft.list("fault").push(fault.into());
}

fn last_until(draft: &mut Draft, ms: u64) {
    let duration = draft.duration(&["duration"]).unwrap_or_default();
    let longer = duration.max(Duration::from_millis(ms));
    draft.root.insert("duration".to_owned(), millis(longer));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    const BASE: &str = "name = \"base\"\nquestion = \"?\"\nduration = \"9s\"\ncalm = \"60s\"\n[cluster]\ninstances = 3\n\
                        [devices]\ncount = 3\n[[load]]\nkind = \"read\"\npath = \"/3/0/1\"\nrate = 9\n";

    #[test]
    fn most_seeds_stay_as_they_were_and_each_kind_is_drawn_now_and_then() {
        let base = Draft::of(&Scenario::parse(BASE, "base.toml").unwrap());
        let all: Vec<Scenario> = (0..500)
            .map(|seed| {
                let mut draft = base.clone();
                widen(&mut draft, seed, false);
                draft.scenario().unwrap_or_else(|| panic!("{}", draft.render()))
            })
            .collect();
        let count = |is: &dyn Fn(&Scenario) -> bool| all.iter().filter(|one| is(one)).count();
        let plain = base.scenario().unwrap();
        assert!((200..400).contains(&count(&|one| {
            (&one.fault, &one.cluster, &one.load[0].mix) == (&plain.fault, &plain.cluster, &plain.load[0].mix)
        })));
        for (what, is) in [
            (
                "a lease",
                &(|one: &Scenario| one.cluster.lease > Duration::from_secs(1)) as &dyn Fn(&Scenario) -> bool,
            ),
            ("a short memory", &|one| {
                one.cluster.arguments == ["--ticket-retention", "60s"]
            }),
            ("an absence", &|one| one.devices.groups[0].lifetime_s == 5),
            ("a hanging join", &|one| one.fault.len() >= 3),
            ("the default path", &|one| one.load[0].mix != plain.load[0].mix),
        ] {
            assert!((25..110).contains(&count(is)), "{what}: {}", count(is));
        }
        let patient = |one: &Scenario| one.calm >= one.cluster.lease * LEASES_OF_CALM;
        assert!(all.iter().all(patient));
    }

    #[test]
    fn a_long_scenario_keeps_its_memory() {
        let mut base = Draft::of(&Scenario::parse(BASE, "base.toml").unwrap());
        for seed in 0..100 {
            widen(&mut base, seed, true);
        }
        let scenario = base.scenario().unwrap();
        assert!(scenario.cluster.arguments.is_empty() && scenario.devices.groups[0].lifetime_s > 5);
    }
}
