//! What the broker keeps though nobody refers to it, when nothing is under way: no ticket is open, every device is
//! registered. (`server/src/store/library/` says what the keys of a partition hold.)
//!
//! In: all keys. Out: a sentence for each that should not be there; also for one of a family that is not known here.

use std::collections::{BTreeMap, BTreeSet};

use server::store::protocol::schema::{endpoint, partition};

/// Scores beyond are of tickets that have ended.
const ENDED: f64 = 1e13;

/// A key of the broker.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name.
    pub key: String,
    /// It goes by itself some time.
    pub mortal: bool,
    /// Fields and values of a hash, members and scores of a sorted set, one after the other; what a list holds.
    pub texts: Vec<String>,
}

/// Something that should not be there.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOver {
    /// Of which endpoint, if that is known.
    pub ep: String,
    /// Of which ticket, if it is one's.
    pub ticket: String,
    /// A sentence.
    pub what: String,
}

/// What is left over among all keys, whose names begin with `prefix`.
pub fn left_over(kept: &[Kept], prefix: &str) -> Vec<LeftOver> {
    let mut partitions: BTreeMap<&str, Partition> = BTreeMap::new();
    let mut found = Vec::new();
    for one in kept {
        let parts = one
            .key
            .strip_prefix(prefix)
            .and_then(|key| key.strip_prefix('{')?.split_once('}'));
        match parts {
            Some(("m", family)) if is_about_members(family) => {}
            Some((tag, family)) if is_partition(tag) => {
                partitions.entry(tag).or_default().insert(family, one);
            }
            _ => found.push(unknown(&one.key)),
        }
    }
    found.extend(partitions.values().flat_map(Partition::left_over));
    found
}

fn is_about_members(family: &str) -> bool {
    ["c", "s"].contains(&family) || family.starts_with("i:")
}

fn is_partition(tag: &str) -> bool {
    tag.strip_prefix('p')
        .is_some_and(|number| u8::from_str_radix(number, 16).is_ok())
}

fn unknown(key: &str) -> LeftOver {
    found("", "", format!("the broker keeps `{key}`, a key of no family"))
}

fn found(ep: &str, ticket: &str, what: String) -> LeftOver {
    LeftOver {
        ep: ep.to_owned(),
        ticket: ticket.to_owned(),
        what,
    }
}

/// Endpoint and ticket from the name of a ticket: the length of the endpoint, a colon, the endpoint, a colon, the ticket.
fn named(name: &str) -> (&str, &str) {
    let parts = name.split_once(':').and_then(|(length, rest)| {
        let (ep, ticket) = rest.split_at_checked(length.parse().ok()?)?;
        Some((ep, ticket.strip_prefix(':')?))
    });
    parts.unwrap_or(("", name))
}

/// The keys of one partition.
#[derive(Default)]
struct Partition<'a> {
    /// By endpoint.
    endpoints: BTreeMap<&'a str, &'a Kept>,
    /// From registration id to endpoint.
    ids: BTreeMap<&'a str, &'a str>,
    /// Those whose lifetime will end.
    lifetimes: BTreeSet<&'a str>,
    found: Vec<LeftOver>,
}

impl<'a> Partition<'a> {
    fn insert(&mut self, family: &'a str, kept: &'a Kept) {
        let (letter, name) = family.split_once(':').unwrap_or((family, ""));
        match letter {
            "m" => self.ids.extend(pairs(kept).filter_map(|(field, ep)| {
                let id = field.strip_prefix(partition::REGISTRATION)?;
                Some((id, ep))
            })),
            "e" => drop(self.endpoints.insert(name, kept)),
            "x" => self.lifetimes.extend(pairs(kept).map(|(ep, _)| ep)),
            // A hash is an open ticket, a text the outcome of an ended one.
            "t" if !kept.texts.is_empty() => self.say_of_ticket(name, "is open"),
            "t" if !kept.mortal => self.say_of_ticket(name, "is remembered for ever"),
            "t" => {}
            "d" => pairs(kept)
                .filter(|(_, at)| at.parse().is_ok_and(|at: f64| at < ENDED))
                .for_each(|(name, _)| self.say_of_ticket(name, "has a deadline")),
            "o" => pairs(kept).for_each(|(token, entry)| {
                let name = entry.splitn(4, ' ').nth(3).unwrap_or(entry);
                self.say_of_ticket(name, &format!("has the exchange {token}"));
            }),
            "q" => self.found.push(found(
                name,
                "",
                format!(
                    "{} requests wait in the queue, and no ticket is open",
                    kept.texts.len()
                ),
            )),
            "g" if !kept.mortal => {
                let what = format!("the registration {name} has ended and is remembered for ever");
                self.found.push(found("", "", what));
            }
            "g" => {}
            _ => self.found.push(unknown(&kept.key)),
        }
    }

    fn say_of_ticket(&mut self, name: &str, what: &str) {
        let (ep, ticket) = named(name);
        let what = format!("the ticket {what} at the broker, and the back end waits for none");
        self.found.push(found(ep, ticket, what));
    }

