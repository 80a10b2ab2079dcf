//! The values a key can hold. Each knows its size, and cloning one is cheap: clones share until one is changed.

mod hash;
mod sorted_set;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use hash::Hash;
pub(crate) use sorted_set::{ScoreRange, SortedSet};

/// A copy that owns exactly these bytes: a slice of a network buffer would keep the whole buffer alive.
pub(crate) fn owned(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(Bytes),
    Hash(Arc<Hash>),
    List(Arc<List>),
    Set(Arc<Set>),
    SortedSet(Arc<SortedSet>),
}

impl Value {
    /// The name that TYPE answers.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::SortedSet(_) => "zset",
        }
    }

    /// An estimate of the bytes this value occupies.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Value::String(bytes) => bytes.len(),
            Value::Hash(hash) => hash.memory(),
            Value::List(list) => list.memory(),
            Value::Set(set) => set.memory(),
            Value::SortedSet(set) => set.memory(),
        }
    }
}

/// A value made of elements; it exists only while it has at least one.
pub(crate) trait Container: Default {
    fn borrow(value: &Value) -> Option<&Self>;
    fn borrow_mut(value: &mut Value) -> Option<&mut Self>;
    fn into_value(self) -> Value;
    fn is_empty(&self) -> bool;
}

macro_rules! container {
    ($container:ident) => {
        impl Container for $container {
            fn borrow(value: &Value) -> Option<&Self> {
                if let Value::$container(inner) = value {
                    Some(inner)
                } else {
                    None
                }
            }
            fn borrow_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$container(inner) = value {
                    Some(Arc::make_mut(inner))
                } else {
                    None
                }
            }
            fn into_value(self) -> Value {
                Value::$container(Arc::new(self))
            }
            fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    };
}

container!(Hash);
container!(List);
container!(Set);
container!(SortedSet);

/// A list of byte strings.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    items: VecDeque<Bytes>,
    bytes: usize,
}

impl List {
    const OVERHEAD: usize = 16;

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Bytes> {
        self.items.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Bytes> {
        self.items.get(index)
    }

    pub(crate) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = &Bytes> {
        self.items.range(from..to)
    }

    pub(crate) fn push(&mut self, end: End, item: &[u8]) {
        self.bytes += item.len() + Self::OVERHEAD;
        match end {
            End::Left => self.items.push_front(owned(item)),
            End::Right => self.items.push_back(owned(item)),
        }
    }

    pub(crate) fn pop(&mut self, end: End) -> Option<Bytes> {
        let item = match end {
            End::Left => self.items.pop_front(),
            End::Right => self.items.pop_back(),
        }?;
        self.bytes -= item.len() + Self::OVERHEAD;
        Some(item)
    }

    /// Removes up to `limit` items equal to `item`, searching from `end`; returns how many were removed.
    pub(crate) fn remove(&mut self, item: &[u8], end: End, limit: usize) -> usize {
        let equal = |index: &usize| self.items[*index] == item;
        let mut doomed: Vec<usize> = match end {
            End::Left => (0..self.items.len()).filter(equal).take(limit).collect(),
            End::Right => (0..self.items.len()).rev().filter(equal).take(limit).collect(),
        };
        doomed.sort_unstable();
        for index in doomed.iter().rev() {
            self.items.remove(*index);
        }
        self.bytes -= doomed.len() * (item.len() + Self::OVERHEAD);
        doomed.len()
    }
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}

/// A set of byte strings, in byte order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    members: BTreeSet<Bytes>,
    bytes: usize,
}

impl Set {
    const OVERHEAD: usize = 40;

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.members.iter()
    }

    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    pub(crate) fn insert(&mut self, member: &[u8]) -> bool {
        let added = !self.members.contains(member) && self.members.insert(owned(member));
        self.bytes += usize::from(added) * (member.len() + Self::OVERHEAD);
        added
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.members.remove(member);
        self.bytes -= usize::from(removed) * (member.len() + Self::OVERHEAD);
        removed
    }
}
