//! What the tests of the message layer share: an endpoint, a peer, their messages and a clock that is moved by hand.

use std::time::Duration;

use lwm2m::coap::{Code, Config, Event, Kind, Message, MessageLayer, Token, TransmissionParameters};
use lwm2m::time::Time;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// The other side.
pub const PEER: u32 = 7;
/// When a test begins.
pub const START: Time = Time::from_millis(1_000);

/// Without random spread: the first timeout is ACK_TIMEOUT exactly.
pub fn config() -> Config {
    let parameters = TransmissionParameters {
        ack_random_factor: 1.0,
        ..TransmissionParameters::default()
    };
    Config {
        parameters,
        response_timeout: Duration::from_secs(60),
        ..Config::default()
    }
}

/// An endpoint at its beginning.
pub fn endpoint(config: Config) -> MessageLayer<u32> {
    MessageLayer::new(config, ChaCha8Rng::seed_from_u64(1))
}

/// So long after `START`.
pub fn secs(secs: u64) -> Time {
    START + Duration::from_secs(secs)
}

/// A token of one byte.
pub fn token(byte: u8) -> Token {
    Token::try_from(&[byte][..]).unwrap()
}

/// A GET of `/3/0/1`.
pub fn request(kind: Kind, message_id: u16, token_byte: u8) -> Message {
    let mut message = Message::new(kind, Code::GET, message_id, token(token_byte));
    message.options.push_uri_path("3/0/1");
    message
}

/// A 2.05 with the payload `x`.
pub fn response(kind: Kind, message_id: u16, token_byte: u8) -> Message {
    let message = Message::new(kind, Code::CONTENT, message_id, token(token_byte));
    Message {
        payload: b"x".to_vec(),
        ..message
    }
}

/// The message as a datagram.
pub fn bytes(message: &Message) -> Vec<u8> {
    let mut datagram = Vec::new();
    message.encode(&mut datagram);
    datagram
}

/// The endpoint gets a message from `PEER`.
pub fn receive(endpoint: &mut MessageLayer<u32>, now: Time, message: &Message) {
    endpoint.handle_datagram(now, PEER, &bytes(message));
}

/// Makes a Confirmable request to `PEER`; `number` is its message ID and its token.
pub fn ask(endpoint: &mut MessageLayer<u32>, number: u8) {
    let message = request(Kind::Confirmable, number.into(), number);
    endpoint.send_request(START, PEER, message).unwrap();
}

/// What the endpoint sends now, each to `PEER`.
pub fn sent(endpoint: &mut MessageLayer<u32>) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((peer, datagram)) = endpoint.poll_transmit() {
        assert_eq!(peer, PEER);
        messages.push(Message::decode(&datagram).unwrap());
        endpoint.recycle(datagram);
    }
    messages
}

/// What the endpoint has to tell now.
pub fn events(endpoint: &mut MessageLayer<u32>) -> Vec<Event<u32>> {
    std::iter::from_fn(|| endpoint.poll_event()).collect()
}
