//! The codec: strict on input, and in agreement with coap-lite's, an independent one, on what is valid.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use coap_lite::Packet;
use lwm2m::coap::{
    Code, DecodeError, Header, Kind, MAX_MESSAGE_BYTES, MAX_OPTIONS, Malformation, Message, Options, Token,
    option,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn encoded(message: &Message) -> Vec<u8> {
    let mut datagram = Vec::new();
    message.encode(&mut datagram);
    datagram
}

fn malformation(datagram: &[u8]) -> Malformation {
    Message::decode(datagram).unwrap_err().malformation
}

#[test]
fn a_get_with_path_query_and_accept_is_these_bytes() {
    let token = Token::try_from(&[0xca, 0xfe][..]).unwrap();
    let mut message = Message::new(Kind::Confirmable, Code::GET, 0x1234, token);
    message.options.push_uri_path("/3/0/1");
    message.options.push(option::URI_QUERY, b"a=1");
    message.options.push_uint(option::ACCEPT, 11542);
    let bytes = b"\x42\x01\x12\x34\xca\xfe\xb13\x010\x011\x43a=1\x22\x2d\x16";
    assert_eq!(encoded(&message), bytes);
    let read = Message::decode(bytes).unwrap();
    assert_eq!(read, message);
    assert_eq!(
        read.options.uri_path().collect::<Result<Vec<_>, _>>().unwrap(),
        ["3", "0", "1"]
    );
    assert_eq!(
        read.options.uri_query().collect::<Result<Vec<_>, _>>().unwrap(),
        ["a=1"]
    );
    assert_eq!(read.options.get_uint(option::ACCEPT), Some(11542));
    assert_eq!(read.options.get_uint(option::CONTENT_FORMAT), None);
}

#[test]
fn tokens_of_every_length_survive() {
    for length in 0..=8u8 {
        let token = Token::try_from(&[7; 8][..usize::from(length)]).unwrap();
        let message = Message {
            payload: b"x".to_vec(),
            ..Message::new(Kind::NonConfirmable, Code::POST, 9, token)
        };
        assert_eq!(encoded(&message)[0], 0x50 | length);
        assert_eq!(Message::decode(&encoded(&message)).unwrap(), message);
    }
}

#[test]
fn what_the_rfc_calls_a_format_error_is_refused() {
    assert_eq!(malformation(&[0x40, 1, 0]), Malformation::Short(3));
    assert_eq!(malformation(&[0x80, 1, 0, 0]), Malformation::Version(2));
    assert_eq!(malformation(&[0x00, 1, 0, 0]), Malformation::Version(0));
    assert_eq!(malformation(&[0x41, 0, 0, 0, 1]), Malformation::NonEmpty(5));
    assert_eq!(
        malformation(&[0x49, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        Malformation::TokenLength(9)
    );
    assert_eq!(malformation(&[0x42, 1, 0, 0, 1]), Malformation::CutToken);
    assert_eq!(malformation(&[0x40, 1, 0, 0, 0xff]), Malformation::NoPayload);
    assert_eq!(
        malformation(&[0x40, 1, 0, 0, 0xb2, b'a']),
        Malformation::Option(4)
    );
    assert_eq!(malformation(&[0x40, 1, 0, 0, 0xf0]), Malformation::Option(4));
    assert_eq!(
        malformation(&[0x40, 1, 0, 0, 0x10, 0x0f]),
        Malformation::Option(5)
    );
    assert_eq!(
        malformation(&[0x40, 1, 0, 0, 0xe0, 0xff, 0xff]),
        Malformation::OptionNumber(4)
    );
    assert_eq!(
        malformation(&[0x40, 0x21, 0, 0]),
        Malformation::ReservedCode(Code::new(1, 1))
    );
    assert_eq!(
        malformation(&[0x40, 0xe1, 0, 0]),
        Malformation::ReservedCode(Code::new(7, 1))
    );
}

#[test]
fn what_is_too_large_is_refused() {
    let mut datagram = vec![0x40, 1, 0, 0];
    datagram.extend([0x00; MAX_OPTIONS]);
    assert_eq!(Message::decode(&datagram).unwrap().options.count(), MAX_OPTIONS);
    datagram.push(0x00);
    assert_eq!(malformation(&datagram), Malformation::TooManyOptions);
    let mut long = vec![0x40, 1, 0, 0, 0xff];
    long.resize(MAX_MESSAGE_BYTES, 1);
    assert_eq!(
        Message::decode(&long).unwrap().payload.len(),
        MAX_MESSAGE_BYTES - 5
    );
    long.push(1);
    assert_eq!(malformation(&long), Malformation::Long(MAX_MESSAGE_BYTES + 1));
}

#[test]
fn an_error_knows_the_message_unless_the_version_is_foreign() {
    let broken = Message::decode(&[0x40, 1, 0xab, 0xcd, 0xff]).unwrap_err();
    assert_eq!(
        broken,
        DecodeError {
            malformation: Malformation::NoPayload,
            header: Some(Header {
                kind: Kind::Confirmable,
                code: Code::GET,
                message_id: 0xabcd,
                token: Some(Token::EMPTY),
            })
        }
    );
    assert_eq!(Message::decode(&[0xc0, 1, 0xab, 0xcd]).unwrap_err().header, None);
    assert_eq!(
        broken.to_string(),
        "not a CoAP message: expected a payload after the payload marker, found the end"
    );
}

#[test]
fn options_added_out_of_order_are_sorted_and_equal_numbers_keep_their_order() {
    let mut options = Options::new();
    options.push(2000, &[9; 300]);
    options.push_each(option::URI_PATH, ["b", "c"]);
    options.push_uint(option::MAX_AGE, 0);
    options.push(option::URI_PATH, b"d");
    options.push(option::ETAG, b"a");
    let numbers: Vec<_> = options
        .iter()
        .map(|(number, value)| (number, value.len()))
        .collect();
    assert_eq!(numbers, [(4, 1), (11, 1), (11, 1), (11, 1), (14, 0), (2000, 300)]);
    assert_eq!(
        options.uri_path().collect::<Result<Vec<_>, _>>().unwrap(),
        ["b", "c", "d"]
    );
    assert_eq!(options.get_uint(2000), None);
}

fn arbitrary_message() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        Just(Kind::Confirmable),
        Just(Kind::NonConfirmable),
        Just(Kind::Acknowledgement),
        Just(Kind::Reset)
    ];
    let code = any::<u8>()
        .prop_map(Code::from)
        .prop_filter("assigned class", |c| c.is_request() || c.is_response());
    let options = vec((any::<u16>(), vec(any::<u8>(), 0..300)), 0..12);
    (
        kind,
        code,
        any::<u16>(),
        vec(any::<u8>(), 0..=8),
        options,
        vec(any::<u8>(), 0..200),
    )
        .prop_map(|(kind, code, message_id, token, options, payload)| {
            let mut message = Message::new(kind, code, message_id, Token::try_from(&token[..]).unwrap());
            options
                .iter()
                .for_each(|(number, value)| message.options.push(*number, value));
            Message { payload, ..message }
        })
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same_message(message in arbitrary_message()) {
        let datagram = encoded(&message);
        prop_assert_eq!(datagram.len(), message.encoded_length());
        prop_assert_eq!(Message::decode(&datagram), Ok(message));
    }

    #[test]
    fn another_codec_reads_and_writes_the_same(message in arbitrary_message()) {
        let datagram = encoded(&message);
        let packet = Packet::from_bytes(&datagram).unwrap();
        prop_assert_eq!(packet.get_token(), message.token.as_bytes());
        prop_assert_eq!(&packet.payload, &message.payload);
        let options: Vec<_> = packet.options()
            .flat_map(|(number, values)| values.iter().map(move |value| (*number, value.as_slice())))
            .collect();
        prop_assert_eq!(options, message.options.iter().collect::<Vec<_>>());
        prop_assert_eq!(packet.to_bytes_unlimited().unwrap(), datagram);
    }

    #[test]
    fn any_datagram_is_either_refused_or_reproduced_exactly(
        first in prop_oneof![any::<u8>(), Just(0x42), Just(0x68)],
        rest in vec(prop_oneof![any::<u8>(), Just(0xff), Just(0x00), Just(0xb1)], 0..64),
    ) {
        let mut datagram = vec![first];
        datagram.extend(rest);
        if let Ok(message) = Message::decode(&datagram) {
            prop_assert_eq!(encoded(&message), datagram.clone());
            prop_assert!(Packet::from_bytes(&datagram).is_ok());
        }
    }
}