    fn left_over(&self) -> Vec<LeftOver> {
        let mut all = self.found.clone();
        for (&ep, kept) in &self.endpoints {
            let field =
                |wanted: &str| pairs(kept).find_map(|(field, value)| (field == wanted).then_some(value));
            match field(endpoint::ID) {
                None if kept.mortal => {}
                None => all.push(found(
                    ep,
                    "",
                    "the device is gone and remembered for ever".to_owned(),
                )),
                Some(id) if self.ids.get(id) != Some(&ep) => all.push(found(
                    ep,
                    "",
                    format!("the registration {id} is not found by its id"),
                )),
                Some(_) if !self.lifetimes.contains(ep) => {
                    all.push(found(ep, "", "the registration has no end".to_owned()));
                }
                Some(_) if kept.mortal => {
                    let what = "the registration is kept only as long as a tombstone";
                    all.push(found(ep, "", what.to_owned()));
                }
                Some(_) => {}
            }
            if let Some(slots) = field(endpoint::SLOTS).filter(|slots| !slots.is_empty()) {
                let what = format!("a place is taken for ever (NSTART): {slots}");
                all.push(found(ep, "", what));
            }
        }
        let is_current = |id: &str, ep: &str| {
            let kept = self.endpoints.get(ep);
            kept.is_some_and(|kept| pairs(kept).any(|(field, value)| field == endpoint::ID && value == id))
        };
        let stale = self.ids.iter().filter(|(id, ep)| !is_current(id, ep));
        all.extend(stale.map(|(id, ep)| {
            let what =
                format!("the registration {id} was replaced or has ended, and is still found by its id");
            found(ep, "", what)
        }));
        let unknown = self
            .lifetimes
            .iter()
            .filter(|ep| !self.endpoints.contains_key(*ep));
        all.extend(unknown.map(|ep| found(ep, "", "a lifetime without a registration".to_owned())));
        all
    }
}

fn pairs(kept: &Kept) -> impl Iterator<Item = (&str, &str)> {
    kept.texts
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: &str, mortal: bool, texts: &[&str]) -> Kept {
        Kept {
            key: format!("x:{{p07}}{key}"),
            mortal,
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// A device that is registered, and what is remembered of its last ticket.
    fn well() -> Vec<Kept> {
        let members = ["c", "s", "i:A"].map(|key| Kept {
            key: format!("x:{{m}}{key}"),
            ..kept("", false, &[])
        });
        let own = [
            kept("m", false, &["seq", "9", "r:07abc", "dev"]),
            kept("e:dev", false, &["id", "07abc", "fl", ""]),
            kept("x", false, &["dev", "1795000000000"]),
            kept("t:3:dev:t1", true, &[]),
            kept("d", false, &["3:dev:t1", "11795000000000"]),
            kept("e:gone", true, &["rev", "3"]),
            kept("g:07old", true, &[]),
        ];
        members.into_iter().chain(own).collect()
    }

    fn of(more: Kept) -> Vec<LeftOver> {
        let mut all = well();
        all.retain(|one| one.key != more.key);
        all.push(more);
        left_over(&all, "x:")
    }

    #[test]
    fn what_is_remembered_for_a_while_and_what_is_registered_is_in_its_place() {
        assert_eq!(left_over(&well(), "x:"), []);
    }

    #[test]
    fn an_open_ticket_is_named_by_whatever_is_left_of_it() {
        for (key, texts, what) in [
            ("t:3:dev:t2", &["st", "q"][..], "is open"),
            ("t:3:dev:t2", &[], "is remembered for ever"),
            ("d", &["3:dev:t2", "1795000000000"], "has a deadline"),
            ("o", &["0007", "A#1 1 2 3:dev:t2"], "has the exchange 0007"),
        ] {
            let left = of(kept(key, false, texts));
            let said = format!("the ticket {what} at the broker, and the back end waits for none");
            assert_eq!(left, [found("dev", "t2", said)]);
        }
        assert_eq!(of(kept("q:dev", false, &["3:dev:t2"])).len(), 1);
    }

    #[test]
    fn what_nobody_refers_to_any_more_is_left_over() {
        for (more, what) in [
            (
                kept("m", false, &["r:07abc", "dev", "r:07old", "dev"]),
                "the registration 07old was replaced",
            ),
            (
                kept("m", false, &["seq", "1"]),
                "the registration 07abc is not found by its id",
            ),
            (kept("x", false, &[]), "the registration has no end"),
            (
                kept("x", false, &["dev", "1", "none", "1"]),
                "a lifetime without a registration",
            ),
            (
                kept("e:gone", false, &["rev", "3"]),
                "the device is gone and remembered for ever",
            ),
            (
                kept("g:07old", false, &[]),
                "the registration 07old has ended and is remembered for ever",
            ),
            (
                kept("e:dev", false, &["id", "07abc", "fl", "0007,"]),
                "a place is taken for ever (NSTART): 0007,",
            ),
            (
                kept("w", false, &[]),
                "the broker keeps `x:{p07}w`, a key of no family",
            ),
        ] {
            let left = of(more);
            let first = left.first().map(|left| left.what.as_str()).unwrap_or_default();
            assert!(first.starts_with(what), "{what}: {left:?}");
        }
    }
}
