//! Which envelopes are requests, which are answered with `BAD_REQUEST`, which nobody can be answered about.

use proptest::prelude::*;

use super::*;

const CHANNEL: &str = "LESHAN_RESP";
/// In a constant, because `prop_assert!` reads a brace as the start of a format.
const OPENING: u8 = b'{';

fn scan(payload: &str) -> Scan<'_> {
    Envelope::scan(payload.as_bytes(), CHANNEL)
}

fn request(payload: &str) -> Envelope<'_> {
    match scan(payload) {
        Scan::Request(envelope) => envelope,
        other => panic!("expected a request, found {other:?}"),
    }
}

/// Endpoint, ticket, channel and reason of a malformed request.
fn malformed(payload: &[u8]) -> (Option<String>, String, Option<String>, String) {
    match Envelope::scan(payload, CHANNEL) {
        Scan::Malformed(Malformed {
            ep,
            ticket,
            reply_to,
            reason,
        }) => (
            ep.map(Cow::into_owned),
            ticket.into_owned(),
            reply_to.map(Cow::into_owned),
            reason,
        ),
        other => panic!("expected a malformed request, found {other:?}"),
    }
}

fn reason(payload: &str) -> String {
    malformed(payload.as_bytes()).3
}

fn is_ignored(payload: &[u8]) -> bool {
    matches!(Envelope::scan(payload, CHANNEL), Scan::Ignored(_))
}

#[test]
fn the_example_of_the_interface_is_read() {
    let payload = r#"{"ep":"myEndpoint","ticket":"8c90592249c74a9b8a2da5754145dcc0","req":{"kind":"read","path":"/3/0/1","contentFormat":1541},"timeout":20000}"#;
    let expected = Envelope {
        ep: "myEndpoint".into(),
        ticket: "8c90592249c74a9b8a2da5754145dcc0".into(),
        req: r#"{"kind":"read","path":"/3/0/1","contentFormat":1541}"#,
        timeout_ms: 20_000,
        reply_to: None,
    };
    assert_eq!(scan(payload), Scan::Request(expected));
}

#[test]
fn members_may_stand_in_any_order_with_space_escapes_and_strangers() {
    let payload = " {\"x\":[{}], \"req\" : {} ,\"replyTo\":\"LESHAN_RESP.7\",\n\"ticket\":\"a\\u0062\\\"\",\"ep\":\"\u{fc}\"} ";
    let expected = Envelope {
        ep: "ü".into(),
        ticket: "ab\"".into(),
        req: "{}",
        timeout_ms: 120_000,
        reply_to: Some("LESHAN_RESP.7".into()),
    };
    assert_eq!(scan(payload), Scan::Request(expected));
}

