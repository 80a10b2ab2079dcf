//! The fields of a small hash in one piece of memory, one after the other, in the order of insertion.
//!
//! A script looks at many fields of one hash, and a broker has many hashes: what lies together is in the processor's cache
//! together. A field is its tag (8 bytes), the length of its value (4), for a long name its length (4) and the name, and
//! the value.

/// Names up to this length are known by their tags.
const TAGGED: usize = 7;
/// Bytes before the value of a field with a short name.
const HEAD: usize = 12;
/// What a name's length takes where it is stored.
const LENGTH: usize = 4;

/// The first bytes of a name and its length: names that differ in it are different, short names that do not are equal.
fn tag(name: &[u8]) -> [u8; 8] {
    let mut tag = [0; 8];
    for (to, from) in tag.iter_mut().zip(&name[..name.len().min(TAGGED)]) {
        *to = *from;
    }
    tag[TAGGED] = u8::try_from(name.len()).unwrap_or(u8::MAX);
    tag
}

/// Where a field is.
#[derive(Clone, Copy)]
struct Place {
    from: usize,
    name: (usize, usize),
    value: (usize, usize),
}

/// Some fields with their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    count: usize,
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What it occupies.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let (from, to) = self.find(name)?.value;
        Some(&self.bytes[from..to])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let place = self.place(at)?;
            at = place.value.1;
            let part = |(from, to): (usize, usize)| &self.bytes[from..to];
            Some((part(place.name), part(place.value)))
        })
    }

    /// Sets a field; returns the length of its former value.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) -> Option<usize> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let Some(place) = self.find(name) else {
            let long = name.len() > TAGGED;
            let takes = HEAD + value.len() + if long { LENGTH + name.len() } else { 0 };
            // Doubling would leave too much unused, where there are many hashes.
            if self.bytes.capacity() - self.bytes.len() < takes {
                self.bytes.reserve_exact(takes + self.bytes.len() / 8);
            }
            self.bytes.extend_from_slice(&tag(name));
            self.bytes.extend_from_slice(&length(value));
            if long {
                self.bytes.extend_from_slice(&length(name));
                self.bytes.extend_from_slice(name);
            }
            self.bytes.extend_from_slice(value);
            self.count += 1;
            return None;
        };
        let (from, to) = place.value;
        if to - from != value.len() {
            self.bytes.splice(from..to, value.iter().copied());
            self.bytes[place.from + 8..place.from + HEAD].copy_from_slice(&length(value));
        } else {
            self.bytes[from..to].copy_from_slice(value);
        }
        Some(to - from)
    }

    /// Removes a field; returns the length of its value.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.find(name)?;
        self.bytes.drain(place.from..place.value.1);
        self.count -= 1;
        Some(place.value.1 - place.value.0)
    }

    fn find(&self, name: &[u8]) -> Option<Place> {
        let tag = tag(name);
        let mut at = 0;
        loop {
            let place = self.place(at)?;
            let same = self.bytes[at..at + 8] == tag;
            if same && (name.len() <= TAGGED || &self.bytes[place.name.0..place.name.1] == name) {
                return Some(place);
            }
            at = place.value.1;
        }
    }

    /// The field that begins at `at`; none at the end.
    #[inline]
    fn place(&self, at: usize) -> Option<Place> {
        let (head, rest) = self.bytes.get(at..)?.split_first_chunk::<HEAD>()?;
        let number = |bytes: [u8; LENGTH]| u32::from_le_bytes(bytes) as usize;
        let [.., named, a, b, c, d] = *head;
        let (mut name, mut value) = ((at, at + usize::from(named)), at + HEAD);
        if usize::from(named) > TAGGED {
            let length = number(*rest.first_chunk()?);
            name = (value + LENGTH, value + LENGTH + length);
            value = name.1;
        }
        let value = (value, value + number([a, b, c, d]));
        Some(Place {
            from: at,
            name,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_beyond_their_tags() {
        let names: [&[u8]; 7] = [
            b"",
            b"\0",
            b"1234567",
            b"12345678",
            b"12345679",
            &[b'1'; 254],
            &[b'1'; 300],
        ];
        let mut packed = Packed::default();
        for (index, name) in names.iter().enumerate() {
            assert_eq!(packed.set(name, &[index as u8]), None);
        }
        for (index, name) in names.iter().enumerate() {
            assert_eq!(packed.get(name), Some(&[index as u8][..]));
        }
        assert_eq!(packed.get(&[b'1'; 301]), None);
        assert_eq!(
            (packed.remove(b"12345678"), packed.remove(b"12345678")),
            (Some(1), None)
        );
        assert_eq!(packed.len(), 6);
        let left: Vec<&[u8]> = packed.iter().map(|(name, _)| name).collect();
        assert_eq!(left, [&names[..3], &names[4..]].concat());
    }

    #[test]
    fn a_value_that_changes_its_length_leaves_its_neighbours_as_they_are() {
        let mut packed = Packed::default();
        for name in ["first", "the second", "third"] {
            packed.set(name.as_bytes(), b"value");
        }
        for value in [b"".as_slice(), b"a longer value", b"value", b"VALUE"] {
            let before = packed.get(b"the second").map(<[u8]>::len);
            assert_eq!(packed.set(b"the second", value), before);
            let fields: Vec<_> = packed.iter().collect();
            let rest = b"value".as_slice();
            assert_eq!(
                fields,
                [
                    (b"first".as_slice(), rest),
                    (b"the second", value),
                    (b"third", rest)
                ]
            );
        }
    }
}
