//! The message layer's behaviour, with a hand-held clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use lwm2m::coap::{
    Code, Config, Deduplication, Endpoint, Event, FailureReason, Kind, Limits, Message, RequestId, Response,
    SendError, Token, TransmissionParameters, option,
};
use lwm2m::time::Time;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

const PEER: u32 = 7;
const START: Time = Time::from_millis(1_000);

/// Without random spread: the first timeout is ACK_TIMEOUT exactly.
fn config() -> Config {
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

fn endpoint(config: Config) -> Endpoint<u32> {
    Endpoint::new(config, ChaCha8Rng::seed_from_u64(1))
}

fn secs(secs: u64) -> Time {
    START + Duration::from_secs(secs)
}

fn token(byte: u8) -> Token {
    Token::try_from(&[byte][..]).unwrap()
}

fn request(kind: Kind, message_id: u16, token_byte: u8) -> Message {
    let mut message = Message::new(kind, Code::GET, message_id, token(token_byte));
    message.options.push_uri_path("3/0/1");
    message
}

fn response(kind: Kind, message_id: u16, token_byte: u8) -> Message {
    let message = Message::new(kind, Code::CONTENT, message_id, token(token_byte));
    Message {
        payload: b"x".to_vec(),
        ..message
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut datagram = Vec::new();
    message.encode(&mut datagram);
    datagram
}

fn receive(endpoint: &mut Endpoint<u32>, now: Time, message: &Message) {
    endpoint.handle_datagram(now, PEER, &bytes(message));
}

/// What the endpoint sends now, each to `PEER`.
fn sent(endpoint: &mut Endpoint<u32>) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((peer, datagram)) = endpoint.poll_transmit() {
        assert_eq!(peer, PEER);
        messages.push(Message::decode(&datagram).unwrap());
        endpoint.recycle(datagram);
    }
    messages
}

fn events(endpoint: &mut Endpoint<u32>) -> Vec<Event<u32>> {
    std::iter::from_fn(|| endpoint.poll_event()).collect()
}

fn expect_request(endpoint: &mut Endpoint<u32>) -> RequestId<u32> {
    match events(endpoint).as_slice() {
        [Event::Request { id, .. }] => *id,
        other => panic!("expected one request, found {other:?}"),
    }
}

fn content(payload: &[u8]) -> Response {
    Response {
        payload: payload.to_vec(),
        ..Response::of(Code::CONTENT)
    }
}

#[test]
fn a_confirmable_request_is_sent_again_after_2_6_14_and_30_seconds_and_fails_after_62() {
    let mut endpoint = endpoint(config());
    let message = request(Kind::Confirmable, 1, 1);
    endpoint.send_request(START, PEER, message.clone()).unwrap();
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&message));
    for at in [2, 6, 14, 30] {
        assert_eq!(endpoint.next_deadline(), Some(secs(at)));
        endpoint.handle_timeout(secs(at) - Duration::from_micros(1));
        assert_eq!(sent(&mut endpoint), []);
        endpoint.handle_timeout(secs(at));
        assert_eq!(sent(&mut endpoint), std::slice::from_ref(&message));
    }
    endpoint.handle_timeout(secs(62) - Duration::from_micros(1));
    assert_eq!(events(&mut endpoint), []);
    endpoint.handle_timeout(secs(62));
    let failed = Event::Failed {
        peer: PEER,
        token: token(1),
        reason: FailureReason::Timeout,
    };
    assert_eq!(events(&mut endpoint), [failed]);
    assert_eq!((endpoint.next_deadline(), endpoint.peer_count()), (None, 0));
    assert_eq!(
        (
            endpoint.statistics().retransmissions,
            endpoint.statistics().timeouts
        ),
        (4, 1)
    );
}

