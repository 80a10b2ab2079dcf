//! What a search reached over all its seeds: faults, the outcomes of scripts and what they did, how tickets failed.
//!
//! What is known to be possible and was never reached is listed too: it says something about the search.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use server::store::Script;

use crate::fault::{FAULTS, FaultKind};
use crate::history::{Entry, Event};
use crate::virtual_world::effects::EFFECTS;
use crate::virtual_world::transitions::{HEADINGS, Transition, known};
use crate::virtual_world::watch::Watch;

type Counts<K> = BTreeMap<K, u64>;

/// Counts over any number of seeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Faults that had an effect, by what they do.
    pub faults: Counts<FaultKind>,
    /// Statuses, by script.
    pub statuses: Counts<(usize, &'static str)>,
    /// What scripts published or ordered, by script.
    pub effects: Counts<(usize, &'static str)>,
    /// How tickets, owners, stewards, members and instances changed their states.
    pub states: Counts<Transition>,
    /// What instances and devices went through.
    pub transitions: Counts<&'static str>,
}

const ALIKE: &str = "the instances of a scenario are of one version and dialect";
const NEXT: &str = "whatever ends calls the next, so nothing waits where there is a free place (NSTART)";
const QUEUE_MODE: &str = "nothing waits with a free place for an Update before there is Queue mode";
const CAP: &str =
    "it takes more outcomes than --retained-outcomes, and fewer of these are less than the contract promises";

/// What no seed can reach, and why: safeguards behind safeguards, and what the cluster can be asked, but not in a scenario.
#[rustfmt::skip]
const OUT_OF_REACH: &[(&str, &str, &str)] = &[
    ("join", "DIALECT", ALIKE),
    ("join", "PARTITIONS", ALIKE),
    ("join", "FULL", "a scenario has fewer instances than the 256 ids of a cluster"),
    ("finish", "stop itself", "who ends its own exchange knows that it is over"),
    ("register", "dispatch to another", "who takes a Register is the owner from then on"),
    ("update", "dispatch to another", "who takes an Update is the owner from then on"),
    ("update", "dispatch to itself", QUEUE_MODE),
    ("tickets", "queued -> dispatched (update)", QUEUE_MODE),
    ("tickets", "queued -> sent (update)", QUEUE_MODE),
    ("tickets", "queued -> dispatched (accept)", NEXT),
    ("tickets", "queued -> dispatched once (accept)", NEXT),
    ("tickets", "queued -> sent (accept)", NEXT),
    ("tickets", "ended -> forgotten (sweep: over the cap)", CAP),
    ("tickets", "refused -> forgotten (sweep: over the cap)", CAP),
    ("members", "ready -> dead (leave)", "a member that leaves says before that it is not ready any more"),
    ("instances", "member -> outside (a renewal: another generation)", "a broker that lost its memory does not know the member either, and says that first"),
];

/// Why no seed reaches it, if none can.
fn out_of_reach(heading: &str, name: &str) -> Option<&'static str> {
    let mut all = OUT_OF_REACH.iter();
    all.find_map(|(of, what, why)| (*of == heading && *what == name).then_some(*why))
}

/// Transitions of instances and devices that the history shows.
const TRANSITIONS: [&str; 9] = [
    "device registered",
    "device registered again",
    "device updated",
    "device lost its registration",
    "device was refused",
    "instance joined",
    "instance ended as asked",
    "instance taken out by the balancer",
    "request repeated",
];

fn transition(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::DeviceRegistered { again: false, .. } => "device registered",
        Event::DeviceRegistered { again: true, .. } => "device registered again",
        Event::DeviceUpdated { .. } => "device updated",
        Event::DeviceLostRegistration { .. } => "device lost its registration",
        Event::DeviceRefused { .. } => "device was refused",
        Event::InstanceReady { .. } => "instance joined",
        Event::InstanceExited { expected: true, .. } => "instance ended as asked",
        Event::Health { healthy: false, .. } => "instance taken out by the balancer",
        Event::Sent { attempt: 2.., .. } => "request repeated",
        _ => return None,
    })
}

impl Coverage {
    /// Takes an entry of a history.
    pub fn observe(&mut self, entry: &Entry) {
        if let Event::Fault { action, .. } = &entry.event {
            *self.faults.entry(*action).or_default() += 1;
        }
        if let Some(transition) = transition(&entry.event) {
            *self.transitions.entry(transition).or_default() += 1;
        }
    }

