//! Whatever the cluster sends and whenever: no device panics, and all of them answer again afterwards.

use std::time::Duration;

use lwm2m::coap::{Code, Kind, Message, Token, option};
use lwm2m::time::Time;
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use simulator::fleet::{DeviceGroup, Fleet};

/// A message that reaches deep: a request at a path that may exist, or an answer to a Register or Update.
fn message() -> impl Strategy<Value = Message> {
    let segment = prop_oneof![
        Just("0"),
        Just("1"),
        Just("3"),
        Just("3303"),
        Just("15"),
        Just("13"),
        Just("8"),
        Just("x")
    ];
    let code = prop_oneof![
        1u8..8,
        Just(0x41),
        Just(0x44),
        Just(0x84),
        Just(0xa3),
        any::<u8>()
    ];
    let format = prop_oneof![Just(0u32), Just(40), Just(11542), any::<u32>()];
    let kind = prop_oneof![
        Just(Kind::Confirmable),
        Just(Kind::NonConfirmable),
        Just(Kind::Acknowledgement),
        Just(Kind::Reset)
    ];
    let payload = vec(prop_oneof![any::<u8>(), Just(0xc1), Just(15), Just(b'1')], 0..40);
    (
        kind,
        code,
        0u16..50,
        vec(segment, 0..5),
        proptest::option::of(format),
        payload,
    )
        .prop_map(|(kind, code, id, path, format, payload)| {
            let mut message = Message::new(kind, Code::from(code), id, Token::EMPTY);
            message.options.push_each(option::LOCATION_PATH, &path);
            message.options.push_each(option::URI_PATH, &path);
            format
                .iter()
                .for_each(|format| message.options.push_uint(option::CONTENT_FORMAT, *format));
            Message { payload, ..message }
        })
}

#[derive(Clone, Debug)]
enum Input {
    Message(u32, Box<Message>),
    /// The same as an answer to the last request of the device.
    Answer(Box<Message>),
    Datagram(u32, Vec<u8>),
    Reboot(u32),
    Wait(u32),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => (0u32..4, message()).prop_map(|(device, message)| Input::Message(device, Box::new(message))),
        4 => message().prop_map(|message| Input::Answer(Box::new(message))),
        1 => (0u32..4, vec(any::<u8>(), 0..40)).prop_map(|(device, bytes)| Input::Datagram(device, bytes)),
        1 => (0u32..4).prop_map(Input::Reboot),
        3 => (0u32..60_000).prop_map(Input::Wait),
    ]
}

proptest! {
    #[test]
    fn a_fleet_survives_anything(inputs in vec(input(), 0..120), separate in any::<bool>()) {
        let separate = if separate { 0.5 } else { 0.0 };
        let group = DeviceGroup { count: 3, register_rate: 1.0, separate, ..DeviceGroup::default() };
        let mut fleet = Fleet::new(group.into(), Time::ZERO, ChaCha8Rng::seed_from_u64(5));
        let (mut now, mut last) = (Time::ZERO, None);
        for input in inputs {
            let mut datagram = Vec::new();
            match input {
                Input::Message(device, message) => {
                    message.encode(&mut datagram);
                    fleet.handle_datagram(now, device, &datagram);
                }
                Input::Answer(message) => {
                    if let Some((device, request)) = last.take() {
                        let Message { message_id, token, .. } = request;
                        Message { message_id, token, ..*message }.encode(&mut datagram);
                        fleet.handle_datagram(now, device, &datagram);
                    }
                }
                Input::Datagram(device, bytes) => fleet.handle_datagram(now, device, &bytes),
                Input::Reboot(device) => fleet.reboot(now, device, Duration::ZERO),
                Input::Wait(millis) => {
                    now += Duration::from_millis(millis.into());
                    fleet.handle_timeout(now);
                    prop_assert!(fleet.next_deadline().is_some_and(|deadline| deadline > now));
                }
            }
            while let Some((device, datagram)) = fleet.poll_transmit() {
                let message = Message::decode(&datagram);
                prop_assert!(message.is_ok());
                last = message.ok().filter(|message| message.code.is_request()).map(|message| (device, message));
                fleet.recycle(datagram);
            }
            while fleet.poll_event().is_some() {}
            prop_assert!(fleet.registered() <= 3);
        }
    }
}