#[test]
fn the_first_timeout_is_spread_between_ack_timeout_and_one_and_a_half_of_it() {
    let mut endpoint = endpoint(Config::default());
    let mut timeouts = Vec::new();
    for n in 0..200u8 {
        endpoint
            .send_request(START, PEER, request(Kind::Confirmable, n.into(), n))
            .unwrap();
        timeouts.push((endpoint.next_deadline().unwrap() - START).as_millis());
        assert!(endpoint.cancel(START, PEER, token(n)));
    }
    let (shortest, longest) = (*timeouts.iter().min().unwrap(), *timeouts.iter().max().unwrap());
    assert!(
        (2000..2050).contains(&shortest) && (2950..=3000).contains(&longest),
        "{shortest} {longest}"
    );
}

#[test]
fn a_piggybacked_response_ends_the_exchange() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    let answer = response(Kind::Acknowledgement, 1, 1);
    assert!(endpoint.is_open(PEER, token(1)));
    receive(&mut endpoint, secs(1), &answer);
    let expected = Event::Response {
        peer: PEER,
        token: token(1),
        message: answer.clone(),
        needs_ack: false,
    };
    assert_eq!(events(&mut endpoint), [expected]);
    assert!(!endpoint.is_open(PEER, token(1)));
    assert_eq!((endpoint.next_deadline(), endpoint.peer_count()), (None, 0));
    receive(&mut endpoint, secs(2), &answer);
    assert_eq!(
        events(&mut endpoint),
        [Event::Unmatched {
            peer: PEER,
            message: answer
        }]
    );
}

#[test]
fn a_piggybacked_response_needs_both_the_message_id_and_the_token_of_the_request() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    for stranger in [
        response(Kind::Acknowledgement, 2, 1),
        response(Kind::Acknowledgement, 1, 2),
    ] {
        receive(&mut endpoint, START, &stranger);
        assert_eq!(
            events(&mut endpoint),
            [Event::Unmatched {
                peer: PEER,
                message: stranger
            }]
        );
    }
    endpoint.handle_datagram(START, PEER + 1, &bytes(&response(Kind::Acknowledgement, 1, 1)));
    assert!(matches!(
        events(&mut endpoint)[..],
        [Event::Unmatched { peer: 8, .. }]
    ));
    assert!(endpoint.is_open(PEER, token(1)));
}

#[test]
fn an_empty_acknowledgement_ends_retransmission_and_starts_the_wait_for_the_separate_response() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    sent(&mut endpoint);
    receive(&mut endpoint, secs(1), &Message::empty(Kind::Acknowledgement, 1));
    assert_eq!(
        events(&mut endpoint),
        [Event::Acknowledged {
            peer: PEER,
            token: token(1)
        }]
    );
    assert_eq!(endpoint.next_deadline(), Some(secs(61)));
    let separate = response(Kind::Confirmable, 900, 1);
    receive(&mut endpoint, secs(30), &separate);
    let expected = Event::Response {
        peer: PEER,
        token: token(1),
        message: separate.clone(),
        needs_ack: true,
    };
    assert_eq!(events(&mut endpoint), [expected]);
    assert_eq!(sent(&mut endpoint), []);
    endpoint.acknowledge_response(secs(30), PEER, 900);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
    // The acknowledgement was lost: the copy gets another one, and no event.
    receive(&mut endpoint, secs(32), &separate);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
    assert_eq!(events(&mut endpoint), []);
}

#[test]
fn a_separate_response_that_never_comes_is_a_timeout() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    receive(&mut endpoint, secs(1), &Message::empty(Kind::Acknowledgement, 1));
    events(&mut endpoint);
    endpoint.handle_timeout(secs(61));
    let failed = Event::Failed {
        peer: PEER,
        token: token(1),
        reason: FailureReason::Timeout,
    };
    assert_eq!(events(&mut endpoint), [failed]);
}

