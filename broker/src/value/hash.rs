//! A hash: fields with values. Like Redis, a small one keeps the order of insertion; a large one is in byte order,
//! so that what HGETALL answers depends on the commands alone.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::owned;

/// Beyond this many fields a hash is kept sorted (Redis: `hash-max-listpack-entries`).
const SMALL_FIELDS: usize = 128;
const OVERHEAD: usize = 32;

#[derive(Clone, Debug)]
enum Fields {
    Small(Vec<(Bytes, Bytes)>),
    Large(BTreeMap<Bytes, Bytes>),
}

#[derive(Clone, Debug)]
pub(crate) struct Hash {
    fields: Fields,
    bytes: usize,
}

impl Default for Hash {
    fn default() -> Self {
        Hash {
            fields: Fields::Small(Vec::new()),
            bytes: 0,
        }
    }
}

impl Hash {
    pub(crate) fn len(&self) -> usize {
        match &self.fields {
            Fields::Small(fields) => fields.len(),
            Fields::Large(fields) => fields.len(),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&Bytes> {
        match &self.fields {
            Fields::Small(fields) => fields
                .iter()
                .find(|(name, _)| name == field)
                .map(|(_, value)| value),
            Fields::Large(fields) => fields.get(field),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&Bytes, &Bytes)> + '_> {
        match &self.fields {
            Fields::Small(fields) => Box::new(fields.iter().map(|(name, value)| (name, value))),
            Fields::Large(fields) => Box::new(fields.iter()),
        }
    }

    /// Sets a field; returns whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let existing = match &mut self.fields {
            Fields::Small(fields) => fields
                .iter_mut()
                .find(|(name, _)| name == field)
                .map(|(_, value)| value),
            Fields::Large(fields) => fields.get_mut(field),
        };
        if let Some(existing) = existing {
            self.bytes = self.bytes - existing.len() + value.len();
            *existing = owned(value);
            return false;
        }
        self.bytes += field.len() + value.len() + OVERHEAD;
        self.add(owned(field), owned(value));
        true
    }

    fn add(&mut self, field: Bytes, value: Bytes) {
        match &mut self.fields {
            Fields::Large(fields) => {
                fields.insert(field, value);
            }
            Fields::Small(fields) => {
                fields.push((field, value));
                if fields.len() > SMALL_FIELDS {
                    self.fields = Fields::Large(std::mem::take(fields).into_iter().collect());
                }
            }
        }
    }

    /// Removes a field; returns whether it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let removed = match &mut self.fields {
            Fields::Small(fields) => {
                let position = fields.iter().position(|(name, _)| name == field);
                position.map(|position| fields.remove(position).1)
            }
            Fields::Large(fields) => fields.remove(field),
        };
        let Some(value) = removed else { return false };
        self.bytes -= field.len() + value.len() + OVERHEAD;
        true
    }
}
