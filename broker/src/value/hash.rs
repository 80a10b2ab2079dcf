//! A hash: fields with values. Like Redis, a small one keeps the order of insertion; a large one is in byte order,
//! so that what HGETALL answers depends on the commands alone.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::owned;

/// Beyond this many fields a hash is kept sorted (Redis: `hash-max-listpack-entries`).
const SMALL_FIELDS: usize = 128;
const OVERHEAD: usize = 32;

/// A field of a small hash.
#[derive(Clone, Debug)]
struct Field {
    /// See [`tag`].
    tag: u64,
    name: Bytes,
    value: Bytes,
}

/// The first bytes of a name and its length: names that differ in it are different, short names that do not are equal.
/// Searching a small hash compares names again and again, and so does without looking at them.
fn tag(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(&name[..name.len().min(TAGGED)]) {
        *to = *from;
    }
    bytes[TAGGED] = u8::try_from(name.len()).unwrap_or(u8::MAX);
    u64::from_le_bytes(bytes)
}

/// Names up to this length are known by their tags.
const TAGGED: usize = 7;

fn position(fields: &[Field], name: &[u8]) -> Option<usize> {
    let tag = tag(name);
    fields
        .iter()
        .position(|field| field.tag == tag && (name.len() <= TAGGED || field.name == name))
}

#[derive(Clone, Debug)]
enum Fields {
    Small(Vec<Field>),
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
            Fields::Small(fields) => position(fields, field).map(|index| &fields[index].value),
            Fields::Large(fields) => fields.get(field),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&Bytes, &Bytes)> + '_> {
        match &self.fields {
            Fields::Small(fields) => Box::new(fields.iter().map(|field| (&field.name, &field.value))),
            Fields::Large(fields) => Box::new(fields.iter()),
        }
    }

    /// Sets a field; returns whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let existing = match &mut self.fields {
            Fields::Small(fields) => position(fields, field).map(|index| &mut fields[index].value),
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

    fn add(&mut self, name: Bytes, value: Bytes) {
        match &mut self.fields {
            Fields::Large(fields) => {
                fields.insert(name, value);
            }
            Fields::Small(fields) => {
                let tag = tag(&name);
                fields.push(Field { tag, name, value });
                if fields.len() > SMALL_FIELDS {
                    let fields = std::mem::take(fields).into_iter();
                    self.fields = Fields::Large(fields.map(|field| (field.name, field.value)).collect());
                }
            }
        }
    }

    /// Removes a field; returns whether it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let removed = match &mut self.fields {
            Fields::Small(fields) => position(fields, field).map(|index| fields.remove(index).value),
            Fields::Large(fields) => fields.remove(field),
        };
        let Some(value) = removed else { return false };
        self.bytes -= field.len() + value.len() + OVERHEAD;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_beyond_their_tags() {
        let names: [&[u8]; 6] = [b"", b"\0", b"1234567", b"12345678", b"12345679", &[b'1'; 300]];
        let mut hash = Hash::default();
        for (index, name) in names.iter().enumerate() {
            assert!(hash.set(name, &[index as u8]));
        }
        for (index, name) in names.iter().enumerate() {
            assert_eq!(hash.get(name).map(|value| &value[..]), Some(&[index as u8][..]));
        }
        assert_eq!(hash.get(&[b'1'; 301]), None);
        assert!(hash.remove(b"12345678") && !hash.remove(b"12345678"));
        assert_eq!(hash.len(), 5);
    }
}