#[test]
fn a_separate_response_that_overtakes_the_acknowledgement_counts() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    sent(&mut endpoint);
    receive(&mut endpoint, secs(1), &response(Kind::NonConfirmable, 900, 1));
    assert!(matches!(
        events(&mut endpoint)[..],
        [Event::Response { needs_ack: false, .. }]
    ));
    endpoint.handle_timeout(secs(100));
    assert_eq!((sent(&mut endpoint), events(&mut endpoint)), (vec![], vec![]));
}

#[test]
fn a_reset_fails_the_exchange() {
    for kind in [Kind::Confirmable, Kind::NonConfirmable] {
        let mut endpoint = endpoint(config());
        endpoint.send_request(START, PEER, request(kind, 1, 1)).unwrap();
        receive(&mut endpoint, START, &Message::empty(Kind::Reset, 1));
        let failed = Event::Failed {
            peer: PEER,
            token: token(1),
            reason: FailureReason::Reset,
        };
        assert_eq!(events(&mut endpoint), [failed]);
        assert_eq!((endpoint.next_deadline(), endpoint.peer_count()), (None, 0));
    }
}

#[test]
fn a_non_confirmable_request_is_sent_once() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::NonConfirmable, 1, 1))
        .unwrap();
    assert_eq!(sent(&mut endpoint).len(), 1);
    assert_eq!(endpoint.next_deadline(), Some(secs(60)));
    endpoint.handle_timeout(secs(60));
    assert_eq!(sent(&mut endpoint), []);
    assert!(matches!(
        events(&mut endpoint)[..],
        [Event::Failed {
            reason: FailureReason::Timeout,
            ..
        }]
    ));
}

#[test]
fn with_nstart_1_requests_follow_each_other_in_order() {
    let mut endpoint = endpoint(config());
    for n in 1..=3 {
        endpoint
            .send_request(START, PEER, request(Kind::Confirmable, n.into(), n))
            .unwrap();
    }
    assert_eq!(sent(&mut endpoint), [request(Kind::Confirmable, 1, 1)]);
    receive(&mut endpoint, START, &response(Kind::Acknowledgement, 1, 1));
    assert_eq!(sent(&mut endpoint), [request(Kind::Confirmable, 2, 2)]);
    // An acknowledged request is no longer outstanding (RFC 7252, 4.7).
    receive(&mut endpoint, START, &Message::empty(Kind::Acknowledgement, 2));
    assert_eq!(sent(&mut endpoint), [request(Kind::Confirmable, 3, 3)]);
}

#[test]
fn a_cancelled_exchange_makes_way_and_is_heard_of_no_more() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 2, 2))
        .unwrap();
    sent(&mut endpoint);
    assert!(endpoint.cancel(START, PEER, token(1)));
    assert!(!endpoint.cancel(START, PEER, token(1)));
    assert_eq!(sent(&mut endpoint), [request(Kind::Confirmable, 2, 2)]);
    assert_eq!(endpoint.open_count(), 1);
    assert_eq!(events(&mut endpoint), []);
}

#[test]
fn without_nstart_all_requests_go_out_at_once_and_the_limit_holds() {
    let mut config = config();
    config.parameters.nstart = usize::MAX;
    config.limits.exchanges_per_peer = 3;
    let mut endpoint = endpoint(config);
    for n in 1..=3 {
        endpoint
            .send_request(START, PEER, request(Kind::Confirmable, n.into(), n))
            .unwrap();
    }
    assert_eq!(sent(&mut endpoint).len(), 3);
    let refused = endpoint.send_request(START, PEER, request(Kind::Confirmable, 4, 4));
    assert_eq!(refused, Err(SendError::TooManyExchanges(3)));
    let refused = endpoint.send_request(START, PEER, request(Kind::Confirmable, 5, 1));
    assert_eq!(refused, Err(SendError::TokenInUse(token(1))));
}