    /// Takes what was seen inside.
    pub fn add_watch(&mut self, watch: &Watch) {
        add(&mut self.statuses, &watch.statuses);
        add(&mut self.effects, &watch.effects);
        add(&mut self.states, &watch.transitions.counts);
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Coverage) {
        add(&mut self.faults, &other.faults);
        add(&mut self.statuses, &other.statuses);
        add(&mut self.effects, &other.effects);
        add(&mut self.states, &other.states);
        add(&mut self.transitions, &other.transitions);
    }

    /// All that is known, with 0 for what was never reached: a heading and its lines each.
    fn lines(&self) -> Vec<(String, Vec<(String, u64)>)> {
        let count = |kind| self.faults.get(kind).copied().unwrap_or(0);
        let faults = FAULTS.iter().map(|it| (it.name.to_owned(), count(&it.kind)));
        let mut all = vec![("faults".to_owned(), faults.collect())];
        for script in Script::ALL {
            let known = script
                .statuses()
                .iter()
                .copied()
                .chain(effects_of(script).iter().copied());
            let of_script = |counts: &Counts<(usize, &'static str)>| {
                let own = counts.keys().filter(|(index, _)| *index == script.index());
                own.map(|(_, name)| *name).collect::<Vec<_>>()
            };
            let mut names: Vec<&'static str> = known.collect();
            for seen in of_script(&self.statuses)
                .into_iter()
                .chain(of_script(&self.effects))
            {
                if !names.contains(&seen) {
                    names.push(seen);
                }
            }
            let count = |name| {
                let key = (script.index(), name);
                let counts = [self.statuses.get(&key), self.effects.get(&key)];
                counts.into_iter().flatten().sum()
            };
            let lines = names.into_iter().map(|name| (name.to_owned(), count(name)));
            all.push((format!("{script:?}").to_lowercase(), lines.collect()));
        }
        all.extend(HEADINGS.map(|of| (of.to_owned(), self.state_lines(of))));
        let count = |name: &str| self.transitions.get(name).copied().unwrap_or(0);
        let transitions = TRANSITIONS.iter().map(|name| ((*name).to_owned(), count(name)));
        all.push(("devices and instances".to_owned(), transitions.collect()));
        all
    }

    /// The transitions that are known, and those that were seen though nobody knew of them.
    fn state_lines(&self, of: &'static str) -> Vec<(String, u64)> {
        let mut all: Vec<Transition> = known(of).collect();
        let seen = self.states.keys().filter(|seen| seen.of == of);
        let unknown: Vec<Transition> = seen.filter(|seen| !all.contains(seen)).copied().collect();
        all.extend(unknown);
        let count = |transition| self.states.get(transition).copied().unwrap_or(0);
        let lines = all.iter().map(|it| (it.to_string(), count(it)));
        lines.collect()
    }

    /// What is possible and was never reached: a heading and its lines each.
    fn missing(&self) -> Vec<(String, Vec<String>)> {
        let lines = self.lines().into_iter().map(|(heading, lines)| {
            let missing = lines
                .into_iter()
                .filter(|(name, count)| *count == 0 && out_of_reach(&heading, name).is_none());
            let names = missing.map(|(name, _)| name).collect();
            (heading, names)
        });
        lines.collect()
    }

    /// What is possible and was never reached, `script: what`.
    pub fn never(&self) -> Vec<String> {
        let missing = self.missing().into_iter();
        let never = missing
            .flat_map(|(heading, names)| names.into_iter().map(move |name| format!("{heading}: {name}")));
        never.collect()
    }

    /// What was reached though [`OUT_OF_REACH`] says that it cannot be: one of the two is wrong, the table or the cluster.
    fn surprises(&self) -> Vec<String> {
        let lines = self.lines().into_iter().flat_map(|(heading, lines)| {
            let reached = lines
                .into_iter()
                .filter(|(name, count)| *count > 0 && out_of_reach(&heading, name).is_some());
            let named: Vec<String> = reached.map(|(name, _)| format!("{heading}: {name}")).collect();
            named
        });
        lines.collect()
    }

