//! Partitions: how endpoints, registration ids and tokens lead to one of 256 groups of keys.
//!
//! A partition's keys carry its number as a hash tag, so that each script stays in one slot of a Redis Cluster. The
//! number is part of every registration id (an Update carries nothing else) and of every token (a notification carries
//! nothing else).

use lwm2m::coap::Token;
use rand::Rng;
use rand::rngs::ChaCha8Rng;
use std::fmt;

/// The number of partitions, stored when a cluster is created and checked at every join.
pub const PARTITIONS: u16 = 256;

/// The characters of registration ids after the partition.
const ID_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One partition, 0 to 255.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Partition(u8);

impl Partition {
    /// The partition of an endpoint client name, or of a ticket where there is no endpoint.
    pub fn of(name: &str) -> Partition {
        // FNV-1a, folded: stable for ever, since it decides where things are stored.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let folded = hash ^ (hash >> 16);
        Partition((folded ^ (folded >> 8)) as u8)
    }

    /// The partition that a registration id names, if it has the form of one.
    pub fn of_registration(id: &str) -> Option<Partition> {
        let digits = id.get(..2)?;
        let well_formed = id.len() == 10
            && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && id.bytes().all(|b| ID_ALPHABET.contains(&b));
        well_formed.then(|| u8::from_str_radix(digits, 16).ok().map(Partition))?
    }

    /// All partitions in order.
    pub fn all() -> impl Iterator<Item = Partition> {
        (0..=u8::MAX).map(Partition)
    }

    /// Its place in an array of [`PARTITIONS`] things.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The key that names the partition to its scripts.
    pub fn key(self, prefix: &str) -> String {
        format!("{prefix}{{p{:02x}}}m", self.0)
    }

    /// As the first two bytes of a token in hexadecimal.
    pub fn token_prefix(self) -> String {
        format!("{:04x}", self.0)
    }

    /// The partition that [`Partition::token_prefix`] wrote.
    pub fn of_token_prefix(text: &str) -> Option<Partition> {
        u8::from_str_radix(text, 16).ok().map(Partition)
    }

    /// A fresh registration id: the partition and 48 random bits.
    pub fn registration_id(self, rng: &mut ChaCha8Rng) -> String {
        let random = rng.next_u64();
        let mut id = format!("{:02x}", self.0);
        id.extend((0..8).map(|i| char::from(ID_ALPHABET[(random >> (6 * i)) as usize & 63])));
        id
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

/// What a token of the cluster says: partition (2 bytes), tag of the incarnation that was to hear the answer (2
/// bytes), 4 random bytes.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct TokenParts {
    /// The partition of the ticket's endpoint.
    pub partition: Partition,
    /// The tag of the first holder.
    pub tag: u16,
}

impl TokenParts {
    /// Reads a token; `None` if it is not one of the cluster's.
    pub fn of(token: Token) -> Option<TokenParts> {
        match *token.as_bytes() {
            [0, partition, high, low, _, _, _, _] => Some(TokenParts {
                partition: Partition(partition),
                tag: u16::from_be_bytes([high, low]),
            }),
            _ => None,
        }
    }
}

/// A token from its 16 hexadecimal digits, as the store has it.
pub fn token_from_hex(text: &str) -> Option<Token> {
    let number = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok())??;
    Token::try_from(&number.to_be_bytes()[..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_partition_of_a_name_never_changes() {
        assert_eq!(Partition::of("dev-0").to_string(), "9c");
        assert_eq!(Partition::of("").to_string(), "c5");
    }

    #[test]
    fn endpoints_spread_over_all_partitions() {
        let mut count = [0_u32; 256];
        for n in 0..25_600 {
            count[Partition::of(&format!("dev-{n}")).index()] += 1;
        }
        assert!(count.iter().all(|&n| (50..=180).contains(&n)), "{count:?}");
    }

    #[test]
    fn a_registration_id_leads_back_to_its_partition() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for partition in Partition::all() {
            let id = partition.registration_id(&mut rng);
            assert_eq!((id.len(), Partition::of_registration(&id)), (10, Some(partition)));
        }
    }

    #[test]
    fn what_is_no_registration_id_has_no_partition() {
        for id in [
            "",
            "zz12345678",
            "0",
            "0012345",
            "00123456789",
            "00abc\u{e9}def",
            "00:::::::!",
        ] {
            assert_eq!(Partition::of_registration(id), None, "{id}");
        }
    }

    #[test]
    fn a_token_names_partition_and_tag() {
        let token = token_from_hex("001f0a0bdeadbeef").unwrap();
        let parts = TokenParts {
            partition: Partition(0x1f),
            tag: 0x0a0b,
        };
        assert_eq!(TokenParts::of(token), Some(parts));
        assert_eq!(TokenParts::of(Token::try_from(&[1_u8, 2, 3][..]).unwrap()), None);
    }
}
