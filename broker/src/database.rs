//! One numbered key space: keys, values and the times at which they expire.
//!
//! Everything that changes data goes through here, so that three things are always right: the count of changes
//! (what the append log needs), the memory estimate, and the rule that an empty container does not exist.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use bytes::Bytes;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::error::CommandError;
use crate::value::{Container, Value, owned};

/// What a key costs beside its name and value.
const KEY_OVERHEAD: usize = 64;

#[derive(Clone, Debug)]
struct Entry {
    value: Value,
    /// Unix time in milliseconds; the key is gone when the clock is beyond it.
    expires_at: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    entries: FxHashMap<Bytes, Entry>,
    deadlines: BTreeSet<(u64, Bytes)>,
    memory: usize,
    changes: u64,
}

impl Database {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Grows with every change of data; equal before and after a command that changed nothing.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        *self = Database {
            changes: self.changes + 1,
            ..Database::default()
        };
    }

    /// The value of a key that has not expired.
    pub(crate) fn get(&mut self, key: &[u8], now_ms: u64) -> Option<&Value> {
        self.expire(key, now_ms);
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The string a key holds.
    pub(crate) fn string(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Bytes>, CommandError> {
        match self.get(key, now_ms) {
            None => Ok(None),
            Some(Value::String(bytes)) => Ok(Some(bytes.clone())),
            Some(_) => Err(CommandError::WrongType),
        }
    }

    /// The container a key holds.
    pub(crate) fn container<C: Container>(
        &mut self,
        key: &[u8],
        now_ms: u64,
    ) -> Result<Option<&C>, CommandError> {
        match self.get(key, now_ms) {
            None => Ok(None),
            Some(value) => C::borrow(value).map(Some).ok_or(CommandError::WrongType),
        }
    }

    /// Changes the container a key holds; `None` if there is no such key. What is left empty is removed.
    pub(crate) fn change<C: Container, R>(
        &mut self,
        key: &[u8],
        now_ms: u64,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<R>, CommandError> {
        self.expire(key, now_ms);
        self.change_present(key, change).map(Result::ok)
    }

    /// Changes the container a key holds; gives `change` back if there is no such key.
    fn change_present<C: Container, R, F: FnOnce(&mut C) -> R>(
        &mut self,
        key: &[u8],
        change: F,
    ) -> Result<Result<R, F>, CommandError> {
        let Some(entry) = self.entries.get_mut(key) else {
            return Ok(Err(change));
        };
        let before = entry.value.memory();
        let container = C::borrow_mut(&mut entry.value).ok_or(CommandError::WrongType)?;
        let result = change(container);
        let empty = container.is_empty();
        self.memory = self.memory - before + entry.value.memory();
        self.changes += 1;
        if empty {
            self.remove(key);
        }
        Ok(Ok(result))
    }

    /// Like [`Self::change`], starting from an empty container if there is no such key.
    pub(crate) fn change_or_create<C: Container, R>(
        &mut self,
        key: &[u8],
        now_ms: u64,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<R, CommandError> {
        self.expire(key, now_ms);
        let change = match self.change_present(key, change)? {
            Ok(result) => return Ok(result),
            Err(change) => change,
        };
        let mut container = C::default();
        let result = change(&mut container);
        if !container.is_empty() {
            self.set(key, container.into_value());
        }
        Ok(result)
    }

    /// Stores a value without a deadline, whatever the key held before.
    pub(crate) fn set(&mut self, key: &[u8], value: Value) {
        self.remove(key);
        self.changes += 1;
        self.memory += key.len() + KEY_OVERHEAD + value.memory();
        self.entries.insert(
            owned(key),
            Entry {
                value,
                expires_at: None,
            },
        );
    }

    /// Stores a string and keeps the deadline that the key has.
    pub(crate) fn set_keeping_deadline(&mut self, key: &[u8], value: Bytes) {
        match self.entries.get_mut(key) {
            Some(entry) => {
                self.memory = self.memory - entry.value.memory() + value.len();
                entry.value = Value::String(value);
                self.changes += 1;
            }
            None => self.set(key, Value::String(value)),
        }
    }

    /// Removes a key, expired or not; returns whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else {
            return false;
        };
        self.memory -= key.len() + KEY_OVERHEAD + entry.value.memory();
        self.changes += 1;
        if let Some(deadline) = entry.expires_at {
            self.deadlines.remove(&(deadline, key));
        }
        true
    }

    /// When a key expires: `None` without such a key, `Some(None)` without a deadline.
    pub(crate) fn deadline(&mut self, key: &[u8], now_ms: u64) -> Option<Option<u64>> {
        self.expire(key, now_ms);
        self.entries.get(key).map(|entry| entry.expires_at)
    }

    /// Sets or removes the deadline of an existing key.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) {
        let Some((key, _)) = self.entries.get_key_value(key) else {
            return;
        };
        let key = key.clone();
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut entry.expires_at, deadline) {
            self.deadlines.remove(&(old, key.clone()));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key));
        }
        self.changes += 1;
    }

    fn expire(&mut self, key: &[u8], now_ms: u64) {
        // Before the earliest deadline no key needs a look.
        if self
            .deadlines
            .first()
            .is_none_or(|(earliest, _)| now_ms <= *earliest)
        {
            return;
        }
        let expired = |entry: &Entry| entry.expires_at.is_some_and(|deadline| now_ms > deadline);
        if self.entries.get(key).is_some_and(expired) {
            self.forget(key);
        }
    }

    /// Removes at most `limit` keys whose time is over; returns how many.
    pub(crate) fn expire_due(&mut self, now_ms: u64, limit: usize) -> usize {
        let mut removed = 0;
        while removed < limit
            && let Some((deadline, key)) = self.deadlines.first()
            && now_ms > *deadline
        {
            let key = key.clone();
            self.forget(&key);
            removed += 1;
        }
        removed
    }

    /// Removes a key whose time is over. That is no change: it follows from the clock, also in a replay.
    fn forget(&mut self, key: &[u8]) {
        let changes = self.changes;
        self.remove(key);
        self.changes = changes;
    }

    /// All keys that have not expired, with value and deadline, in byte order.
    pub(crate) fn sorted(&self, now_ms: u64) -> Vec<(&Bytes, &Value, Option<u64>)> {
        let mut all: Vec<_> = self.live(now_ms).collect();
        all.sort_unstable_by_key(|(key, _, _)| *key);
        all
    }

    fn live(&self, now_ms: u64) -> impl Iterator<Item = (&Bytes, &Value, Option<u64>)> {
        let alive = move |entry: &Entry| entry.expires_at.is_none_or(|deadline| now_ms <= deadline);
        let live = self.entries.iter().filter(move |(_, entry)| alive(entry));
        live.map(|(key, entry)| (key, &entry.value, entry.expires_at))
    }

    /// About `count` keys from `cursor` on, and the cursor to continue with (0 at the end).
    ///
    /// The order is that of the keys' hashes, so a key that exists throughout a whole iteration is met in it
    /// whatever else comes and goes, as Redis promises.
    pub(crate) fn scan(&self, cursor: u64, count: usize, now_ms: u64) -> (u64, Vec<(Bytes, Value)>) {
        let position = |key: &Bytes| FxBuildHasher.hash_one(key) >> 16;
        let mut rest: Vec<(u64, &Bytes, &Value)> = self
            .live(now_ms)
            .map(|(key, value, _)| (position(key), key, value))
            .filter(|(position, _, _)| *position >= cursor)
            .collect();
        rest.sort_unstable_by_key(|(position, key, _)| (*position, *key));
        // All keys of one position belong to one answer: the cursor cannot point between them.
        let last = rest
            .get(count.saturating_sub(1))
            .map(|(position, _, _)| *position);
        let end = last.map_or(rest.len(), |last| {
            rest.partition_point(|(position, _, _)| *position <= last)
        });
        let next = if end < rest.len() {
            last.map_or(0, |last| last + 1)
        } else {
            0
        };
        (
            next,
            rest[..end]
                .iter()
                .map(|(_, key, value)| ((*key).clone(), (*value).clone()))
                .collect(),
        )
    }
}