#[test]
fn what_is_no_request_or_too_long_is_not_sent() {
    let mut endpoint = endpoint(config());
    let answer = response(Kind::Confirmable, 1, 1);
    let refused = endpoint.send_request(START, PEER, answer);
    assert_eq!(
        refused,
        Err(SendError::NoRequest(Kind::Confirmable, Code::CONTENT))
    );
    let long = Message {
        payload: vec![0; 9000],
        ..request(Kind::Confirmable, 1, 1)
    };
    let length = long.encoded_length();
    assert_eq!(
        endpoint.send_request(START, PEER, long),
        Err(SendError::TooLong(length))
    );
    assert_eq!(endpoint.peer_count(), 0);
}

#[test]
fn an_exchange_goes_on_at_the_new_address() {
    let mut endpoint = endpoint(config());
    let message = request(Kind::Confirmable, 1, 1);
    endpoint.send_request(START, 99, message.clone()).unwrap();
    endpoint.poll_transmit().unwrap();
    assert!(endpoint.readdress(secs(1), 99, token(1), PEER));
    assert!(!endpoint.is_open(99, token(1)));
    endpoint.handle_timeout(secs(2));
    assert_eq!(sent(&mut endpoint), [message]);
    receive(&mut endpoint, secs(3), &response(Kind::Acknowledgement, 1, 1));
    assert!(matches!(
        events(&mut endpoint)[..],
        [Event::Response { peer: PEER, .. }]
    ));
    assert_eq!((endpoint.peer_count(), endpoint.open_count()), (0, 0));
}

#[test]
fn a_copy_of_a_request_gets_the_same_answer_and_no_second_event() {
    let mut endpoint = endpoint(config());
    let message = request(Kind::Confirmable, 5, 1);
    receive(&mut endpoint, START, &message);
    let id = expect_request(&mut endpoint);
    // Not answered yet: the copy gets nothing.
    receive(&mut endpoint, secs(2), &message);
    assert_eq!((sent(&mut endpoint), events(&mut endpoint)), (vec![], vec![]));
    endpoint.respond(secs(3), id, content(b"value"), 0).unwrap();
    let answer = Message {
        payload: b"value".to_vec(),
        ..response(Kind::Acknowledgement, 5, 1)
    };
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&answer));
    receive(&mut endpoint, secs(231), &message);
    assert_eq!(
        (sent(&mut endpoint), events(&mut endpoint)),
        (vec![answer], vec![])
    );
    assert_eq!(
        (endpoint.statistics().duplicates, endpoint.statistics().replayed),
        (2, 1)
    );
    assert_eq!(
        endpoint.respond(secs(3), id, content(b"other"), 0),
        Err(SendError::RequestGone)
    );
}

#[test]
fn a_message_id_is_new_again_after_its_lifetime() {
    // Without random factor: 30 s of transmission + 2 × 100 s of latency + 2 s of processing; NON: 30 s + 100 s.
    for (kind, lifetime) in [(Kind::Confirmable, 232), (Kind::NonConfirmable, 130)] {
        let mut endpoint = endpoint(config());
        let message = request(kind, 5, 1);
        receive(&mut endpoint, START, &message);
        let id = expect_request(&mut endpoint);
        endpoint.respond(START, id, content(b"1"), 77).unwrap();
        receive(&mut endpoint, secs(lifetime) - Duration::from_micros(1), &message);
        assert_eq!(events(&mut endpoint), []);
        receive(&mut endpoint, secs(lifetime), &message);
        expect_request(&mut endpoint);
    }
}

#[test]
fn what_is_remembered_is_forgotten_after_exchange_lifetime() {
    let mut endpoint = endpoint(config());
    for peer in 0..10 {
        endpoint.handle_datagram(START, peer, &bytes(&request(Kind::Confirmable, 5, 1)));
    }
    assert_eq!((endpoint.peer_count(), endpoint.remembered_count()), (10, 10));
    endpoint.handle_timeout(secs(232));
    assert_eq!((endpoint.peer_count(), endpoint.remembered_count()), (0, 0));
}

