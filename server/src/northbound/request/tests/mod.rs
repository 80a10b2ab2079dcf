//! Requests from JSON to CoAP, and answers from CoAP to JSON, with the exact texts of the interface.

use lwm2m::coap::{Code, Options, option};
use lwm2m::registration::Version;
use proptest::prelude::*;

use super::*;

mod answers;
mod refusals;

/// Numbers and values.
type OptionList = Vec<(u16, Vec<u8>)>;

const DEVICE: Device<'_> = Device {
    version: Version::V1_0,
    root: "/",
};

fn parsed(json: &str) -> Request {
    Request::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn refused(json: &str) -> String {
    Request::parse(json).unwrap_err().message
}

fn read(path: &str) -> Request {
    parsed(&format!(r#"{{"kind":"read","path":"{path}"}}"#))
}

/// A write of `node` to `path`, with further members.
fn write(path: &str, node: &str, more: &str) -> String {
    format!(r#"{{"kind":"write","path":"{path}","node":{node}{more}}}"#)
}

/// Method, options (number and value, as text where it is a segment) and payload of a CoAP request.
fn on_the_wire(request: &Request, device: &Device<'_>) -> (Code, OptionList, Vec<u8>) {
    let coap = request.to_coap(device).unwrap();
    let options = coap
        .options
        .iter()
        .map(|(number, value)| (number, value.to_vec()))
        .collect();
    (coap.code, options, coap.payload)
}

/// Uri-Path options followed by one more option with a number.
fn options(path: &[&str], more: Option<(u16, u16)>) -> OptionList {
    let segments = path
        .iter()
        .map(|segment| (option::URI_PATH, segment.as_bytes().to_vec()));
    let more = more.map(|(number, value)| {
        let bytes = value.to_be_bytes();
        (number, bytes[value.leading_zeros() as usize / 8..].to_vec())
    });
    segments.chain(more).collect()
}

fn with_format(number: u16) -> Options {
    let mut options = Options::new();
    options.push_uint(option::CONTENT_FORMAT, u32::from(number));
    options
}

fn undecodable(request: &Request, options: &Options, payload: &[u8]) -> String {
    request
        .response_body(Code::CONTENT, options, payload)
        .unwrap_err()
        .message
}

#[test]
fn the_wiki_pages_read_goes_out_as_text_and_comes_back_as_its_answer() {
    let request = parsed(r#"{"kind":"read","path":"/3/0/1","contentFormat":1541}"#);
    let expected = (
        Code::GET,
        options(&["3", "0", "1"], Some((option::ACCEPT, 0))),
        vec![],
    );
    assert_eq!(on_the_wire(&request, &DEVICE), expected);
    let answer = r#"{"kind":"read","code":"CONTENT","node":{"kind":"singleresource","id":1,"type":"string","value":"Lightweight M2M Client"}}"#;
    for answer_format in [with_format(0), with_format(1541), Options::new()] {
        let body = request.response_body(Code::CONTENT, &answer_format, b"Lightweight M2M Client");
        assert_eq!(body.unwrap(), answer);
    }
    let tlv = b"\xc8\x01\x16Lightweight M2M Client";
    assert_eq!(
        request
            .response_body(Code::CONTENT, &with_format(11542), tlv)
            .unwrap(),
        answer
    );
}

#[test]
fn a_read_asks_for_a_format_only_if_the_back_end_does() {
    for (path, segments) in [
        ("/3", &["3"][..]),
        ("/3/0", &["3", "0"]),
        ("/65535/0/10/0", &["65535", "0", "10", "0"]),
    ] {
        assert_eq!(
            on_the_wire(&read(path), &DEVICE),
            (Code::GET, options(segments, None), vec![])
        );
    }
    for (number, sent) in [(0, 0), (42, 42), (11542, 11542), (1542, 11542), (1544, 42)] {
        let request = parsed(&format!(
            r#"{{"kind":"read","path":"/3/0","contentFormat":{number}}}"#
        ));
        let expected = options(&["3", "0"], Some((option::ACCEPT, sent)));
        assert_eq!(on_the_wire(&request, &DEVICE).1, expected);
    }
    assert_eq!(
        parsed(r#"{"kind":"read","path":"/3/0","contentFormat":null}"#),
        read("/3/0")
    );
}

#[test]
fn the_devices_root_stands_before_the_path() {
    let device = Device {
        root: "/lwm2m/x/",
        ..DEVICE
    };
    let expected = options(&["lwm2m", "x", "3", "0"], None);
    assert_eq!(on_the_wire(&read("/3/0"), &device).1, expected);
    let long = format!("/{}", "r".repeat(255));
    let error = read("/3/0")
        .to_coap(&Device {
            root: &long,
            ..DEVICE
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the payload is limited to 1024 bytes and the device's root to 255, found 0 and 256"
    );
}

#[test]
fn a_write_of_a_resource_replaces_it_in_tlv_or_in_the_format_asked_for() {
    let node = r#"{"kind":"singleresource","id":15,"type":"string","value":"Europe/Paris"}"#;
    let request = parsed(&write("/3/0/15", node, ""));
    let format = Some((option::CONTENT_FORMAT, 11542));
    let expected = (
        Code::PUT,
        options(&["3", "0", "15"], format),
        b"\xc8\x0f\x0cEurope/Paris".to_vec(),
    );
    assert_eq!(on_the_wire(&request, &DEVICE), expected);
    assert_eq!(
        on_the_wire(
            &request,
            &Device {
                version: Version::V1_1,
                ..DEVICE
            }
        ),
        expected
    );

    let request = parsed(&write("/3/0/15", node, r#","mode":"REPLACE","contentFormat":0"#));
    let format = Some((option::CONTENT_FORMAT, 0));
    let expected = (
        Code::PUT,
        options(&["3", "0", "15"], format),
        b"Europe/Paris".to_vec(),
    );
    assert_eq!(on_the_wire(&request, &DEVICE), expected);

    let request = parsed(&write(
        "/5/0/0",
        r#"{"kind":"singleresource","value":"AQID"}"#,
        r#","contentFormat":42"#,
    ));
    assert_eq!(on_the_wire(&request, &DEVICE).2, [1, 2, 3]);
}

#[test]
fn a_write_of_an_instance_updates_or_replaces_it() {
    let node = r#"{"id":0,"kind":"instance","resources":{"15":{"id":15,"type":"STRING","kind":"singleResource","value":"x"},"6":{"kind":"multipleResource","type":"INTEGER","values":{"0":1,"17":7}}}}"#;
    let payload = vec![0x86, 6, 0x41, 0, 1, 0x41, 17, 7, 0xc1, 15, b'x'];
    let format = Some((option::CONTENT_FORMAT, 11542));
    let update = parsed(&write("/3/0", node, r#","mode":"UPDATE""#));
    let expected = (Code::POST, options(&["3", "0"], format), payload.clone());
    assert_eq!(on_the_wire(&update, &DEVICE), expected);
    let replace = parsed(&write("/3/0", node, ""));
    assert_eq!(
        on_the_wire(&replace, &DEVICE),
        (Code::PUT, options(&["3", "0"], format), payload)
    );
    let array = r#"{"kind":"instance","resources":[{"kind":"singleresource","id":15,"value":"x"}]}"#;
    assert_eq!(
        on_the_wire(&parsed(&write("/3/0", array, "")), &DEVICE).2,
        [0xc1, 15, b'x']
    );
}

#[test]
fn a_resource_instance_is_written_as_one() {
    let node = r#"{"kind":"singleresource","id":1,"type":"integer","value":5}"#;
    let request = parsed(&write("/2/0/2/1", node, ""));
    assert_eq!(on_the_wire(&request, &DEVICE).2, [0x41, 1, 5]);
}

#[test]
fn an_execute_carries_its_parameters_without_a_format() {
    let bare = (Code::POST, options(&["3", "0", "4"], None), vec![]);
    for json in [
        r#"{"kind":"execute","path":"/3/0/4"}"#,
        r#"{"kind":"execute","path":"/3/0/4","parameters":null}"#,
        r#"{"kind":"execute","path":"3/0/4/"}"#,
    ] {
        assert_eq!(on_the_wire(&parsed(json), &DEVICE), bare);
    }
    let request = parsed(r#"{"kind":"execute","path":"/3/0/4","parameters":"0='é'"}"#);
    let expected = (
        Code::POST,
        options(&["3", "0", "4"], None),
        "0='é'".as_bytes().to_vec(),
    );
    assert_eq!(on_the_wire(&request, &DEVICE), expected);
}

#[test]
fn only_reads_and_replacing_writes_may_be_sent_again() {
    let instance = r#"{"kind":"instance","resources":{}}"#;
    assert!(read("/3/0").is_repeatable());
    assert!(parsed(&write("/3/0", instance, "")).is_repeatable());
    assert!(!parsed(&write("/3/0", instance, r#","mode":"UPDATE""#)).is_repeatable());
    assert!(!parsed(r#"{"kind":"execute","path":"/3/0/4"}"#).is_repeatable());
}

#[test]
fn every_type_is_written_as_it_is_read() {
    let cases: [(&str, &str, &str, &[u8]); 10] = [
        ("/3/0/14", "string", r#""a\"ü""#, "a\"ü".as_bytes()),
        (
            "/3/0/9",
            "integer",
            "-9223372036854775808",
            b"-9223372036854775808",
        ),
        (
            "/0/0/13",
            "unsigned",
            "18446744073709551615",
            b"18446744073709551615",
        ),
        ("/3303/0/5700", "float", "20.5", b"20.5"),
        ("/1/0/6", "boolean", "true", b"1"),
        ("/1/0/6", "boolean", "false", b"0"),
        ("/3/0/13", "time", "1367491215000", b"1367491215"),
        ("/5/0/0", "opaque", r#""AQIDBP8=""#, b"AQIDBP8="),
        ("/5/0/0", "opaque", r#""""#, b""),
        ("/1/0/10", "objlnk", r#""11:0""#, b"11:0"),
    ];
    for (path, value_type, json, text) in cases {
        let id = path.rsplit('/').next().unwrap();
        let node = format!(r#"{{"kind":"singleresource","id":{id},"type":"{value_type}","value":{json}}}"#);
        let request = parsed(&write(path, &node, r#","contentFormat":0"#));
        assert_eq!(on_the_wire(&request, &DEVICE).2, text, "{path}");
        let body = read(path)
            .response_body(Code::CONTENT, &with_format(0), text)
            .unwrap();
        assert_eq!(
            body,
            format!(r#"{{"kind":"read","code":"CONTENT","node":{node}}}"#)
        );
    }
}

#[test]
fn numbers_of_the_older_dialect_are_taken_as_what_the_resource_holds() {
    let node = r#"{"kind":"singleResource","id":13,"type":"INTEGER","value":200}"#;
    assert_eq!(
        on_the_wire(&parsed(&write("/0/0/13", node, "")), &DEVICE).2,
        [0xc1, 13, 200]
    );
    let float = r#"{"kind":"singleResource","id":5700,"type":"FLOAT","value":1}"#;
    assert_eq!(
        on_the_wire(
            &parsed(&write("/3303/0/5700", float, r#","contentFormat":0"#)),
            &DEVICE
        )
        .2,
        b"1"
    );
    let time = r#"{"kind":"singleResource","id":13,"type":"TIME","value":-1000}"#;
    assert_eq!(
        on_the_wire(&parsed(&write("/3/0/13", time, "")), &DEVICE).2,
        [0xc1, 13, 0xff]
    );
}

proptest! {
    #[test]
    fn random_requests_never_panic(req in any::<String>(), path in "[0-9/]{0,9}", node in "[\\[\\]{}\":,a-z0-9]{0,40}") {
        let _ = Request::parse(&req);
        let _ = Request::parse(&write(&path, &node, ""));
    }

    #[test]
    fn random_answers_never_panic_and_are_json(
        ids in proptest::collection::vec(prop_oneof![Just(3u16), Just(0), any::<u16>()], 1..=4),
        code in any::<u8>(),
        format in prop_oneof![Just(0u16), Just(42), Just(11542), any::<u16>()],
        payload in any::<Vec<u8>>(),
    ) {
        let path = Path::from_ids(&ids).unwrap();
        let request = Request::Read { path, format: None };
        for code in [Code::CONTENT, Code::from(code)] {
            if let Ok(body) = request.response_body(code, &with_format(format), &payload) {
                let json: serde_json::Value = serde_json::from_str(&body).unwrap();
                prop_assert_eq!(&json["kind"], "read");
            }
        }
    }

    #[test]
    fn any_text_survives_as_a_json_string(text in any::<String>()) {
        let json = crate::northbound::json_string(&text);
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
        let read_back = crate::northbound::json::text(&json);
        prop_assert_eq!(read_back.as_deref(), Some(&*text));
    }
}
