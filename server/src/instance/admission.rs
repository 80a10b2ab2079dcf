//! Admission: how much of this instance, and of the store behind it, somebody can take whom nobody knows.
//!
//! In: who sends what, and what the store found of it. Out: whether the store is asked at all; a look costs the same
//! however many there are. A *known* source is one for which the store lately did what it asked; all others are strangers,
//! and share a budget. So a flood from outside costs a bounded share of what an instance and its broker can do, and a
//! device that is registered is heard beside it. Sources can be forged over UDP: this is no proof of anything.

use crate::peer::PeerId;
use lwm2m::time::Time;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};

/// Known sources in each of two generations; the older one is forgotten when the younger is full.
const KNOWN: usize = 1 << 16;
/// Sources whose share of a second is counted; beyond it only what all take together is.
const COUNTED: usize = 1 << 14;

/// Limits per second.
#[derive(Clone, Debug)]
pub struct Shares {
    /// What one known source, or all strangers of one host, may ask of the store.
    pub per_source: u32,
    /// Answers without an exchange here that are forwarded or looked up.
    pub answers: u32,
    /// Of these, from strangers.
    pub answers_of_strangers: u32,
    /// Of these, in bytes.
    pub answer_bytes: usize,
    /// What strangers asked, and the store found nothing for: unknown locations, tokens of no exchange. Whoever is known is
    /// heard beyond it.
    pub fruitless: u32,
}

impl Default for Shares {
    fn default() -> Self {
        Shares {
            per_source: 1_000,
            answers: 20_000,
            answers_of_strangers: 5_000,
            answer_bytes: 8 * 1024 * 1024,
            fruitless: 1_000,
        }
    }
}

/// By which way something leads into the store.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Register, Update, De-register.
    Request,
    /// An answer without an exchange here, of so many bytes: forwarded, or looked up.
    Answer(usize),
}

/// What was taken in this second.
#[derive(Default)]
struct Taken {
    by_source: FxHashMap<u64, u32>,
    answers: u32,
    answers_of_strangers: u32,
    answer_bytes: usize,
    fruitless: u32,
}

pub(super) struct Admission {
    shares: Shares,
    second: u64,
    taken: Taken,
    known: FxHashSet<u64>,
    known_before: FxHashSet<u64>,
}

impl Admission {
    pub fn new(shares: Shares) -> Self {
        Admission {
            shares,
            second: 0,
            taken: Taken::default(),
            known: FxHashSet::default(),
            known_before: FxHashSet::default(),
        }
    }

    /// Whether the store may be asked; if so, it counts.
    pub fn admits(&mut self, now: Time, source: PeerId, way: Way) -> bool {
        self.begin_second(now);
        let known = self.knows(source);
        let Admission { shares, taken, .. } = self;
        if !known && taken.fruitless >= shares.fruitless {
            return false;
        }
        if let Way::Answer(bytes) = way {
            let full = taken.answers >= shares.answers
                || taken.answer_bytes + bytes > shares.answer_bytes
                || (!known && taken.answers_of_strangers >= shares.answers_of_strangers);
            if full {
                return false;
            }
        }
        let key = if known { of(source) } else { of(source.host()) };
        if taken.by_source.len() < COUNTED || taken.by_source.contains_key(&key) {
            let spent = taken.by_source.entry(key).or_default();
            if *spent >= shares.per_source {
                return false;
            }
            *spent += 1;
        }
        if let Way::Answer(bytes) = way {
            taken.answers += 1;
            taken.answer_bytes += bytes;
            taken.answers_of_strangers += u32::from(!known);
        }
        true
    }

    /// The store did what this source asked.
    pub fn vouch(&mut self, source: PeerId) {
        let key = of(source);
        if self.known.len() >= KNOWN && !self.known.contains(&key) {
            self.known_before = std::mem::take(&mut self.known);
        }
        self.known.insert(key);
    }

    pub fn knows(&self, source: PeerId) -> bool {
        let key = of(source);
        self.known.contains(&key) || self.known_before.contains(&key)
    }

    /// The store found nothing for what this source asked.
    pub fn was_fruitless(&mut self, now: Time, source: PeerId) {
        self.begin_second(now);
        if !self.knows(source) {
            self.taken.fruitless += 1;
        }
    }

