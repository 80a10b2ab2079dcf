//! Register, Update and De-register: what a server reads from a device's request, and what it refuses with which code.

#![allow(clippy::unwrap_used)]

use lwm2m::coap::{Code, Kind, Message, Token, option};
use lwm2m::link::{self, Link};
use lwm2m::registration::{Binding, Register, RegistrationRequest, Update, Version};
use proptest::prelude::*;

fn request(code: Code, path: &str, query: &[&str], payload: &str) -> Message {
    let mut message = Message::new(Kind::Confirmable, code, 1, Token::EMPTY);
    message.options.push_uri_path(path);
    message.options.push_each(option::URI_QUERY, query);
    message.payload = payload.as_bytes().to_vec();
    message
}

fn register(query: &[&str]) -> Message {
    request(Code::POST, "/rd", query, "</1/0>,</3/0>")
}

/// The code and the text with which `message` is refused.
fn refusal(message: &Message) -> (String, String) {
    let error = RegistrationRequest::parse(message).unwrap_err();
    (error.code.to_string(), error.message)
}

fn registered(message: &Message) -> Register<'_> {
    match RegistrationRequest::parse(message).unwrap() {
        RegistrationRequest::Register(register) => register,
        other => panic!("expected a Register, found {other:?}"),
    }
}

#[test]
fn a_register_with_every_parameter_is_read() {
    let links = r#"</lwm2m>;rt="oma.lwm2m",</lwm2m/1/0>"#;
    let mut message = request(
        Code::POST,
        "/rd",
        &[
            "ep=urn:imei:42",
            "lt=4294967295",
            "lwm2m=1.1",
            "x=y=z",
            "b=US",
            "Q",
            "sms=+336",
            "flag",
        ],
        links,
    );
    message.options.push_uint(option::CONTENT_FORMAT, 40);
    let expected = Register {
        endpoint: "urn:imei:42",
        lifetime: u32::MAX,
        version: Version::V1_1,
        binding: Binding::parse("US").unwrap(),
        queue_mode: true,
        sms: Some("+336"),
        links: link::parse(links).unwrap(),
        attributes: vec![("x", "y=z"), ("Q", ""), ("flag", "")],
    };
    assert_eq!(registered(&message), expected);
    assert_eq!(expected.root(), Some("/lwm2m"));
}

#[test]
fn a_bare_register_is_lwm2m_1_0_over_udp_for_a_day() {
    let message = register(&["ep=a"]);
    let expected = Register {
        endpoint: "a",
        lifetime: 86_400,
        version: Version::V1_0,
        binding: Binding::default(),
        queue_mode: false,
        sms: None,
        links: vec![Link::new("/1/0"), Link::new("/3/0")],
        attributes: vec![],
    };
    assert_eq!(registered(&message), expected);
    assert_eq!((expected.root(), expected.binding.as_str()), (None, "U"));
}

#[test]
fn queue_mode_is_a_letter_in_1_0_and_a_parameter_in_1_1() {
    assert!(registered(&register(&["ep=a", "b=UQS"])).queue_mode);
    let stray = register(&["ep=a", "Q"]);
    assert!(!registered(&stray).queue_mode, "1.0 has no parameter Q");
    assert_eq!(registered(&stray).attributes, [("Q", "")]);
    assert!(registered(&register(&["ep=a", "lwm2m=1.1", "Q"])).queue_mode);
}

#[test]
fn bindings_are_those_of_the_devices_version() {
    for binding in ["U", "UQ", "S", "SQ", "US", "UQS"] {
        assert_eq!(
            registered(&register(&["ep=a", &format!("b={binding}")]))
                .binding
                .as_str(),
            binding
        );
    }
    for binding in ["U", "UT", "NSTHMU"] {
        let message = register(&["ep=a", "lwm2m=1.1", &format!("b={binding}")]);
        assert_eq!(registered(&message).binding.as_str(), binding);
    }
    assert_eq!(
        refusal(&register(&["ep=a", "b=T"])),
        (
            "4.00".to_owned(),
            "a binding of LwM2M 1.0 is one of U, UQ, S, SQ, US and UQS, found b=T".to_owned()
        )
    );
    for binding in ["UQ", "UU", "X", "", "u"] {
        let message = register(&["ep=a", "lwm2m=1.1", &format!("b={binding}")]);
        let text = format!(
            "a binding of LwM2M 1.1 is made of the letters U, M, H, T, S and N, each at most once, found b={binding}"
        );
        assert_eq!(refusal(&message), ("4.00".to_owned(), text));
    }
}

#[test]
fn an_unknown_version_is_a_failed_precondition() {
    for version in ["1.2", "2.0", "1", ""] {
        let text = format!("LwM2M versions 1.0 and 1.1 are supported, found lwm2m={version}");
        let message = register(&["ep=a", &format!("lwm2m={version}")]);
        assert_eq!(refusal(&message), ("4.12".to_owned(), text));
    }
}

