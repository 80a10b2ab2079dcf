//! The message layer as the one that is asked: copies are recognised for as long as they may come, what is broken is
//! turned away, and what is remembered has limits, with a hand-held clock (RFC 7252, 4.2, 4.5 and 5.2).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::time::Duration;

use lwm2m::coap::{
    Code, Config, Deduplication, Event, Kind, Limits, Message, MessageLayer, RequestId, Response, SendError,
};
use support::{
    PEER, START, ask, bytes, config, endpoint, events, receive, request, response, secs, sent, token,
};

fn expect_request(endpoint: &mut MessageLayer<u32>) -> RequestId<u32> {
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
fn while_pending_a_message_of_the_same_number_and_another_content_is_no_copy() {
    let mut endpoint = endpoint(Config {
        deduplication: Deduplication::WhilePending,
        ..config()
    });
    receive(&mut endpoint, START, &request(Kind::Confirmable, 5, 1));
    let first = expect_request(&mut endpoint);
    // The device rebooted and begins with the number that it had before.
    receive(&mut endpoint, secs(1), &request(Kind::Confirmable, 5, 2));
    let second = expect_request(&mut endpoint);
    assert_ne!(first, second);
    assert_eq!(first.fingerprint.message_id, second.fingerprint.message_id);
    endpoint.respond(secs(1), second, content(b"x"), 0).unwrap();
    assert_eq!(sent(&mut endpoint)[0].token, token(2));
}

#[test]
fn a_broken_confirmable_message_gets_a_reset_and_every_other_one_silence() {
    let mut endpoint = endpoint(config());
    endpoint.handle_datagram(START, PEER, &[0x40, 1, 0x12, 0x34, 0xff]);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Reset, 0x1234)]);
    for broken in [&[0x50, 1, 0x12, 0x34, 0xff][..], &[0x80, 1, 0, 0], &[0x40], &[]] {
        endpoint.handle_datagram(START, PEER, broken);
    }
    events(&mut endpoint).iter().for_each(|event| {
        assert!(matches!(event, Event::Refused { .. }), "{event:?}");
    });
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
    ask(&mut endpoint, 1);
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
