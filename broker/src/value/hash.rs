//! A hash: fields with values. Like Redis, a small one keeps the order of insertion; a large one is in byte order,
//! so that what HGETALL answers depends on the commands alone.

mod packed;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::packed::Packed;
use super::owned;

/// Beyond this many fields a hash is kept sorted (Redis: `hash-max-listpack-entries`).
const SMALL_FIELDS: usize = 128;
/// And beyond this many bytes, since a small one is moved as a whole.
const SMALL_BYTES: usize = 64 << 10;
const OVERHEAD: usize = 32;

#[derive(Clone, Debug)]
enum Fields {
    Small(Packed),
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
            fields: Fields::Small(Packed::default()),
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

    pub(crate) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.fields {
            Fields::Small(fields) => fields.get(field),
            Fields::Large(fields) => fields.get(field).map(|value| &value[..]),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        match &self.fields {
            Fields::Small(fields) => Box::new(fields.iter()),
            Fields::Large(fields) => Box::new(fields.iter().map(|(name, value)| (&name[..], &value[..]))),
        }
    }

    /// Sets a field; returns whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let before = match &mut self.fields {
            Fields::Small(fields) => fields.set(field, value),
            Fields::Large(fields) => match fields.get_mut(field) {
                Some(present) => {
                    let before = present.len();
                    *present = owned(value);
                    Some(before)
                }
                None => {
                    fields.insert(owned(field), owned(value));
                    None
                }
            },
        };
        match before {
            Some(before) => self.bytes = self.bytes - before + value.len(),
            None => self.bytes += field.len() + value.len() + OVERHEAD,
        }
        if let Fields::Small(fields) = &self.fields
            && (fields.len() > SMALL_FIELDS || fields.bytes() > SMALL_BYTES)
        {
            let sorted = fields.iter().map(|(name, value)| (owned(name), owned(value)));
            self.fields = Fields::Large(sorted.collect());
        }
        before.is_none()
    }

    /// Removes a field; returns whether it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let removed = match &mut self.fields {
            Fields::Small(fields) => fields.remove(field),
            Fields::Large(fields) => fields.remove(field).map(|value| value.len()),
        };
        let Some(value) = removed else { return false };
        self.bytes -= field.len() + value + OVERHEAD;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_grows_beyond_what_is_moved_as_a_whole_is_sorted_and_keeps_everything() {
        for (fields, bytes) in [(SMALL_FIELDS + 1, 1), (2, SMALL_BYTES / 2)] {
            let mut hash = Hash::default();
            for index in (0..fields).rev() {
                assert!(matches!(hash.fields, Fields::Small(_)));
                assert!(hash.set(format!("{index:03}").as_bytes(), &vec![b'x'; bytes]));
            }
            assert!(matches!(hash.fields, Fields::Large(_)));
            let names: Vec<Vec<u8>> = hash.iter().map(|(name, _)| name.to_vec()).collect();
            assert!(names.is_sorted() && names.len() == fields && hash.len() == fields);
            assert!(!hash.set(b"000", b"y") && hash.remove(b"001"));
            assert_eq!(hash.get(b"000"), Some(b"y".as_slice()));
            let left = (fields - 2) * (3 + bytes + OVERHEAD) + 3 + 1 + OVERHEAD;
            assert_eq!(hash.memory(), left);
        }
    }
}
