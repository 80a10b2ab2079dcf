//! Any text of any resource is refused, or is a value that survives being written and read again.
//! Run: `cargo +nightly fuzz run text` in `lwm2m/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lwm2m::format::{self, ContentFormat};
use lwm2m::objects::OBJECTS;
use lwm2m::path::Path;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (object, resource, payload) = input;
    let object = &OBJECTS[usize::from(object) % OBJECTS.len()];
    let resource = &object.resources[usize::from(resource) % object.resources.len()];
    let path = Path::resource(object.id, 0, resource.id);
    if let Ok(node) = format::decode(ContentFormat::Text, &path, payload) {
        let written = format::encode(ContentFormat::Text, &path, &node).expect("a single value is written");
        assert_eq!(format::decode(ContentFormat::Text, &path, &written), Ok(node));
    }
});
