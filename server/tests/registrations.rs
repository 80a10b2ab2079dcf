//! Registrations: events, copies of messages, owners, lifetimes, and what a device is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::collections::BTreeMap;

use lwm2m::coap::{Code, Token, option};
use support::{World, device, request};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

fn revision(event: &str) -> u64 {
    let (_, rest) = event.rsplit_once("\"rev\":").unwrap();
    rest.trim_end_matches(|c: char| !c.is_ascii_digit())
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_registration_is_published_in_the_shape_of_the_wiki_page() {
    let mut world = World::new(1);
    let mut message = world.register_request("myDevice", "lt=30");
    message.options.push(option::URI_QUERY, b"x=y");
    world.datagram(A, device(1), &message);
    let id = world.registration_id(A, device(1));
    let events = world.events();
    assert_eq!((events.len(), events[0].0.as_str()), (1, "NEW"));
    let expected = format!(
        r#""address":"127.9.0.1","port":10001,"regAddr":"127.0.0.1","regPort":5001,"lt":30,"ver":"1.1","bnd":"U","ep":"myDevice","regId":"{id}","objLink":[{{"url":"/1/0","at":{{}}}},{{"url":"/3/0","at":{{}}}}],"addAttr":{{"x":"y"}},"root":"/","lastUp":"#
    );
    assert!(events[0].1.contains(&expected), "{}", events[0].1);
    assert!(events[0].1.ends_with(r#","rev":1}"#));
}

#[test]
fn an_update_through_another_instance_moves_the_device_there() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    world.events();
    let mid = world.next_mid();
    world.datagram(B, device(2), &request(Code::POST, mid, &format!("/rd/{id}")));
    assert_eq!(world.sent()[0].message.code, Code::CHANGED);
    let events = world.events();
    assert_eq!(events[0].0, "UP");
    assert!(events[0].1.starts_with(&format!(
        r#"{{"regUpdate":{{"regId":"{id}","address":"127.9.0.1","port":10002}},"regUpdated":{{"regDate":"#
    )));
    assert!(events[0].1.contains(r#""regPort":5002"#));
    world.read("dev", "t1");
    let request = world.one_request();
    assert_eq!((request.node, request.to), (B, device(2)));
}

#[test]
fn an_update_replaces_what_the_device_sent_and_keeps_the_rest() {
    let mut world = World::new(1);
    let mut message = world.register_request("dev", "lt=30");
    message
        .options
        .push(option::URI_QUERY, "n=\u{fc},\"lt\":1".as_bytes());
    world.datagram(A, device(1), &message);
    let id = world.registration_id(A, device(1));
    world.events();
    let mut update = |queries: &[&str], links: &str| {
        let mid = world.next_mid();
        let mut message = request(Code::POST, mid, &format!("/rd/{id}"));
        for query in queries {
            message.options.push(option::URI_QUERY, query.as_bytes());
        }
        if !links.is_empty() {
            message.options.push(option::CONTENT_FORMAT, &[40]);
            message.payload = links.into();
        }
        world.datagram(A, device(1), &message);
        assert_eq!(world.sent()[0].message.code, Code::CHANGED);
        let events = world.events();
        let (_, sent) = events[0].1.split_once(r#""port":10001"#).unwrap();
        let (sent, rest) = sent.split_once(r#"},"regUpdated":"#).unwrap();
        let (_, rest) = rest.split_once(r#""regPort":5001,"#).unwrap();
        let (pieces, _) = rest.split_once(r#","lastUp":"#).unwrap();
        (sent.to_owned(), pieces.to_owned())
    };

    let sent = r#""lt":1234,"sms":"+49","objLink":[{"url":"/r","at":{"rt":"oma.lwm2m"}},{"url":"/r/5/0","at":{}}],"addAttr":{"m":"2"}"#;
    assert_eq!(
        update(&["lt=1234", "sms=+49", "m=2"], r#"</r>;rt="oma.lwm2m",</r/5/0>"#),
        (
            format!(",{sent}"),
            format!(
                r#""lt":1234,"sms":"+49","ver":"1.1","bnd":"U","ep":"dev","regId":"{id}","objLink":[{{"url":"/r","at":{{"rt":"oma.lwm2m"}}}},{{"url":"/r/5/0","at":{{}}}}],"addAttr":{{"n":"ü,\"lt\":1","m":"2"}},"root":"/r/""#
            )
        )
    );
    let kept = format!(
        r#""lt":1234,"sms":"+4","ver":"1.1","bnd":"UT","ep":"dev","regId":"{id}","objLink":[{{"url":"/r","at":{{"rt":"oma.lwm2m"}}}},{{"url":"/r/5/0","at":{{}}}}],"addAttr":{{"n":"ü,\"lt\":1","m":"2"}},"root":"/r/""#
    );
    assert_eq!(
        update(&["b=UT", "sms=+4"], ""),
        (r#","sms":"+4","bnd":"UT""#.to_owned(), kept.clone())
    );
    assert_eq!(update(&[], ""), (String::new(), kept));
    // What a read goes to is below the new root.
    world.read("dev", "t1");
    let request = world.one_request().message;
    let path: Vec<_> = request.options.all(option::URI_PATH).collect();
    assert_eq!(path.concat(), *b"r301");
}

#[test]
fn an_update_adds_and_changes_parameters_of_the_devices_own_and_forgets_none() {
    let mut world = World::new(1);
    let mut message = world.register_request("dev", "foo=bar");
    for query in ["n\"\\{},:=\\", "Q", "m=1"] {
        message.options.push(option::URI_QUERY, query.as_bytes());
    }
    world.datagram(A, device(1), &message);
    let id = world.registration_id(A, device(1));
    world.events();
    let mut update = |queries: &[String]| {
        let mid = world.next_mid();
        let mut message = request(Code::POST, mid, &format!("/rd/{id}"));
        let queries = queries.iter();
        queries.for_each(|query| message.options.push(option::URI_QUERY, query.as_bytes()));
        world.datagram(A, device(1), &message);
        let code = world.sent()[0].message.code;
        let shown = world.events().pop().map(|(_, event)| {
            let (sent, whole) = event.split_once("regUpdated").unwrap();
            let attributes = |text: &str| {
                let (_, rest) = text.split_once(r#""addAttr":{"#)?;
                Some(rest.split_once(r#""}"#)?.0.to_owned() + "\"")
            };
            (attributes(sent), attributes(whole).unwrap())
        });
        (code, shown)
    };
    let whole = r#""foo":"bar","n\"\\{},:":"\\","Q":"","m":"1""#;
    let (code, shown) = update(&["color=red".to_owned(), "m=2".to_owned()]);
    let merged = whole.replace(r#""m":"1""#, r#""m":"2","color":"red""#);
    assert_eq!(
        (code, shown),
        (
            Code::CHANGED,
            Some((Some(r#""color":"red","m":"2""#.to_owned()), merged.clone()))
        )
    );
    assert_eq!(update(&["lt=60".to_owned()]).1, Some((None, merged.clone())));
    // There is an end to it, which the device is told; and what was known stays.
    let many: Vec<String> = (0..60).map(|n| format!("k{n}=v")).collect();
    assert_eq!(update(&many), (Code::BAD_REQUEST, None));
    assert_eq!(update(&[]).1, Some((None, merged)));
}

#[test]
fn a_binding_that_the_devices_version_does_not_have_is_refused_in_an_update_as_in_a_register() {
    let mut world = World::new(1);
    for (version, good, bad) in [("1.0", "UQ", "UT"), ("1.1", "UT", "UQ")] {
        let mut register = |query: &str| {
            let mid = world.next_mid();
            let mut message = request(Code::POST, mid, "/rd");
            let queries = ["ep=dev", &format!("lwm2m={version}"), query];
            message.options.push_each(option::URI_QUERY, queries);
            message.payload = b"</3/0>".to_vec();
            world.datagram(A, device(1), &message);
            world.sent().remove(0).message
        };
        assert_eq!(register(&format!("b={bad}")).code, Code::BAD_REQUEST);
        let registered = register(&format!("b={good}"));
        let id = registered
            .options
            .all(option::LOCATION_PATH)
            .nth(1)
            .unwrap()
            .to_vec();
        let id = String::from_utf8(id).unwrap();
        world.events();
        for (binding, code) in [
            (bad, Code::BAD_REQUEST),
            (good, Code::CHANGED),
            ("U", Code::CHANGED),
        ] {
            let mid = world.next_mid();
            let mut message = request(Code::POST, mid, &format!("/rd/{id}"));
            message
                .options
                .push(option::URI_QUERY, format!("b={binding}").as_bytes());
            world.datagram(A, device(1), &message);
            assert_eq!(world.sent().remove(0).message.code, code, "{version} {binding}");
            assert_eq!(world.events().len(), usize::from(code == Code::CHANGED));
        }
    }
}

#[test]
fn an_update_from_a_new_address_is_counted() {
    let mut world = World::new(1);
    let id = world.register(A, "dev", device(1));
    for (from, moved) in [(1, 0), (2, 1), (2, 1), (1, 2)] {
        let mid = world.next_mid();
        world.datagram(A, device(from), &request(Code::POST, mid, &format!("/rd/{id}")));
        assert_eq!(world.sent().remove(0).message.code, Code::CHANGED);
        assert_eq!(world.instance(A).statistics().moved, moved);
    }
}

#[test]
fn a_stranger_who_knows_the_location_does_not_end_a_registration() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    world.events();
    for n in [A, B] {
        let stranger = request(Code::DELETE, 70, &format!("/rd/{id}"));
        world.datagram(n, device(2), &stranger);
        assert_eq!(world.sent()[0].message.code, Code::UNAUTHORIZED);
        assert_eq!(world.instance(n).statistics().strangers_refused, 1);
    }
    assert_eq!(world.events(), []);
    // An Update may come from a new address, and from then on that is the device's.
    let mid = world.next_mid();
    world.datagram(B, device(2), &request(Code::POST, mid, &format!("/rd/{id}")));
    assert_eq!(world.sent()[0].message.code, Code::CHANGED);
    world.datagram(A, device(2), &request(Code::DELETE, 71, &format!("/rd/{id}")));
    assert_eq!(world.sent()[0].message.code, Code::DELETED);
}

#[test]
fn a_copy_of_a_register_gets_the_same_answer_from_whichever_instance_and_changes_nothing() {
    let mut world = World::new(3);
    let message = world.register_request("dev", "lt=600");
    world.datagram(A, device(1), &message);
    let id = world.registration_id(A, device(1));
    world.events();
    world.kill(A);
    world.datagram(B, device(1), &message);
    assert_eq!(world.registration_id(B, device(1)), id);
    assert_eq!(world.events(), []);
    // So it stays as long as what the device sent again, up to MAX_TRANSMIT_SPAN later, can have been under way.
    world.advance(290_000);
    world.datagram(B, device(1), &message);
    assert_eq!(world.registration_id(B, device(1)), id);
    assert_eq!(world.events(), []);
    // After that the message ID has been used again: it is a new Register.
    world.advance(3_000);
    world.datagram(C, device(1), &message);
    assert_ne!(world.registration_id(C, device(1)), id);
    let events = world.events();
    assert_eq!(
        events
            .iter()
            .map(|(channel, _)| channel.as_str())
            .collect::<Vec<_>>(),
        ["DEL", "NEW"]
    );
    assert!(events[0].1.ends_with(r#""rev":2,"reason":"replaced"}"#));
    assert_eq!(revision(&events[1].1), 3);
}

#[test]
fn a_device_that_rebooted_and_begins_with_the_same_message_id_is_registered_anew() {
    let mut world = World::new(2);
    let mut message = world.register_request("dev", "lt=600");
    world.datagram(A, device(1), &message);
    let first = world.registration_id(A, device(1));
    world.advance(20_000);
    for (n, token) in [(A, [1]), (B, [2])] {
        message.token = Token::try_from(&token[..]).unwrap();
        world.events();
        world.datagram(n, device(1), &message);
        assert_ne!(world.registration_id(n, device(1)), first);
        let kinds: Vec<String> = world.events().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["DEL", "NEW"]);
    }
}

#[test]
fn a_late_copy_of_a_register_is_known_however_often_the_device_registered_since() {
    let mut world = World::new(1);
    let first = world.register_request("dev", "lt=600");
    world.datagram(A, device(1), &first);
    let id = world.registration_id(A, device(1));
    for _ in 0..5 {
        world.register(A, "dev", device(1));
    }
    world.advance(200_000);
    world.events();
    world.datagram(A, device(1), &first);
    assert_eq!(world.registration_id(A, device(1)), id);
    assert_eq!(world.events(), []);
}

#[test]
fn a_copy_of_an_update_is_answered_and_published_once() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    let update = request(Code::POST, 77, &format!("/rd/{id}"));
    world.datagram(A, device(1), &update);
    world.events();
    world.sent();
    world.datagram(B, device(1), &update);
    assert_eq!(world.sent()[0].message.code, Code::CHANGED);
    assert_eq!(world.events(), []);
}

#[test]
fn an_old_registration_id_is_not_found_after_a_new_register() {
    let mut world = World::new(1);
    let old = world.register(A, "dev", device(1));
    world.register(A, "dev", device(1));
    for code in [Code::POST, Code::PUT, Code::DELETE] {
        let mid = world.next_mid();
        world.datagram(A, device(1), &request(code, mid, &format!("/rd/{old}")));
        assert_eq!(world.sent()[0].message.code, Code::NOT_FOUND);
    }
}

#[test]
fn a_de_registration_is_published_and_its_copy_gets_the_same_answer() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    world.events();
    let message = request(Code::DELETE, 99, &format!("/rd/{id}"));
    for (node, events) in [(A, 1), (B, 0)] {
        world.datagram(node, device(1), &message);
        assert_eq!(world.sent()[0].message.code, Code::DELETED);
        let heard = world.events();
        assert_eq!(heard.len(), events);
        assert!(
            heard
                .iter()
                .all(|(_, text)| text.ends_with(r#""rev":2,"reason":"deregistered"}"#))
        );
    }
    // The tombstone goes on counting.
    world.register(A, "dev", device(1));
    assert_eq!(revision(&world.events()[0].1), 3);
}

#[test]
fn a_registration_expires_when_its_lifetime_is_over_and_not_before() {
    let mut world = World::new(3);
    let message = world.register_request("dev", "lt=20");
    world.datagram(A, device(1), &message);
    let id = world.registration_id(A, device(1));
    world.advance(15_000);
    let mid = world.next_mid();
    world.datagram(B, device(1), &request(Code::POST, mid, &format!("/rd/{id}")));
    world.events();
    world.advance(19_500);
    assert_eq!(world.events(), []);
    world.advance(2000);
    let events = world.events();
    assert_eq!((events.len(), events[0].0.as_str()), (1, "DEL"));
    assert!(events[0].1.ends_with(r#","reason":"expired"}"#));
    world.read("dev", "t1");
    assert!(world.answers()[0].contains("UNKNOWN_ENDPOINT"));
}

#[test]
fn a_short_lifetime_among_long_ones_is_over_in_time_whoever_stored_it() {
    let mut world = World::new(3);
    let endpoint = |n: u16| format!("dev-{n}");
    // Long lifetimes in all partitions, and time enough for their stewards to know that nothing is to be done.
    for n in 0..600 {
        let message = world.register_request(&endpoint(n), "lt=86400");
        world.datagram(A, device(n), &message);
    }
    world.advance(40_000);
    world.events();
    world.sent();
    // With three stewards and a receiver that is one of them, both ways of the word are taken.
    for n in 600..630 {
        let message = world.register_request(&endpoint(n), "lt=4");
        world.datagram(B, device(n), &message);
    }
    world.events();
    world.advance(3900);
    assert_eq!(world.events(), []);
    world.advance(1200);
    let expired = world.events();
    assert_eq!(expired.len(), 30);
    assert!(
        expired
            .iter()
            .all(|(_, event)| event.ends_with(r#","reason":"expired"}"#))
    );
    world.sent();
    // The same for an Update that makes a lifetime shorter.
    let id = world.register(A, "changing", device(700));
    world.advance(40_000);
    let mid = world.next_mid();
    let mut update = request(Code::POST, mid, &format!("/rd/{id}"));
    update.options.push(option::URI_QUERY, b"lt=6");
    world.datagram(B, device(700), &update);
    world.events();
    world.advance(5900);
    assert_eq!(world.events(), []);
    world.advance(1200);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn partitions_in_which_nothing_waits_are_left_in_peace() {
    let mut world = World::new(3);
    world.register(A, "dev", device(1));
    world.advance(40_000);
    world.trace_scripts();
    world.advance(60_000);
    let calls: BTreeMap<String, usize> = world
        .trace()
        .into_iter()
        .filter(|(_, count, ..)| *count == 1)
        .fold(BTreeMap::new(), |mut calls, (script, ..)| {
            *calls.entry(script).or_default() += 1;
            calls
        });
    // Two looks a minute at each of 256 partitions, and four heartbeats a second of each member.
    assert_eq!(calls["Sweep"], 512);
    assert_eq!(calls["Expire"], 512);
    assert_eq!(calls["Renew"], 720);
    assert_eq!(calls.len(), 3, "{calls:?}");
}

#[test]
fn the_longest_lifetime_is_kept() {
    let mut world = World::new(1);
    let message = world.register_request("dev", "lt=4294967295");
    world.datagram(A, device(1), &message);
    world.registration_id(A, device(1));
    assert!(world.events()[0].1.contains(r#""lt":4294967295,"#));
    world.advance(200_000);
    world.read("dev", "t1");
    assert!(world.answers()[0].contains(r#""ack":true"#));
}

#[test]
fn what_a_device_does_wrong_it_is_told() {
    let mut world = World::new(1);
    for (parameter, code) in [
        ("lt=0", Code::BAD_REQUEST),
        ("b=XYZ", Code::BAD_REQUEST),
        ("ep=again", Code::BAD_REQUEST),
    ] {
        let message = world.register_request("dev", parameter);
        world.datagram(A, device(1), &message);
        assert_eq!(world.sent()[0].message.code, code, "{parameter}");
    }
    let mut message = request(Code::POST, 500, "/rd");
    message.options.push(option::URI_QUERY, b"ep=dev");
    message.options.push(option::URI_QUERY, b"lwm2m=9.9");
    message.payload = b"</3/0>".to_vec();
    world.datagram(A, device(1), &message);
    assert_eq!(world.sent()[0].message.code, Code::PRECONDITION_FAILED);
    world.datagram(A, device(1), &request(Code::POST, 501, "/rd/nonsense"));
    assert_eq!(world.sent()[0].message.code, Code::NOT_FOUND);
    assert_eq!(world.events(), []);
}

#[test]
fn without_the_broker_devices_are_told_5_03_and_all_goes_on_when_it_is_back() {
    let mut world = World::new(2);
    let id = world.register(A, "dev", device(1));
    world.broker_down();
    let mid = world.next_mid();
    for wait in [0, 10_000] {
        world.advance(wait);
        world.datagram(B, device(1), &request(Code::POST, mid, &format!("/rd/{id}")));
        let answer = world.sent().pop().unwrap();
        assert_eq!(answer.message.code, Code::SERVICE_UNAVAILABLE);
    }
    world.broker_up();
    world.advance(1000);
    world.events();
    world.datagram(B, device(1), &request(Code::POST, mid, &format!("/rd/{id}")));
    assert_eq!(world.sent().pop().unwrap().message.code, Code::CHANGED);
    world.read("dev", "t1");
    assert!(world.answers()[0].contains(r#""ack":true"#));
    assert_eq!(
        (world.ready(A), world.ready(B)),
        (
            &["A#1".to_owned(), "A#2".to_owned()][..],
            &["B#1".to_owned(), "B#2".to_owned()][..]
        )
    );
}

#[test]
fn a_request_that_waits_for_the_store_is_not_answered_with_success_before_it_is_stored() {
    let mut world = World::new(1);
    world.pause(A);
    let message = world.register_request("dev", "lt=600");
    world.datagram(A, device(1), &message);
    world.advance(5000);
    world.resume(A);
    // It slept through its lease: the Register of before is old mail.
    assert_eq!((world.sent().len(), world.events().len()), (0, 0));
    world.datagram(A, device(1), &message);
    world.registration_id(A, device(1));
}
