//! The message layer as the one that asks: retransmission, responses of every kind, NSTART and the limits of a request,
//! with a hand-held clock (RFC 7252, 4.2 to 4.8 and 5.2).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::time::Duration;

use lwm2m::coap::{Code, Config, Deduplication, Event, FailureReason, Fingerprint, Kind, Message, SendError};
use support::{
    PEER, START, ask, bytes, config, endpoint, events, receive, request, response, secs, sent, token,
};

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
        ask(&mut endpoint, n);
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
    ask(&mut endpoint, 1);
    let answer = response(Kind::Acknowledgement, 1, 1);
    assert!(endpoint.is_open(PEER, token(1)));
    receive(&mut endpoint, secs(1), &answer);
    let expected = Event::Response {
        peer: PEER,
        token: token(1),
        message: answer.clone(),
        acknowledge: None,
    };
    assert_eq!(events(&mut endpoint), [expected]);
    assert!(!endpoint.is_open(PEER, token(1)));
    assert_eq!((endpoint.next_deadline(), endpoint.peer_count()), (None, 0));
    receive(&mut endpoint, secs(2), &answer);
    assert_eq!(
        events(&mut endpoint),
        [Event::Unmatched {
            peer: PEER,
            message: answer,
            acknowledge: None
        }]
    );
}

#[test]
fn a_piggybacked_response_needs_both_the_message_id_and_the_token_of_the_request() {
    let mut endpoint = endpoint(config());
    ask(&mut endpoint, 1);
    for stranger in [
        response(Kind::Acknowledgement, 2, 1),
        response(Kind::Acknowledgement, 1, 2),
    ] {
        receive(&mut endpoint, START, &stranger);
        assert_eq!(
            events(&mut endpoint),
            [Event::Unmatched {
                peer: PEER,
                message: stranger,
                acknowledge: None
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
    ask(&mut endpoint, 1);
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
    let name = Fingerprint::of(900, &bytes(&separate));
    let expected = Event::Response {
        peer: PEER,
        token: token(1),
        message: separate.clone(),
        acknowledge: Some(name),
    };
    assert_eq!(events(&mut endpoint), [expected]);
    assert_eq!(sent(&mut endpoint), []);
    endpoint.acknowledge_response(secs(30), PEER, name);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
    // The acknowledgement was lost: the copy gets another one, and no event.
    receive(&mut endpoint, secs(32), &separate);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
    assert_eq!(events(&mut endpoint), []);
}

#[test]
fn a_separate_response_that_never_comes_is_a_timeout() {
    let mut endpoint = endpoint(config());
    ask(&mut endpoint, 1);
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
    ask(&mut endpoint, 1);
    sent(&mut endpoint);
    receive(&mut endpoint, secs(1), &response(Kind::NonConfirmable, 900, 1));
    assert!(matches!(
        events(&mut endpoint)[..],
        [Event::Response {
            acknowledge: None,
            ..
        }]
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
        ask(&mut endpoint, n);
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
    ask(&mut endpoint, 1);
    ask(&mut endpoint, 2);
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
        ask(&mut endpoint, n);
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
fn a_copy_of_an_answer_whose_acknowledgement_was_lost_is_acknowledged_again_each_time() {
    for deduplication in [Deduplication::Full, Deduplication::WhilePending] {
        let mut endpoint = endpoint(Config {
            deduplication,
            ..config()
        });
        ask(&mut endpoint, 1);
        sent(&mut endpoint);
        let separate = response(Kind::Confirmable, 900, 1);
        receive(&mut endpoint, secs(1), &separate);
        let heard = events(&mut endpoint);
        let [
            Event::Response {
                acknowledge: Some(name),
                ..
            },
        ] = heard[..]
        else {
            panic!("{heard:?}");
        };
        // Until the caller has made it safe, copies get nothing.
        receive(&mut endpoint, secs(2), &separate);
        assert_eq!(sent(&mut endpoint), []);
        endpoint.acknowledge_response(secs(3), PEER, name);
        assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
        for copy in [5, 9, 17, 33, 200] {
            receive(&mut endpoint, secs(copy), &separate);
            assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
            assert_eq!(events(&mut endpoint), []);
        }
        endpoint.handle_timeout(secs(249));
        assert_eq!((endpoint.peer_count(), endpoint.remembered_count()), (0, 0));
    }
}

#[test]
fn an_answer_without_an_exchange_that_was_of_use_is_acknowledged_again_too() {
    let mut endpoint = endpoint(Config {
        deduplication: Deduplication::WhilePending,
        ..config()
    });
    let stray = response(Kind::Confirmable, 900, 1);
    receive(&mut endpoint, START, &stray);
    let heard = events(&mut endpoint);
    let [
        Event::Unmatched {
            acknowledge: Some(name),
            ..
        },
    ] = heard[..]
    else {
        panic!("{heard:?}");
    };
    endpoint.acknowledge_response(START, PEER, name);
    sent(&mut endpoint);
    receive(&mut endpoint, secs(4), &stray);
    assert_eq!(sent(&mut endpoint), [Message::empty(Kind::Acknowledgement, 900)]);
    assert_eq!(events(&mut endpoint), []);
    // The same number with another content is another message.
    receive(&mut endpoint, secs(5), &response(Kind::Confirmable, 900, 2));
    assert!(matches!(events(&mut endpoint)[..], [Event::Unmatched { .. }]));
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
