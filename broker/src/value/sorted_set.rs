//! A sorted set: members ordered by score, then by bytes.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::owned;

/// A score; never NaN, so that there is a total order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .partial_cmp(&other.0)
            .expect("no NaN gets into a sorted set")
    }
}

/// The scores between two bounds, each inclusive or exclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreRange {
    pub(crate) low: f64,
    pub(crate) low_exclusive: bool,
    pub(crate) high: f64,
    pub(crate) high_exclusive: bool,
}

impl ScoreRange {
    fn is_empty(&self) -> bool {
        self.low > self.high || (self.low == self.high && (self.low_exclusive || self.high_exclusive))
    }
}

/// The first member in byte order: below or at any other of the same score.
const FIRST: Bytes = Bytes::new();

#[derive(Clone, Debug, Default)]
pub(crate) struct SortedSet {
    scores: FxHashMap<Bytes, f64>,
    order: BTreeSet<(Score, Bytes)>,
    bytes: usize,
}

impl SortedSet {
    const OVERHEAD: usize = 64;

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Gives `member` a score, which is not NaN.
    pub(crate) fn insert(&mut self, member: &[u8], score: f64) {
        // Redis knows no negative zero.
        let score = score + 0.0;
        let member = match self.scores.get_key_value(member) {
            Some((member, &old)) => {
                let member = member.clone();
                self.order.remove(&(Score(old), member.clone()));
                member
            }
            None => {
                self.bytes += member.len() + Self::OVERHEAD;
                owned(member)
            }
        };
        self.scores.insert(member.clone(), score);
        self.order.insert((Score(score), member));
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some((member, score)) = self.scores.remove_entry(member) else {
            return false;
        };
        self.bytes -= member.len() + Self::OVERHEAD;
        self.order.remove(&(Score(score), member));
        true
    }

    /// All members with their scores, lowest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        self.order.iter().map(|(score, member)| (member, score.0))
    }

    /// The members whose scores are in `range`, lowest first.
    pub(crate) fn within(&self, range: &ScoreRange) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        // A bound just above a score is the inclusive bound of the next representable number.
        let above = |score: f64| {
            Score(if score == f64::INFINITY {
                score
            } else {
                score.next_up()
            })
        };
        let nothing = range.is_empty()
            || (range.low_exclusive && range.low == f64::INFINITY)
            || (range.high_exclusive && range.high == f64::NEG_INFINITY);
        let low = if range.low_exclusive {
            above(range.low)
        } else {
            Score(range.low)
        };
        let bounds = match (nothing, range.high_exclusive, range.high == f64::INFINITY) {
            (true, _, _) => (Bound::Excluded((low, FIRST)), Bound::Included((low, FIRST))),
            (_, true, _) => (
                Bound::Included((low, FIRST)),
                Bound::Excluded((Score(range.high), FIRST)),
            ),
            (_, false, true) => (Bound::Included((low, FIRST)), Bound::Unbounded),
            (_, false, false) => (
                Bound::Included((low, FIRST)),
                Bound::Excluded((above(range.high), FIRST)),
            ),
        };
        self.order.range(bounds).map(|(score, member)| (member, score.0))
    }
}
