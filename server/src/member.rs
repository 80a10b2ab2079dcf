//! Members, the view that they share, and the assignment of partitions that follows from it.

use crate::partition::{PARTITIONS, Partition};
use std::fmt;
use std::str::FromStr;

/// An instance id: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct InstanceId(String);

/// Why a text is no instance id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no instance id: expected 1 to 64 letters, digits, `.`, `_` or `-`")]
pub struct InvalidInstanceId(String);

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;
    fn from_str(text: &str) -> Result<Self, InvalidInstanceId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(InstanceId(text.to_owned()))
        } else {
            Err(InvalidInstanceId(text.to_owned()))
        }
    }
}

impl InstanceId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A member: one life of an instance, `id#incarnation`.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Member {
    /// The instance.
    pub id: InstanceId,
    /// 1 for its first life.
    pub incarnation: u64,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.id, self.incarnation)
    }
}

/// One line of a view: the newest incarnation of an id.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Line {
    /// The newest incarnation.
    pub member: Member,
    /// Its tag in tokens.
    pub tag: u16,
    /// False once it was declared dead or has left: final for this incarnation.
    pub alive: bool,
    /// True if partitions may be given to it.
    pub ready: bool,
}

/// Who belongs to the cluster, as of a version that every change raises.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub struct View {
    /// The number of changes since the cluster began.
    pub version: u64,
    /// One line an id, sorted by id.
    pub lines: Vec<Line>,
    /// The same for scripts: `|ID INCARNATION STATE|…`.
    text: String,
}

impl View {
    /// Reads the text that the membership scripts publish; `None` if it is not one.
    pub fn parse(text: &str) -> Option<View> {
        let mut rows = text.strip_prefix("V\n")?.lines();
        let version = rows.next()?.parse().ok()?;
        let mut lines = rows.map(parse_line).collect::<Option<Vec<_>>>()?;
        lines.sort_by(|a, b| a.member.id.cmp(&b.member.id));
        let text = lines.iter().fold(String::from("|"), |text, line| {
            let state = if line.alive { 'a' } else { 'd' };
            format!("{text}{} {} {state}|", line.member.id, line.member.incarnation)
        });
        Some(View { version, lines, text })
    }

    /// What the scripts are told of it.
    pub fn script_text(&self) -> &str {
        &self.text
    }

    /// Who hears the answers to tokens with this tag, if it is alive.
    pub fn living_by_tag(&self, tag: u16) -> Option<&Member> {
        self.lines
            .iter()
            .find(|line| line.alive && line.tag == tag)
            .map(|line| &line.member)
    }

    /// True if `member` is alive as far as this view knows.
    pub fn is_alive(&self, member: &Member) -> bool {
        self.lines.iter().any(|line| line.alive && line.member == *member)
    }

    /// The steward of each partition: every ready member gets the same number, and as few as possible move when
    /// one comes or goes. `None` if nobody is ready.
    pub fn assignment(&self) -> Option<Vec<&Member>> {
        let ready: Vec<&Member> = self
            .lines
            .iter()
            .filter(|l| l.alive && l.ready)
            .map(|l| &l.member)
            .collect();
        if ready.is_empty() {
            return None;
        }
        let share = usize::from(PARTITIONS).div_ceil(ready.len());
        let mut load = vec![0; ready.len()];
        let stewards = Partition::all().map(|partition| {
            let best = (0..ready.len())
                .filter(|&i| load[i] < share)
                .max_by_key(|&i| (weight(&ready[i].id, partition), i))
                .expect("the shares together hold at least as many as there are partitions");
            load[best] += 1;
            ready[best]
        });
        Some(stewards.collect())
    }
}

/// Rendezvous weight: independent of who else is there.
fn weight(id: &InstanceId, partition: Partition) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325_u64 ^ (partition.index() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = id.0.bytes().fold(seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // One round of mixing, since short names differ in few bits only.
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

fn parse_line(row: &str) -> Option<Line> {
    let mut fields = row.split(' ');
    let id = fields.next()?.parse().ok()?;
    let incarnation = fields.next()?.parse().ok()?;
    let tag = u16::from_str_radix(fields.next()?, 16).ok()?;
    let alive = fields.next()? == "a";
    let ready = fields.next()? == "1";
    Some(Line {
        member: Member { id, incarnation },
        tag,
        alive,
        ready,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "V\n9\nC 1 0003 a 1\nA 2 0004 a 1\nB 1 0002 d 0\n";

    #[test]
    fn a_view_is_read_and_told_to_scripts_in_order_of_ids() {
        let view = View::parse(THREE).unwrap();
        assert_eq!((view.version, view.script_text()), (9, "|A 2 a|B 1 d|C 1 a|"));
        assert_eq!(
            view.living_by_tag(4).map(ToString::to_string).as_deref(),
            Some("A#2")
        );
        assert_eq!(view.living_by_tag(2), None);
    }

    #[test]
    fn partitions_are_shared_evenly_among_those_who_are_ready() {
        let view = View::parse(THREE).unwrap();
        let stewards = view.assignment().unwrap();
        assert_eq!(stewards.iter().filter(|m| m.to_string() == "A#2").count(), 128);
        assert_eq!(stewards.iter().filter(|m| m.to_string() == "C#1").count(), 128);
        assert_eq!(View::parse("V\n1\nA 1 0001 a 0\n").unwrap().assignment(), None);
    }

    #[test]
    fn few_partitions_move_when_a_member_goes() {
        let three = View::parse("V\n1\nA 1 0001 a 1\nB 1 0002 a 1\nC 1 0003 a 1\n").unwrap();
        let two = View::parse("V\n2\nA 1 0001 a 1\nB 1 0002 d 0\nC 1 0003 a 1\n").unwrap();
        let (before, after) = (three.assignment().unwrap(), two.assignment().unwrap());
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| b != a && b.to_string() != "B#1")
            .count();
        assert!(moved <= 40, "{moved} partitions moved between those who stayed");
    }

    #[test]
    fn an_instance_id_with_a_space_or_a_hash_is_refused() {
        for id in ["", "a b", "a#1", "a|b", "\u{e9}"] {
            assert!(id.parse::<InstanceId>().is_err(), "{id}");
        }
    }
}
