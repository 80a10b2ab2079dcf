//! A message layer that is fed anything, at any time, never panics and holds no more than its limits. The input is a list of
//! steps: one byte for the kind of step, one for its length, then its content. Run: `cargo +nightly fuzz run
//! coap_message_layer` in `lwm2m/`.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use lwm2m::coap::{Code, Config, Deduplication, MessageLayer, Event, Fingerprint, Kind, Limits, Message, Response, Token};
use lwm2m::time::Time;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

fuzz_target!(|input: &[u8]| {
    let Some((&first, mut steps)) = input.split_first() else {
        return;
    };
    let deduplication = if first & 1 == 0 {
        Deduplication::Full
    } else {
        Deduplication::WhilePending
    };
    let limits = Limits {
        exchanges_per_peer: 4,
        remembered_per_peer: 4,
        remembered: 12,
    };
    let config = Config {
        limits,
        deduplication,
        ..Config::default()
    };
    let mut endpoint: MessageLayer<u8> = MessageLayer::new(config, ChaCha8Rng::seed_from_u64(1));
    let (mut now, mut pending) = (Time::ZERO, Vec::new());
    while let [step, length, rest @ ..] = steps {
        let (content, after) = rest.split_at(rest.len().min(usize::from(*length)));
        steps = after;
        let (peer, byte) = (step >> 6, content.first().copied().unwrap_or(0));
        let token = Token::try_from(&content[..content.len().min(2)]).expect("at most two bytes");
        match step & 0x07 {
            0..=2 => endpoint.handle_datagram(now, peer, content),
            3 => {
                let kind = if byte & 1 == 0 {
                    Kind::Confirmable
                } else {
                    Kind::NonConfirmable
                };
                let _ = endpoint.send_request(now, peer, Message::new(kind, Code::GET, byte.into(), token));
            }
            4 => match (byte & 1, pending.pop()) {
                (0, Some(id)) => drop(endpoint.respond(now, id, Response::of(Code::CONTENT), byte.into())),
                (_, Some(id)) => {
                    endpoint.acknowledge(id);
                    pending.push(id);
                }
                (_, None) => endpoint.acknowledge_response(now, peer, Fingerprint::of(byte.into(), content)),
            },
            5 => drop(endpoint.cancel(now, peer, token)),
            6 => drop(endpoint.readdress(now, peer, token, byte & 3)),
            _ => {
                now += Duration::from_millis(u64::from(byte) * 500);
                endpoint.handle_timeout(now);
                assert!(endpoint.next_deadline().is_none_or(|deadline| deadline > now));
            }
        }
        while let Some((_, datagram)) = endpoint.poll_transmit() {
            assert!(Message::decode(&datagram).is_ok());
            endpoint.recycle(datagram);
        }
        while let Some(event) = endpoint.poll_event() {
            if let Event::Request { id, .. } = event {
                pending.push(id);
            }
        }
        assert!(endpoint.remembered_count() <= 12);
        assert!(endpoint.peer_count() <= 4);
    }
});
