//! What becomes of a message with an option that is unknown, of a wrong length, or there twice (RFC 7252, 5.4 and 5.10),
//! row by row, in requests and in responses; and of one that is larger than what is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use lwm2m::coap::{
    BadOption, Code, Config, Event, FailureReason, Kind, MAX_MESSAGE_BYTES, MAX_OPTIONS, Message,
    OptionFault, Options, Refusal, option,
};
use support::{
    PEER, START, ask, bytes, config, endpoint, events, receive, request, response, secs, sent, token,
};

/// Number, name, critical, unsafe, repeatable, shortest and longest value: tables 1 and 4 of RFC 7252, and the RFCs of the
/// others.
#[rustfmt::skip]
const TABLE: [(u16, &str, bool, bool, bool, usize, usize); 26] = [
    (1, "If-Match", true, false, true, 0, 8),
    (3, "Uri-Host", true, true, false, 1, 255),
    (4, "ETag", false, false, true, 1, 8),
    (5, "If-None-Match", true, false, false, 0, 0),
    (6, "Observe", false, true, false, 0, 3),
    (7, "Uri-Port", true, true, false, 0, 2),
    (8, "Location-Path", false, false, true, 0, 255),
    (9, "OSCORE", true, false, false, 0, 255),
    (11, "Uri-Path", true, true, true, 0, 255),
    (12, "Content-Format", false, false, false, 0, 2),
    (14, "Max-Age", false, true, false, 0, 4),
    (15, "Uri-Query", true, true, true, 0, 255),
    (16, "Hop-Limit", false, false, false, 1, 1),
    (17, "Accept", true, false, false, 0, 2),
    (19, "Q-Block1", true, true, false, 0, 3),
    (20, "Location-Query", false, false, true, 0, 255),
    (23, "Block2", true, true, false, 0, 3),
    (27, "Block1", true, true, false, 0, 3),
    (28, "Size2", false, false, false, 0, 4),
    (31, "Q-Block2", true, true, true, 0, 3),
    (35, "Proxy-Uri", true, true, false, 1, 1034),
    (39, "Proxy-Scheme", true, true, false, 1, 255),
    (60, "Size1", false, false, false, 0, 4),
    (252, "Echo", false, false, false, 1, 40),
    (258, "No-Response", false, true, false, 0, 1),
    (292, "Request-Tag", false, false, true, 0, 8),
];

/// Options that a request or a response to these endpoints may have, each with the lengths of its values, and the fault that
/// is to be found.
fn cases() -> Vec<(u16, Vec<usize>, Option<OptionFault>)> {
    let mut cases = Vec::new();
    for (number, _, _, _, repeatable, shortest, longest) in TABLE {
        cases.push((number, vec![shortest], None));
        cases.push((number, vec![longest], None));
        let beyond = OptionFault::Length(longest + 1);
        cases.push((number, vec![longest + 1], Some(beyond)));
        if shortest > 0 {
            cases.push((number, vec![0], Some(OptionFault::Length(0))));
        }
        let again = (!repeatable).then_some(OptionFault::Repeated);
        cases.push((number, vec![longest, longest], again));
    }
    cases
}

fn options(number: u16, lengths: &[usize]) -> Options {
    let mut options = Options::new();
    let lengths = lengths.iter();
    lengths.for_each(|length| options.push(number, &vec![1; *length]));
    options
}

#[test]
fn the_table_says_what_the_rfcs_say() {
    for (number, name, critical, unsafe_to_forward, ..) in TABLE {
        assert_eq!(option::name(number), Some(name));
        assert_eq!(
            (option::is_critical(number), option::is_unsafe(number)),
            (critical, unsafe_to_forward),
            "{name}"
        );
    }
    assert_eq!(option::name(2), None);
    let known: Vec<u16> = TABLE.iter().map(|row| row.0).collect();
    for (number, lengths, fault) in cases() {
        let options = options(number, &lengths);
        let expected = fault.filter(|_| option::is_critical(number));
        let expected = expected.map(|fault| BadOption { number, fault });
        assert_eq!(options.bad_critical(&known), expected, "{number} {lengths:?}");
        if option::is_critical(number) {
            let unknown = Some(BadOption {
                number,
                fault: OptionFault::Unknown,
            });
            assert_eq!(options.bad_critical(&[]), unknown, "{number}");
        }
        // An elective option that breaks its rules is as if it were not there; of two, the second.
        let mut kept = options.clone();
        kept.drop_bad_elective();
        let bad = fault.is_some() && !option::is_critical(number);
        assert_eq!(
            kept.count(),
            lengths.len() - usize::from(bad),
            "{number} {lengths:?}"
        );
    }
}