#[test]
fn of_a_repeated_member_the_last_one_counts_and_null_is_absent() {
    let envelope = request(
        r#"{"ep":"a","ticket":"t","req":{},"ep":"b","ticket":"u","timeout":5,"timeout":null,"replyTo":null}"#,
    );
    assert_eq!((&*envelope.ep, &*envelope.ticket), ("b", "u"));
    assert_eq!(
        (envelope.timeout_ms, envelope.reply_to),
        (DEFAULT_TIMEOUT_MS, None)
    );
    assert!(is_ignored(br#"{"ep":"a","ticket":"t","req":{},"ticket":null}"#));
}

#[test]
fn a_timeout_is_a_positive_integer_and_a_day_at_most() {
    let timeout = |json: &str| format!(r#"{{"ep":"a","ticket":"t","req":{{}},"timeout":{json}}}"#);
    for (json, milliseconds) in [
        ("1", 1),
        ("86400000", 86_400_000),
        ("86400001", 86_400_000),
        ("99999999999999999999999", 86_400_000),
    ] {
        assert_eq!(request(&timeout(json)).timeout_ms, milliseconds);
    }
    for json in ["0", "-1", "-0", "1.0", "1e3", "\"5\"", "true", "[]"] {
        let expected = format!("`timeout` must be a positive integer of milliseconds, found {json}");
        assert_eq!(reason(&timeout(json)), expected);
    }
}

#[test]
fn an_envelope_without_an_endpoint_is_answered_by_its_ticket() {
    for payload in [
        r#"{"ticket":"t","req":{}}"#,
        r#"{"ep":7,"ticket":"t","req":{}}"#,
        r#"{"ep":"","ticket":"t","req":{}}"#,
    ] {
        let expected = "the member `ep` must be a string with the endpoint's name".to_owned();
        assert_eq!(
            malformed(payload.as_bytes()),
            (None, "t".to_owned(), None, expected)
        );
    }
    // One that is longer than any endpoint's name must not become part of keys and of what is published.
    let long = "e".repeat(256);
    let payload = format!(r#"{{"ep":"{long}","ticket":"t","req":{{}}}}"#);
    let (ep, _, _, reason) = malformed(payload.as_bytes());
    assert_eq!(ep, None);
    assert_eq!(reason, "an endpoint name has at most 255 bytes, found 256");
}

#[test]
fn a_ticket_is_a_string_of_1_to_128_bytes_or_nobody_is_answered() {
    let with = |ticket: &str| format!(r#"{{"ep":"a","ticket":{ticket},"req":{{}}}}"#);
    let longest = "t".repeat(128);
    assert_eq!(request(&with(&format!("\"{longest}\""))).ticket, longest);
    for ticket in [
        "\"\"",
        "7",
        "null",
        "{}",
        "\"\\ud800\"",
        &format!("\"{longest}t\""),
    ] {
        assert!(is_ignored(with(ticket).as_bytes()), "{ticket}");
    }
    assert!(is_ignored(br#"{"ep":"a","req":{}}"#));
}

#[test]
fn answers_go_only_to_channels_that_start_like_the_common_one() {
    let with = |channel: &str| format!(r#"{{"ep":"a","ticket":"t","req":{{}},"replyTo":{channel}}}"#);
    assert_eq!(
        request(&with("\"LESHAN_RESP\"")).reply_to.as_deref(),
        Some("LESHAN_RESP")
    );
    for channel in ["\"LESHAN_REQ\"", "\"\"", "7"] {
        let expected = format!(
            "`replyTo` must be a string of at most 255 bytes that starts with LESHAN_RESP, found {channel}"
        );
        let payload = with(channel);
        assert_eq!(
            malformed(payload.as_bytes()),
            (Some("a".to_owned()), "t".to_owned(), None, expected)
        );
    }
    let payload = with("\"LESHAN_RESP.1\"");
    assert!(matches!(
        Envelope::scan(payload.as_bytes(), "x.LESHAN_RESP"),
        Scan::Malformed(_)
    ));
}

#[test]
fn the_request_itself_must_be_an_object() {
    let missing = "the member `req`, an object, is missing";
    assert_eq!(reason(r#"{"ep":"a","ticket":"t"}"#), missing);
    assert_eq!(reason(r#"{"ep":"a","ticket":"t","req":null}"#), missing);
    assert_eq!(
        reason(r#"{"ep":"a","ticket":"t","req":"read"}"#),
        "the member `req` must be an object, found \"read\""
    );
}

#[test]
fn broken_json_is_answered_if_its_ticket_stands_before_the_break() {
    let (ep, ticket, reply_to, reason) =
        malformed(br#"{"ep":"a","ticket":"t","replyTo":"LESHAN_RESP:b","req":{"kind":"read","pa"#);
    assert_eq!(
        (ep.as_deref(), &*ticket, reply_to.as_deref()),
        (Some("a"), "t", Some("LESHAN_RESP:b"))
    );
    assert!(
        reason.starts_with("not a JSON object: EOF while parsing a string"),
        "{reason}"
    );
    for broken in [
        r#"{"ep":"a","ticket":"t""#,
        r#"{"ep":"a","ticket":"t","req":{"kind":"read",}}"#,
        r#"{"req":{"x":[,]},"n":-1.5,"ep":"a","ticket":"t"}"#,
        r#"{"ep":"a","ticket":"t","req":{}} trailing"#,
        r#"{"ep":"a","ticket":"t","req":{},}"#,
        r#"{"ep":"a","ticket":"t",req:{}}"#,
        r#"{"ep":"a","ticket":"x","ticket":"t","req":{"a\":}"#,
    ] {
        let (ep, ticket, ..) = malformed(broken.as_bytes());
        assert_eq!((ep.as_deref(), &*ticket), (Some("a"), "t"), "{broken}");
    }
    let (ep, ticket, ..) = malformed(b"{\"ticket\":\"t\",\"ep\":\"\xff\",\"req\":{}}");
    assert_eq!(
        (ep, &*ticket),
        (None, "t"),
        "an endpoint that is not UTF-8 cannot be read"
    );
    for lost in [
        &br#"{"ep":"a","ticket":"t"#[..],
        br#"{"ep":"a" "ticket":"t"}"#,
        br#"{"ep":"a","ticket":tr"#,
        br#"["ticket","t"]"#,
        b"PING",
        b"",
        b"\xff",
    ] {
        assert!(is_ignored(lost), "{}", String::from_utf8_lossy(lost));
    }
}

#[test]
fn json_of_any_depth_is_read() {
    let depth = 200_000;
    let nested = "[".repeat(depth) + &"]".repeat(depth);
    let payload = format!(r#"{{"ep":"a","ticket":"t","x":{nested},"req":{{"y":{nested}}}}}"#);
    assert_eq!(request(&payload).req.len(), nested.len() + 6);
    let cut = &payload[..payload.len() - 2];
    assert_eq!(malformed(cut.as_bytes()).1, "t");
}

#[test]
fn a_payload_beyond_the_limit_is_answered_by_what_its_beginning_says() {
    let payload = format!(
        r#"{{"ep":"a","ticket":"t","req":{{"x":"{}"}}}}"#,
        "x".repeat(MAX_REQUEST_BYTES)
    );
    let expected = format!("a request has at most 1048576 bytes, found {}", payload.len());
    assert_eq!(reason(&payload), expected);
    let late = format!(
        r#"{{"req":{{"x":"{}"}},"ep":"a","ticket":"t"}}"#,
        "x".repeat(MAX_REQUEST_BYTES)
    );
    assert!(is_ignored(late.as_bytes()));
}

/// Text that is close to JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\"ticket\"",
        "\"ep\"",
        "\"req\"",
        "\"replyTo\"",
        "\"t\"",
        "\"ticket\":\"t\"",
        "\"ep\":\"a\"",
        "\"req\":{}",
        "1",
        "-",
        "null",
        " ",
        "ü",
        "\\u12",
    ]);
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn random_bytes_never_panic(payload in any::<Vec<u8>>()) {
        let _ = Envelope::scan(&payload, CHANNEL);
    }

    #[test]
    fn what_is_read_keeps_the_limits_however_broken_the_payload(payload in nearly_json()) {
        match scan(&payload) {
            Scan::Request(envelope) => {
                prop_assert!((1..=MAX_TICKET_BYTES).contains(&envelope.ticket.len()));
                prop_assert!(!envelope.ep.is_empty() && envelope.req.as_bytes().first() == Some(&OPENING));
            }
            Scan::Malformed(malformed) => prop_assert!(!malformed.reason.is_empty()),
            Scan::Ignored(_) => {}
        }
    }

    #[test]
    fn both_readings_find_the_same_in_valid_json(
        ep in any::<String>(), ticket in any::<String>(), x in any::<Option<String>>(),
    ) {
        let payload = serde_json::json!({"x": [x], "ep": ep, "ticket": ticket, "req": {"e": ep}}).to_string();
        let (strict, _) = strict(payload.as_bytes(), CHANNEL).unwrap();
        let tolerant = tolerant(payload.as_bytes(), CHANNEL);
        prop_assert_eq!(&strict.ep, &tolerant.ep);
        prop_assert_eq!(strict.ticket, tolerant.ticket);
        prop_assert_eq!(strict.ep.as_deref(), Some(&*ep).filter(|ep| !ep.is_empty()));
    }
}