#[test]
fn an_endpoint_needs_a_proper_name() {
    for query in [&[][..], &["ep"], &["ep="]] {
        let text = "a Register needs the device's name: ep=NAME".to_owned();
        assert_eq!(refusal(&register(query)), ("4.00".to_owned(), text));
    }
    let longest = format!("ep={}", "n".repeat(255));
    assert_eq!(registered(&register(&[&longest])).endpoint.len(), 255);
    let text = "an endpoint name has at most 255 bytes, found 256".to_owned();
    assert_eq!(
        refusal(&register(&[&format!("{longest}n")])),
        ("4.00".to_owned(), text)
    );
    let text = "an endpoint name has no control characters".to_owned();
    assert_eq!(refusal(&register(&["ep=a\nb"])), ("4.00".to_owned(), text));
}

#[test]
fn a_lifetime_is_a_positive_number_of_32_bits() {
    assert_eq!(registered(&register(&["ep=a", "lt=1"])).lifetime, 1);
    for lifetime in ["0", "-1", "4294967296", "+5", "1.5", "", "day"] {
        let text = format!("a lifetime is 1 to 4294967295 seconds, found lt={lifetime}");
        assert_eq!(
            refusal(&register(&["ep=a", &format!("lt={lifetime}")])),
            ("4.00".to_owned(), text)
        );
    }
}

