//! Any text is refused, or is a list of links that survives being written and read again.
//! Run: `cargo +nightly fuzz run link` in `lwm2m/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lwm2m::link;

fuzz_target!(|text: &str| {
    if let Ok(links) = link::parse(text) {
        let written = link::write(&links);
        assert_eq!(link::parse(&written), Ok(links));
    }
});
