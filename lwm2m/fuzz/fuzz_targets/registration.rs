//! Any request is refused with a response code of class 4, or keeps the limits of the registration interface.
//! Run: `cargo +nightly fuzz run registration` in `lwm2m/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lwm2m::coap::{Code, Kind, Message, Token, option};
use lwm2m::registration::{MAX_ENDPOINT_BYTES, RegistrationRequest};

fuzz_target!(|input: (u8, Vec<&[u8]>, Vec<&str>, &[u8])| {
    let (code, path, query, payload) = input;
    let mut message = Message::new(Kind::Confirmable, Code::from(code), 1, Token::EMPTY);
    message.options.push(option::URI_PATH, b"rd");
    message.options.push_each(option::URI_PATH, path);
    message.options.push_each(option::URI_QUERY, query);
    message.payload = payload.to_vec();
    match RegistrationRequest::parse(&message) {
        Ok(RegistrationRequest::Register(register)) => {
            assert!((1..=MAX_ENDPOINT_BYTES).contains(&register.endpoint.len()));
            assert!(register.lifetime > 0 && !register.links.is_empty());
        }
        Ok(RegistrationRequest::Update(update)) => assert_ne!(update.lifetime, Some(0)),
        Ok(RegistrationRequest::Deregister { registration_id }) => assert!(!registration_id.is_empty()),
        Err(error) => assert_eq!(error.code.class(), 4),
    }
});