#[test]
fn a_parameter_that_appears_twice_or_has_no_name_is_refused() {
    let text = "the query parameter x appears twice".to_owned();
    assert_eq!(
        refusal(&register(&["ep=a", "x=1", "x"])),
        ("4.00".to_owned(), text)
    );
    let text = "a query parameter has a name, like lt=60".to_owned();
    assert_eq!(refusal(&register(&["ep=a", "=1"])), ("4.00".to_owned(), text));
    let many: Vec<String> = (0..65).map(|n| format!("x{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let text = "a request has at most 64 query parameters".to_owned();
    assert_eq!(refusal(&register(&many)), ("4.00".to_owned(), text));
}

#[test]
fn the_list_of_objects_is_needed_and_in_link_format() {
    let (code, text) = refusal(&request(Code::POST, "/rd", &["ep=a"], ""));
    let expected = "a Register lists the device's objects in its payload, like </1/0>,</3/0>; found none";
    assert_eq!((&*code, &*text), ("4.00", expected));
    let (code, text) = refusal(&request(Code::POST, "/rd", &["ep=a"], "</1/0"));
    let expected = "link format, byte 5: expected `>` at the end of a link without white space";
    assert_eq!((&*code, &*text), ("4.00", expected));
    let mut message = register(&["ep=a"]);
    message.options.push_uint(option::CONTENT_FORMAT, 0);
    let (code, text) = refusal(&message);
    let expected = "the list of objects is sent in link format, content format 40";
    assert_eq!((&*code, &*text), ("4.15", expected));
    message = register(&["ep=a"]);
    message.payload = vec![0xff];
    assert_eq!(refusal(&message).0, "4.00");
}

#[test]
fn a_root_that_is_no_path_is_refused() {
    let links = r#"<coap://x>;rt="oma.lwm2m",</1/0>"#;
    let (code, text) = refusal(&request(Code::POST, "/rd", &["ep=a"], links));
    assert_eq!(refusal(&request(Code::POST, "/rd/x", &[], links)).0, code);
    assert_eq!(
        (&*code, &*text),
        (
            "4.00",
            "the link with rt=\"oma.lwm2m\" is a path of UTF-8 text that starts with a slash"
        )
    );
    let among_others = request(
        Code::POST,
        "/rd",
        &["ep=a"],
        r#"</r>;rt="core.s oma.lwm2m",</r/1/0>"#,
    );
    assert_eq!(registered(&among_others).root(), Some("/r"));
}

#[test]
fn an_update_says_only_what_changed_by_post_or_put() {
    for code in [Code::POST, Code::PUT] {
        let bare = request(code, "/rd/4fAb", &[], "");
        let nothing = Update {
            registration_id: "4fAb",
            lifetime: None,
            binding: None,
            sms: None,
            links: None,
            attributes: vec![],
        };
        assert_eq!(
            RegistrationRequest::parse(&bare).unwrap(),
            RegistrationRequest::Update(nothing)
        );
    }
    let full = request(
        Code::POST,
        "/rd/4fAb",
        &["lt=400", "b=UQ", "sms=1", "x=y"],
        "</3/0>",
    );
    let everything = Update {
        registration_id: "4fAb",
        lifetime: Some(400),
        binding: Binding::parse("UQ"),
        sms: Some("1"),
        links: Some(vec![Link::new("/3/0")]),
        attributes: vec![("x", "y")],
    };
    assert_eq!(
        RegistrationRequest::parse(&full).unwrap(),
        RegistrationRequest::Update(everything)
    );
    assert_eq!(refusal(&request(Code::POST, "/rd/4fAb", &["lt=0"], "")).0, "4.00");
    assert_eq!(refusal(&request(Code::POST, "/rd/4fAb", &["b=QU"], "")).0, "4.00");
}

#[test]
fn a_deregistration_names_the_registration() {
    let message = request(Code::DELETE, "/rd/4fAb", &[], "");
    let expected = RegistrationRequest::Deregister {
        registration_id: "4fAb",
    };
    assert_eq!(RegistrationRequest::parse(&message).unwrap(), expected);
}

#[test]
fn other_paths_are_not_found_and_other_methods_not_allowed() {
    for path in ["/", "/bs", "/rd/a/b"] {
        assert_eq!(
            refusal(&request(Code::POST, path, &["ep=a"], "</3>")).0,
            "4.04",
            "{path}"
        );
    }
    for (code, path) in [
        (Code::GET, "/rd"),
        (Code::PUT, "/rd"),
        (Code::DELETE, "/rd"),
        (Code::GET, "/rd/a"),
    ] {
        assert_eq!(
            refusal(&request(code, path, &["ep=a"], "</3>")).0,
            "4.05",
            "{code} {path}"
        );
    }
}

proptest! {
    #[test]
    fn random_requests_never_panic_and_keep_the_limits(
        code in any::<u8>(),
        path in proptest::collection::vec(prop_oneof![Just(b"rd".to_vec()), any::<Vec<u8>>()], 0..4),
        query in proptest::collection::vec(
            prop_oneof!["(ep|lt|b|lwm2m|Q|sms)=?[0-9UQ.a]{0,4}".prop_map(String::into_bytes), any::<Vec<u8>>()],
            0..8,
        ),
        payload in prop_oneof![Just(b"</3/0>".to_vec()), any::<Vec<u8>>()],
    ) {
        let mut message = Message::new(Kind::Confirmable, Code::from(code), 1, Token::EMPTY);
        message.options.push_each(option::URI_PATH, &path);
        message.options.push_each(option::URI_QUERY, &query);
        message.payload = payload;
        match RegistrationRequest::parse(&message) {
            Ok(RegistrationRequest::Register(register)) => {
                prop_assert!((1..=255).contains(&register.endpoint.len()));
                prop_assert!(register.lifetime > 0);
                prop_assert!(!register.links.is_empty());
            }
            Ok(_) => {}
            Err(error) => prop_assert!(error.code.class() == 4 && !error.message.is_empty()),
        }
    }
}

#[test]
fn a_root_means_what_its_escapes_stand_for_and_a_broken_escape_is_refused() {
    assert_eq!(
        lwm2m::link::decode_segment("a%20%2Fb%c3%bc"),
        Some("a /b\u{fc}".into())
    );
    for broken in ["%", "%f", "%zz", "%ff"] {
        assert_eq!(lwm2m::link::decode_segment(broken), None, "{broken}");
    }
    for text in [
        "</a%zz/1>,</3/0>",
        "</a%2>;rt=\"oma.lwm2m\",</3/0>",
        "</a%ff>;rt=\"oma.lwm2m\",</a%ff/3/0>",
    ] {
        for message in list_of_objects(text) {
            assert_eq!(refusal(&message).0, "4.00", "{text}");
        }
    }
}

#[test]
fn a_path_that_no_object_can_have_is_refused_and_a_link_to_something_else_is_not() {
    for text in [
        "</65536>",
        "</3/00>",
        "</3/0/1/2/3>",
        "</3/0>,</03/0>",
        "</r>;rt=\"oma.lwm2m\",</r/99999/0>",
    ] {
        for message in list_of_objects(text) {
            let (code, why) = refusal(&message);
            assert_eq!(code, "4.00", "{text}");
            assert!(why.contains("can't be the path of an object"), "{why}");
        }
    }
    for text in [
        "</3/0>,</sensors/65536>,</x>",
        "</r>;rt=\"oma.lwm2m\",</r/3/0>,</99999>",
        "</3/0>,<coap://a/1>",
    ] {
        for message in list_of_objects(text) {
            RegistrationRequest::parse(&message).unwrap();
        }
    }
}

#[test]
fn an_update_that_says_again_who_the_device_is_changes_nothing_by_it() {
    let message = request(Code::POST, "rd/x", &["ep=other", "lwm2m=7.0", "color=red"], "");
    let Ok(RegistrationRequest::Update(update)) = RegistrationRequest::parse(&message) else {
        panic!("an update");
    };
    assert_eq!(update.attributes, [("color", "red")]);
}

#[test]
fn who_asks_for_another_interface_is_told_that_it_is_not_served() {
    for (path, what) in [("dp", "/dp"), ("bs", "/bs")] {
        let (code, why) = refusal(&request(Code::POST, path, &[], ""));
        assert_eq!(code, "4.04");
        assert!(why.starts_with(what), "{why}");
    }
}

/// A Register and an Update with this list of objects: one rule holds for both.
fn list_of_objects(text: &str) -> [Message; 2] {
    [("rd", &["ep=dev"][..]), ("rd/x", &[])].map(|(path, query)| request(Code::POST, path, query, text))
}