#[test]
fn a_request_with_a_bad_critical_option_is_told_which_and_one_for_a_proxy_that_this_is_none() {
    let known = Config::default().known_in_requests;
    for (number, lengths, fault) in cases() {
        let mut endpoint = endpoint(config());
        let mut message = Message::new(Kind::Confirmable, Code::POST, 5, token(1));
        message.options = options(number, &lengths);
        receive(&mut endpoint, START, &message);
        let fault = match fault {
            _ if !option::is_critical(number) => None,
            _ if !known.contains(&number) => Some(OptionFault::Unknown),
            fault => fault,
        };
        let Some(fault) = fault else {
            let heard = events(&mut endpoint);
            assert!(matches!(heard[..], [Event::Request { .. }]), "{number} {heard:?}");
            continue;
        };
        let bad = BadOption { number, fault };
        let code = match number {
            option::PROXY_URI | option::PROXY_SCHEME => Code::PROXYING_NOT_SUPPORTED,
            _ => Code::BAD_OPTION,
        };
        let answer = sent(&mut endpoint);
        let text = String::from_utf8(answer[0].payload.clone()).unwrap();
        assert_eq!(
            (answer.len(), answer[0].code, answer[0].kind),
            (1, code, Kind::Acknowledgement)
        );
        assert_eq!((answer[0].message_id, answer[0].token), (5, token(1)));
        assert_eq!(text, bad.to_string());
        assert!(text.contains(option::name(number).unwrap()), "{text}");
        let (reason, message) = (Refusal::BadOption(bad), Some(message));
        assert_eq!(
            events(&mut endpoint),
            [Event::Refused {
                peer: PEER,
                reason,
                message
            }]
        );
    }
}

#[test]
fn a_refusal_says_what_was_expected_and_what_was_found() {
    let bad = |number, fault| BadOption { number, fault }.to_string();
    assert_eq!(
        bad(27, OptionFault::Unknown),
        "option 27 (Block1) is not supported here"
    );
    assert_eq!(
        bad(2001, OptionFault::Unknown),
        "critical option 2001 is not supported here"
    );
    assert_eq!(
        bad(3, OptionFault::Length(0)),
        "option 3 (Uri-Host) has 1 to 255 bytes, found 0"
    );
    assert_eq!(
        bad(17, OptionFault::Repeated),
        "option 17 (Accept) may appear only once"
    );
}

#[test]
fn an_unconfirmed_request_with_a_bad_option_is_ignored() {
    let mut endpoint = endpoint(config());
    let mut message = request(Kind::NonConfirmable, 5, 1);
    message.options.push(option::IF_MATCH, b"x");
    receive(&mut endpoint, START, &message);
    assert_eq!(sent(&mut endpoint), []);
    assert_eq!(endpoint.statistics().bad_options, 1);
}

#[test]
fn an_answer_with_a_bad_critical_option_ends_the_exchange_at_once_and_says_why() {
    for (number, lengths, _) in cases() {
        for kind in [Kind::Acknowledgement, Kind::Confirmable, Kind::NonConfirmable] {
            let mut endpoint = endpoint(config());
            ask(&mut endpoint, 1);
            sent(&mut endpoint);
            let mut answer = response(kind, 1, 1);
            answer.options = options(number, &lengths);
            receive(&mut endpoint, START, &answer);
            let heard = events(&mut endpoint);
            assert!(!endpoint.is_open(PEER, token(1)), "{number}");
            if !option::is_critical(number) {
                assert!(
                    matches!(heard[..], [Event::Response { .. }]),
                    "{number}: {heard:?}"
                );
                continue;
            }
            let refusal = Refusal::BadOption(BadOption {
                number,
                fault: OptionFault::Unknown,
            });
            let failed = Event::Failed {
                peer: PEER,
                token: token(1),
                reason: FailureReason::Refused(refusal),
            };
            assert_eq!(heard[0], failed);
            // RFC 7252, 4.2 and 4.3: a Confirmable is rejected with a Reset, the others by silence.
            let reset = vec![Message::empty(Kind::Reset, 1); usize::from(kind == Kind::Confirmable)];
            assert_eq!(sent(&mut endpoint), reset);
        }
    }
}

