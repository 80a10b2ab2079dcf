//! Any datagram is refused, or reproduced exactly. Run: `cargo +nightly fuzz run coap_message` in `lwm2m/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lwm2m::coap::Message;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(message) = Message::decode(datagram) {
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        assert_eq!(encoded, datagram);
        assert_eq!(encoded.len(), message.encoded_length());
        let _ = message.options.bad_critical(&[11, 15, 17]);
        message.options.clone().drop_bad_elective();
        let _ = message
            .options
            .uri_path()
            .chain(message.options.uri_query())
            .count();
    }
});