#[test]
fn an_acknowledged_request_is_answered_in_a_message_of_its_own_until_that_is_acknowledged() {
    let mut endpoint = endpoint(config());
    let message = request(Kind::Confirmable, 5, 1);
    receive(&mut endpoint, START, &message);
    let id = expect_request(&mut endpoint);
    endpoint.acknowledge(id);
    endpoint.acknowledge(id);
    let acknowledgement = Message::empty(Kind::Acknowledgement, 5);
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&acknowledgement));
    receive(&mut endpoint, secs(1), &message);
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&acknowledgement));
    endpoint.respond(secs(2), id, content(b"x"), 4000).unwrap();
    let separate = response(Kind::Confirmable, 4000, 1);
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&separate));
    endpoint.handle_timeout(secs(4));
    assert_eq!(sent(&mut endpoint), [separate]);
    receive(
        &mut endpoint,
        secs(5),
        &Message::empty(Kind::Acknowledgement, 4000),
    );
    endpoint.handle_timeout(secs(100));
    receive(&mut endpoint, secs(100), &message);
    assert_eq!(
        (sent(&mut endpoint), events(&mut endpoint)),
        (vec![acknowledgement], vec![])
    );
}

#[test]
fn a_non_confirmable_request_is_answered_in_kind() {
    let mut endpoint = endpoint(config());
    receive(&mut endpoint, START, &request(Kind::NonConfirmable, 5, 1));
    let id = expect_request(&mut endpoint);
    endpoint.respond(START, id, content(b"x"), 4000).unwrap();
    assert_eq!(sent(&mut endpoint), [response(Kind::NonConfirmable, 4000, 1)]);
    assert_eq!(endpoint.next_deadline(), None);
}

#[test]
fn while_pending_only_unanswered_requests_are_remembered() {
    let mut endpoint = endpoint(Config {
        deduplication: Deduplication::WhilePending,
        ..config()
    });
    let message = request(Kind::Confirmable, 5, 1);
    receive(&mut endpoint, START, &message);
    let id = expect_request(&mut endpoint);
    receive(&mut endpoint, START, &message);
    assert_eq!(events(&mut endpoint), []);
    endpoint.respond(START, id, content(b"x"), 0).unwrap();
    assert_eq!((endpoint.peer_count(), endpoint.remembered_count()), (0, 0));
    receive(&mut endpoint, START, &message);
    expect_request(&mut endpoint);
}

#[test]
fn a_ping_is_answered_with_a_reset() {
    let mut endpoint = endpoint(config());
    receive(&mut endpoint, START, &Message::empty(Kind::Confirmable, 5));
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Reset, 5)]);
    assert_eq!((events(&mut endpoint), endpoint.statistics().pings), (vec![], 1));
}

#[test]
fn an_unknown_critical_option_is_answered_4_02_or_ignored() {
    let mut endpoint = endpoint(config());
    for (kind, answers) in [(Kind::Confirmable, 1), (Kind::NonConfirmable, 0)] {
        let mut message = request(kind, 5, 1);
        message.options.push(option::IF_MATCH, b"x");
        receive(&mut endpoint, START, &message);
        let bad_option = Message::new(Kind::Acknowledgement, Code::BAD_OPTION, 5, token(1));
        assert_eq!(sent(&mut endpoint), vec![bad_option; answers]);
        assert_eq!(events(&mut endpoint), []);
    }
    assert_eq!(endpoint.statistics().bad_options, 2);
}

#[test]
fn a_response_with_an_unknown_critical_option_is_rejected() {
    let mut endpoint = endpoint(config());
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    sent(&mut endpoint);
    let mut answer = response(Kind::Confirmable, 900, 1);
    answer.options.push(2001, b"");
    receive(&mut endpoint, START, &answer);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Reset, 900)]);
    assert!(endpoint.is_open(PEER, token(1)));
}

