//! Whatever arrives and whenever: no panic, and nothing beyond the limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use lwm2m::coap::{
    Code, Config, Deduplication, Event, Fingerprint, Kind, Limits, Message, MessageLayer, Response, Token,
};
use lwm2m::time::Time;
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

const LIMITS: Limits = Limits {
    exchanges_per_peer: 4,
    remembered_per_peer: 3,
    remembered: 8,
};

#[derive(Clone, Debug)]
enum Input {
    Datagram(u8, Vec<u8>),
    Request(u8, bool, u16, u8),
    Answer,
    Acknowledge,
    AcknowledgeResponse(u8, u16),
    Cancel(u8, u8),
    Readdress(u8, u8, u8),
    Wait(u32),
}

/// Mostly well-formed messages from small sets, so that they meet each other.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![Just(0u8), Just(1), Just(2), Just(0x45), Just(0x84), any::<u8>()];
    let plausible =
        (0x40u8..0x80, code, 0u8..6, vec(any::<u8>(), 0..6)).prop_map(|(first, code, id, rest)| {
            let mut datagram = vec![first & 0xf1, code, 0, id];
            if code != 0 {
                datagram.extend(vec![1; usize::from(first & 1)]);
                datagram.extend(rest);
            } else {
                datagram[0] &= 0xf0;
            }
            datagram
        });
    prop_oneof![4 => plausible, 1 => vec(any::<u8>(), 0..24)]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => (0u8..4, datagram()).prop_map(|(peer, bytes)| Input::Datagram(peer, bytes)),
        3 => (0u8..4, any::<bool>(), 0u16..6, 0u8..3).prop_map(|(p, con, id, t)| Input::Request(p, con, id, t)),
        2 => Just(Input::Answer),
        1 => Just(Input::Acknowledge),
        1 => (0u8..4, 0u16..6).prop_map(|(peer, id)| Input::AcknowledgeResponse(peer, id)),
        1 => (0u8..4, 0u8..3).prop_map(|(peer, token)| Input::Cancel(peer, token)),
        1 => (0u8..4, 0u8..3, 0u8..4).prop_map(|(old, token, new)| Input::Readdress(old, token, new)),
        2 => (0u32..100_000).prop_map(Input::Wait),
    ]
}

fn token(byte: u8) -> Token {
    Token::try_from(&vec![1; usize::from(byte)][..]).unwrap()
}

proptest! {
    #[test]
    fn an_endpoint_survives_anything_and_stays_within_its_limits(inputs in vec(input(), 0..200), full in any::<bool>()) {
        let deduplication = if full { Deduplication::Full } else { Deduplication::WhilePending };
        let config = Config { limits: LIMITS, deduplication, ..Config::default() };
        let mut endpoint = MessageLayer::new(config, ChaCha8Rng::seed_from_u64(3));
        let mut now = Time::ZERO;
        let mut pending = Vec::new();
        for input in inputs {
            match input {
                Input::Datagram(peer, bytes) => endpoint.handle_datagram(now, peer, &bytes),
                Input::Request(peer, confirmable, id, t) => {
                    let kind = if confirmable { Kind::Confirmable } else { Kind::NonConfirmable };
                    // A refusal is one of the outcomes.
                    let _ = endpoint.send_request(now, peer, Message::new(kind, Code::GET, id, token(t)));
                }
                Input::Answer => {
                    if let Some(id) = pending.pop() {
                        let _ = endpoint.respond(now, id, Response::of(Code::CHANGED), 9);
                    }
                }
                Input::Acknowledge => pending.iter().for_each(|id| endpoint.acknowledge(*id)),
                Input::AcknowledgeResponse(peer, id) => endpoint.acknowledge_response(now, peer, Fingerprint::of(id, &[])),
                Input::Cancel(peer, t) => drop(endpoint.cancel(now, peer, token(t))),
                Input::Readdress(old, t, new) => drop(endpoint.readdress(now, old, token(t), new)),
                Input::Wait(millis) => {
                    now += Duration::from_millis(u64::from(millis));
                    endpoint.handle_timeout(now);
                    prop_assert!(endpoint.next_deadline().is_none_or(|deadline| deadline > now));
                }
            }
            while let Some((_, datagram)) = endpoint.poll_transmit() {
                prop_assert!(Message::decode(&datagram).is_ok());
                endpoint.recycle(datagram);
            }
            while let Some(event) = endpoint.poll_event() {
                if let Event::Request { id, .. } = event {
                    pending.push(id);
                }
            }
            prop_assert!(endpoint.remembered_count() <= LIMITS.remembered);
            // Beyond the limit, each of the four peers may get others' exchanges (three tokens) by a change of address.
            prop_assert!(endpoint.open_count() <= 4 * (LIMITS.exchanges_per_peer + 3));
            prop_assert!(endpoint.peer_count() <= 4);
        }
        // Left alone, it comes to rest and holds nothing.
        for _ in 0..200 {
            let Some(deadline) = endpoint.next_deadline() else { break };
            now = deadline;
            endpoint.handle_timeout(now);
        }
        endpoint.handle_timeout(now + Duration::from_secs(1000));
        prop_assert_eq!((endpoint.open_count(), endpoint.remembered_count(), endpoint.peer_count()), (0, 0, 0));
    }
}
