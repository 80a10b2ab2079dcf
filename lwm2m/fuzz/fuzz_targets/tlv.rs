//! Any TLV payload is refused, or is a node that fits its path and survives being written and read again.
//! Run: `cargo +nightly fuzz run tlv` in `lwm2m/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lwm2m::format::{self, ContentFormat};
use lwm2m::path::Path;

fuzz_target!(|input: (u8, [u16; 4], &[u8])| {
    let (level, ids, payload) = input;
    let path = Path::from_ids(&ids[..usize::from(level % 4) + 1]).expect("one to four identifiers");
    if let Ok(node) = format::decode(ContentFormat::Tlv, &path, payload) {
        assert!(node.fits(&path));
        let written = format::encode(ContentFormat::Tlv, &path, &node).expect("a node that fits is written");
        let again = format::decode(ContentFormat::Tlv, &path, &written).expect("what was written is read");
        // A NaN is not equal to itself; its bytes are.
        assert_eq!(format::encode(ContentFormat::Tlv, &path, &again), Ok(written));
    }
});