#[test]
fn an_answer_in_blocks_reaches_a_caller_who_knows_blocks() {
    let known_in_responses = &[option::BLOCK2];
    let mut endpoint = endpoint(Config {
        known_in_responses,
        ..config()
    });
    ask(&mut endpoint, 1);
    let mut answer = response(Kind::Acknowledgement, 1, 1);
    answer.options.push_uint(option::BLOCK2, 0b1101);
    receive(&mut endpoint, START, &answer);
    assert!(matches!(events(&mut endpoint)[..], [Event::Response { .. }]));
}

#[test]
fn a_request_that_is_too_large_is_told_the_limit_and_one_with_too_many_options_too() {
    let mut large = request(Kind::Confirmable, 5, 1);
    large.payload = vec![b'x'; MAX_MESSAGE_BYTES];
    let mut crowded = request(Kind::Confirmable, 5, 1);
    (0..=MAX_OPTIONS).for_each(|_| crowded.options.push(option::URI_QUERY, b"x"));
    let (limit, found) = (MAX_MESSAGE_BYTES, large.encoded_length());
    for (message, code, text) in [
        (
            large,
            Code::REQUEST_ENTITY_TOO_LARGE,
            format!("expected at most {limit} bytes, found {found}"),
        ),
        (
            crowded,
            Code::BAD_REQUEST,
            format!("expected at most {MAX_OPTIONS} options"),
        ),
    ] {
        let mut endpoint = endpoint(config());
        receive(&mut endpoint, START, &message);
        let answer = sent(&mut endpoint);
        assert_eq!(
            (answer.len(), answer[0].code, answer[0].token),
            (1, code, token(1))
        );
        assert_eq!(String::from_utf8(answer[0].payload.clone()).unwrap(), text);
        let size = answer[0].options.get_uint(option::SIZE1);
        assert_eq!(size.is_some(), code == Code::REQUEST_ENTITY_TOO_LARGE);
        // Unconfirmed, it is ignored.
        receive(
            &mut endpoint,
            START,
            &Message {
                kind: Kind::NonConfirmable,
                ..message
            },
        );
        assert_eq!(sent(&mut endpoint), []);
    }
}

#[test]
fn an_answer_that_is_too_large_ends_the_exchange_at_once() {
    let mut endpoint = endpoint(config());
    ask(&mut endpoint, 1);
    let mut answer = response(Kind::Acknowledgement, 1, 1);
    answer.payload = vec![b'x'; MAX_MESSAGE_BYTES];
    receive(&mut endpoint, START, &answer);
    let heard = events(&mut endpoint);
    let Event::Failed {
        reason: FailureReason::Refused(reason),
        ..
    } = &heard[0]
    else {
        panic!("{heard:?}");
    };
    assert!(
        reason.to_string().starts_with("expected at most 8192 bytes"),
        "{reason}"
    );
}

#[test]
fn a_forged_source_is_not_flooded_with_explanations() {
    let explanations_per_second = 3;
    let mut endpoint = endpoint(Config {
        explanations_per_second,
        ..config()
    });
    let mut message = request(Kind::Confirmable, 5, 1);
    message.options.push(option::IF_MATCH, b"x");
    (0..10).for_each(|_| endpoint.handle_datagram(START, PEER, &bytes(&message)));
    let answers = sent(&mut endpoint);
    assert_eq!(answers.len(), 10);
    let explained = |answers: &[Message]| answers.iter().filter(|one| !one.payload.is_empty()).count();
    assert_eq!(explained(&answers), 3);
    assert!(answers[9].encoded_length() <= message.encoded_length());
    receive(&mut endpoint, secs(1), &message);
    assert_eq!(explained(&sent(&mut endpoint)), 1);
}