    /// A line for each script.
    pub fn table(&self) -> String {
        let mut text = String::from("reached\n");
        for (heading, lines) in self.lines() {
            let reached = lines.iter().filter(|(_, count)| *count > 0);
            let reached: Vec<String> = reached.map(|(name, count)| format!("{name} {count}")).collect();
            let _ = writeln!(text, "  {heading:<22} {}", reached.join(" · "));
        }
        text.push_str("never reached\n");
        for (heading, names) in self.missing().into_iter().filter(|(_, names)| !names.is_empty()) {
            let _ = writeln!(text, "  {heading:<22} {}", names.join(" · "));
        }
        let surprises = self.surprises();
        let count = OUT_OF_REACH.len() - surprises.len();
        let _ = writeln!(
            text,
            "out of the reach of any seed: {count} more (why: the coverage file)"
        );
        if !surprises.is_empty() {
            let _ = writeln!(text, "reached, though no seed should: {}", surprises.join(" · "));
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        let lines = self.lines().into_iter().map(|(heading, lines)| {
            let counts: serde_json::Map<String, Json> = lines
                .into_iter()
                .map(|(name, count)| (name, json!(count)))
                .collect();
            (heading, Json::Object(counts))
        });
        let out_of_reach = OUT_OF_REACH.iter();
        let out_of_reach: serde_json::Map<String, Json> = out_of_reach
            .map(|(heading, name, why)| (format!("{heading}: {name}"), json!(why)))
            .collect();
        json!({
            "reached": lines.collect::<serde_json::Map<_, _>>(),
            "never": self.never(),
            "out_of_reach": out_of_reach,
        })
    }
}

fn effects_of(script: Script) -> &'static [&'static str] {
    EFFECTS
        .iter()
        .find(|(of, _)| *of == script)
        .map_or(&[], |(_, effects)| effects)
}

fn add<K: Ord + Clone>(to: &mut Counts<K>, from: &Counts<K>) {
    from.iter()
        .for_each(|(key, count)| *to.entry(key.clone()).or_default() += count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_world::watch::REFUSED;

    #[test]
    fn what_is_out_of_reach_is_known_by_name_and_not_called_missing() {
        let coverage = Coverage::default();
        let lines = coverage.lines();
        let never = coverage.never();
        for (heading, name, _) in OUT_OF_REACH {
            let of = lines.iter().find(|(of, _)| of == heading).unwrap();
            assert!(of.1.iter().any(|(it, _)| it == name), "{heading}: {name}");
            assert!(!never.contains(&format!("{heading}: {name}")));
        }
        let all: usize = lines.iter().map(|(_, lines)| lines.len()).sum();
        assert_eq!(never.len() + OUT_OF_REACH.len(), all);
        assert_eq!(coverage.to_json()["out_of_reach"]["join: DIALECT"], ALIKE);
        assert!(!coverage.table().contains("no seed should"));
    }

    #[test]
    fn what_is_reached_though_it_should_be_out_of_reach_is_said() {
        let mut coverage = Coverage::default();
        coverage.statuses.insert((Script::Join.index(), "FULL"), 1);
        let table = coverage.table();
        let said = "any seed: 15 more (why: the coverage file)\nreached, though no seed should: join: FULL\n";
        assert!(table.ends_with(said), "{table}");
    }

    #[test]
    fn what_was_never_reached_is_listed_and_what_was_is_counted() {
        let mut coverage = Coverage::default();
        assert!(coverage.never().contains(&"accept: REFUSED".to_owned()));
        let mut watch = Watch::default();
        watch.statuses.insert((Script::Accept.index(), "REFUSED"), 2);
        watch.statuses.insert((Script::Accept.index(), REFUSED), 1);
        let seen = |from| Transition {
            of: "tickets",
            from,
            to: "ended",
            by: "sweep",
            how: "TIMEOUT",
        };
        watch.transitions.counts = [(seen("sent"), 3), (seen("lost"), 1)].into();
        coverage.add_watch(&watch);
        coverage.add(&coverage.clone());
        assert!(!coverage.never().contains(&"accept: REFUSED".to_owned()));
        let json = coverage.to_json();
        assert_eq!(
            (
                &json["reached"]["accept"]["REFUSED"],
                &json["reached"]["accept"][REFUSED]
            ),
            (&json!(4), &json!(2))
        );
        assert_eq!(json["reached"]["faults"]["kill"], 0);
        let tickets = &json["reached"]["tickets"];
        assert_eq!(tickets["sent -> ended (sweep: TIMEOUT)"], 6);
        // What should be impossible is counted too.
        assert_eq!(tickets["lost -> ended (sweep: TIMEOUT)"], 2);
        assert_eq!(tickets["dispatched once -> sent (begin)"], 0);
        let never = coverage.never();
        assert!(never.contains(&"tickets: dispatched once -> sent (begin)".to_owned()));
        assert!(!never.contains(&"tickets: sent -> ended (sweep: TIMEOUT)".to_owned()));
        assert!(coverage.table().contains("REFUSED 4"));
    }
}