#[test]
fn a_broken_confirmable_message_gets_a_reset_and_every_other_one_silence() {
    let mut endpoint = endpoint(config());
    endpoint.handle_datagram(START, PEER, &[0x40, 1, 0x12, 0x34, 0xff]);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Reset, 0x1234)]);
    for broken in [&[0x50, 1, 0x12, 0x34, 0xff][..], &[0x80, 1, 0, 0], &[0x40], &[]] {
        endpoint.handle_datagram(START, PEER, broken);
    }
    // A request in an acknowledgement, a response in a Reset, an empty NON.
    for meaningless in [&[0x60, 1, 0, 0][..], &[0x70, 0x45, 0, 0], &[0x50, 0, 0, 0]] {
        endpoint.handle_datagram(START, PEER, meaningless);
    }
    assert_eq!((sent(&mut endpoint), events(&mut endpoint)), (vec![], vec![]));
    assert_eq!(
        (
            endpoint.statistics().malformed_ignored,
            endpoint.statistics().meaningless_ignored
        ),
        (4, 3)
    );
}

#[test]
fn the_oldest_is_forgotten_first_when_a_limit_is_reached() {
    let limits = Limits {
        remembered_per_peer: 2,
        remembered: 3,
        ..Limits::default()
    };
    let mut endpoint = endpoint(Config { limits, ..config() });
    let message = |id| bytes(&request(Kind::Confirmable, id, 1));
    for id in 1..=3 {
        endpoint.handle_datagram(START, PEER, &message(id));
    }
    assert_eq!(
        (endpoint.remembered_count(), endpoint.statistics().forgotten),
        (2, 1)
    );
    endpoint.handle_datagram(START, 8, &message(1));
    endpoint.handle_datagram(START, 9, &message(1));
    assert_eq!(
        (endpoint.remembered_count(), endpoint.statistics().forgotten),
        (3, 2)
    );
    events(&mut endpoint);
    endpoint.handle_datagram(START, PEER, &message(3));
    assert_eq!(events(&mut endpoint), []);
    endpoint.handle_datagram(START, PEER, &message(2));
    expect_request(&mut endpoint);
}

#[test]
fn a_forgotten_peer_is_like_a_new_one() {
    let mut endpoint = endpoint(config());
    let message = request(Kind::Confirmable, 5, 1);
    receive(&mut endpoint, START, &message);
    let id = expect_request(&mut endpoint);
    endpoint
        .send_request(START, PEER, request(Kind::Confirmable, 1, 1))
        .unwrap();
    sent(&mut endpoint);
    endpoint.forget(PEER);
    assert_eq!(
        (
            endpoint.peer_count(),
            endpoint.remembered_count(),
            endpoint.next_deadline()
        ),
        (0, 0, None)
    );
    assert_eq!(
        endpoint.respond(START, id, content(b"x"), 0),
        Err(SendError::RequestGone)
    );
    receive(&mut endpoint, START, &message);
    expect_request(&mut endpoint);
}

#[test]
fn an_extra_copy_goes_out_at_once_and_leaves_the_schedule_as_it_was() {
    let mut endpoint = endpoint(config());
    let asked = request(Kind::Confirmable, 1, 1);
    endpoint.send_request(START, PEER, asked.clone()).unwrap();
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&asked));
    assert!(endpoint.send_extra_copy(PEER, token(1)));
    assert_eq!(sent(&mut endpoint), std::slice::from_ref(&asked));
    assert_eq!(endpoint.next_deadline(), Some(secs(2)));
    receive(&mut endpoint, secs(1), &Message::empty(Kind::Acknowledgement, 1));
    assert!(
        !endpoint.send_extra_copy(PEER, token(1)),
        "an acknowledged request is not repeated"
    );
    assert!(
        !endpoint.send_extra_copy(PEER, token(2)),
        "an unknown one neither"
    );
    assert_eq!(sent(&mut endpoint), []);
}