    fn begin_second(&mut self, now: Time) {
        let second = now.as_micros() / 1_000_000;
        if second != self.second {
            self.second = second;
            let mut by_source = std::mem::take(&mut self.taken.by_source);
            by_source.clear();
            self.taken = Taken {
                by_source,
                ..Taken::default()
            };
        }
    }
}

fn of(source: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    source.hash(&mut hasher);
    hasher.finish()
}

/// Something that is to be logged at most once in an interval, however often it happens.
#[derive(Default)]
pub(super) struct Seldom {
    said_at: Option<Time>,
    unsaid: u64,
}

impl Seldom {
    /// Counts; how often it happened since it was last said, if it is to be said now.
    pub fn happened(&mut self, now: Time, interval: std::time::Duration) -> Option<u64> {
        self.unsaid += 1;
        if self.said_at.is_some_and(|at| now - at < interval) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    fn source(n: u32) -> PeerId {
        let [_, a, b, c] = n.to_be_bytes();
        SocketAddr::from(([10, a, b, c], 5683)).into()
    }

    fn port(n: u16) -> PeerId {
        SocketAddr::from(([10, 9, 9, 9], n)).into()
    }

    const NOW: Time = Time::from_millis(1_500);

    #[test]
    fn a_host_has_its_share_however_many_ports_it_sends_from() {
        let mut admission = Admission::new(Shares::default());
        let admitted = (0..45_000).filter(|n| admission.admits(NOW, port(*n), Way::Answer(40)));
        assert_eq!(admitted.count(), 1_000);
        assert!(admission.admits(NOW, source(1), Way::Answer(40)));
        assert!(admission.admits(NOW + Duration::from_secs(1), port(1), Way::Answer(40)));
    }

    #[test]
    fn many_hosts_have_one_share_together_and_known_devices_are_heard_beside_them() {
        let mut admission = Admission::new(Shares::default());
        admission.vouch(port(1));
        let admitted = (0..45_000).filter(|n| admission.admits(NOW, source(*n), Way::Answer(40)));
        assert_eq!(admitted.count(), 5_000);
        assert!(admission.admits(NOW, port(1), Way::Answer(40)));
        assert!(!admission.admits(NOW, port(2), Way::Answer(40)));
        // Nor does it grow without end.
        assert!(admission.taken.by_source.len() <= COUNTED);
    }

    #[test]
    fn long_answers_have_a_share_in_bytes() {
        let mut admission = Admission::new(Shares::default());
        let admitted = (0..45_000).filter(|n| admission.admits(NOW, source(*n), Way::Answer(8192)));
        assert_eq!(admitted.count(), 1024);
    }

    #[test]
    fn strangers_that_find_nothing_are_not_heard_until_the_next_second() {
        let mut admission = Admission::new(Shares::default());
        admission.vouch(port(1));
        for n in 0..1_000 {
            assert!(admission.admits(NOW, source(n), Way::Request));
            admission.was_fruitless(NOW, source(n));
        }
        assert!(!admission.admits(NOW, source(2_000), Way::Request));
        assert!(admission.admits(NOW, port(1), Way::Request));
        assert!(admission.admits(NOW + Duration::from_secs(1), source(2_000), Way::Request));
    }

    #[test]
    fn who_was_known_is_known_for_as_long_as_there_is_room() {
        let mut admission = Admission::new(Shares::default());
        let known = KNOWN as u32;
        (0..known + 1).for_each(|n| admission.vouch(source(n)));
        assert!(admission.knows(source(0)) && admission.knows(source(known)));
        (known..2 * known + 1).for_each(|n| admission.vouch(source(n)));
        assert!(!admission.knows(source(0)) && admission.knows(source(known)));
        assert!(admission.known.len() <= KNOWN && admission.known_before.len() <= KNOWN);
    }

    #[test]
    fn what_happens_often_is_said_seldom_and_counted() {
        let mut seldom = Seldom::default();
        let second = Duration::from_secs(1);
        assert_eq!(seldom.happened(NOW, second), Some(1));
        (0..9).for_each(|_| assert_eq!(seldom.happened(NOW, second), None));
        assert_eq!(seldom.happened(NOW + second, second), Some(10));
    }
}
