//! Read, Discover, Write, Execute: what a device answers, and what its ledger says.

use lwm2m::format::{self, ContentFormat};
use lwm2m::node::{Instance, Node, Resource};
use lwm2m::path::Path;
use lwm2m::value::Value;

use super::*;

/// A request to device 0, and its parts that matter here.
#[derive(Default)]
struct Request<'a> {
    accept: Option<u32>,
    content_format: Option<u32>,
    payload: &'a [u8],
}

fn request(message_id: u16, code: Code, path: &str, parts: &Request<'_>) -> Message {
    let token = Token::try_from(&[0xab, 0xcd][..]).unwrap();
    let mut message = Message::new(Kind::Confirmable, code, message_id, token);
    message.options.push_uri_path(path);
    parts
        .content_format
        .iter()
        .for_each(|number| message.options.push_uint(option::CONTENT_FORMAT, *number));
    parts
        .accept
        .iter()
        .for_each(|number| message.options.push_uint(option::ACCEPT, *number));
    Message {
        payload: parts.payload.to_vec(),
        ..message
    }
}

/// Sends one request to a device that was registered; returns code, content format and payload of the answer.
fn ask_of(
    fleet: &mut Fleet,
    id: u16,
    code: Code,
    path: &str,
    parts: Request<'_>,
) -> (Code, Option<u32>, Vec<u8>) {
    deliver(fleet, secs(10), &request(id, code, path, &parts));
    let response = one_sent(fleet);
    assert_eq!((response.kind, response.message_id), (Kind::Acknowledgement, id));
    (
        response.code,
        response.options.get_uint(option::CONTENT_FORMAT),
        response.payload,
    )
}

fn ask(code: Code, path: &str, parts: Request<'_>) -> (Code, Option<u32>, Vec<u8>) {
    ask_of(&mut registered(config()), 1, code, path, parts)
}

fn get(path: &str) -> (Code, Option<u32>, Vec<u8>) {
    ask(Code::GET, path, Request::default())
}

fn text(payload: &[u8]) -> Request<'_> {
    Request {
        content_format: Some(0),
        payload,
        ..Request::default()
    }
}

fn accepting(number: u32) -> Request<'static> {
    Request {
        accept: Some(number),
        ..Request::default()
    }
}

fn refused(code: Code) -> (Code, Option<u32>, Vec<u8>) {
    (code, None, Vec::new())
}

#[test]
fn single_resources_are_read_as_text_unless_something_else_is_accepted() {
    assert_eq!(
        get("3/0/1"),
        (Code::CONTENT, Some(0), b"Lightweight M2M Client".to_vec())
    );
    assert_eq!(get("3/0/2"), (Code::CONTENT, Some(0), b"dev-0".to_vec()));
    assert_eq!(get("1/0/1"), (Code::CONTENT, Some(0), b"60".to_vec()));
    assert_eq!(get("1/0/6"), (Code::CONTENT, Some(0), b"0".to_vec()));
    assert_eq!(get("3/0/13"), (Code::CONTENT, Some(0), b"1700000010".to_vec()));
    assert_eq!(get("3303/0/5700"), (Code::CONTENT, Some(0), b"15.1".to_vec()));
    assert_eq!(get("3/0/6/1"), (Code::CONTENT, Some(0), b"5".to_vec()));
    let tlv = ask(Code::GET, "3/0/9", accepting(11542));
    assert_eq!(tlv, (Code::CONTENT, Some(11542), vec![0xc1, 9, 100]));
}

#[test]
fn a_read_answer_is_these_bytes() {
    let mut fleet = registered(config());
    deliver(
        &mut fleet,
        secs(10),
        &request(0x1234, Code::GET, "3/0/9", &Request::default()),
    );
    let (_, datagram) = fleet.poll_transmit().unwrap();
    assert_eq!(datagram, b"\x62\x45\x12\x34\xab\xcd\xc0\xff100");
}

#[test]
fn instances_objects_and_multiple_resources_are_read_as_tlv() {
    let (code, number, payload) = get("3/0");
    assert_eq!((code, number), (Code::CONTENT, Some(11542)));
    let Node::Instance(instance) =
        format::decode(ContentFormat::Tlv, &Path::instance(3, 0), &payload).unwrap()
    else {
        panic!("an instance was asked for");
    };
    let serial = Resource::Single {
        id: 2,
        value: Value::String("dev-0".to_owned()),
    };
    assert_eq!(instance.resources.get(&2), Some(&serial));
    assert!(
        !instance.resources.contains_key(&4),
        "an executable resource has no value"
    );
    let (_, number, payload) = get("3");
    let Node::Object(object) = format::decode(ContentFormat::Tlv, &Path::object(3), &payload).unwrap() else {
        panic!("an object was asked for");
    };
    assert_eq!((number, object.instances.get(&0)), (Some(11542), Some(&instance)));
    assert_eq!(
        get("3/0/11"),
        (Code::CONTENT, Some(11542), vec![0x83, 11, 0x41, 0, 0])
    );
}

#[test]
fn what_cannot_be_accepted_is_4_06() {
    assert_eq!(ask(Code::GET, "3/0", accepting(0)), refused(Code::NOT_ACCEPTABLE));
    assert_eq!(
        ask(Code::GET, "3/0/11", accepting(0)),
        refused(Code::NOT_ACCEPTABLE)
    );
    assert_eq!(
        ask(Code::GET, "3/0/1", accepting(112)),
        refused(Code::NOT_ACCEPTABLE)
    );
    assert_eq!(
        ask(Code::GET, "3/0/1", accepting(1541)),
        refused(Code::NOT_ACCEPTABLE)
    );
}

#[test]
fn what_is_not_there_is_4_04_and_what_is_not_allowed_4_05_or_4_01() {
    for path in [
        "4/0/0",
        "3/1",
        "3/1/0",
        "3/0/99",
        "3/0/6/7",
        "3/0/1/0",
        "x/y",
        "3/0/1/2/3",
        "",
        "bs",
    ] {
        assert_eq!(get(path), refused(Code::NOT_FOUND), "{path}");
    }
    assert_eq!(get("3/0/4"), refused(Code::METHOD_NOT_ALLOWED));
    for path in ["0", "0/0", "0/0/5"] {
        assert_eq!(get(path), refused(Code::UNAUTHORIZED), "{path}");
    }
    assert_eq!(
        ask(Code::DELETE, "3/0", Request::default()),
        refused(Code::METHOD_NOT_ALLOWED)
    );
    assert_eq!(
        ask(Code::POST, "3", Request::default()),
        refused(Code::METHOD_NOT_ALLOWED)
    );
    assert_eq!(
        ask(Code::FETCH, "3", Request::default()),
        refused(Code::METHOD_NOT_ALLOWED)
    );
    assert_eq!(
        ask(Code::new(0, 31), "3", Request::default()),
        refused(Code::METHOD_NOT_ALLOWED)
    );
}

#[test]
fn discover_lists_what_is_there() {
    let (code, number, payload) = ask(Code::GET, "3303/0", accepting(40));
    assert_eq!((code, number), (Code::CONTENT, Some(40)));
    let expected = "</3303/0>,</3303/0/5601>,</3303/0/5602>,</3303/0/5603>,</3303/0/5604>,</3303/0/5605>,\
                    </3303/0/5700>,</3303/0/5701>,</3303/0/5750>";
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
    assert_eq!(ask(Code::GET, "3/0/6", accepting(40)).2, b"</3/0/6>;dim=2");
    assert!(
        ask(Code::GET, "1", accepting(40))
            .2
            .starts_with(b"</1>,</1/0>,</1/0/0>")
    );
}

#[test]
fn a_written_resource_is_read_back_and_others_are_not_touched() {
    let mut fleet = registered(config());
    let written = ask_of(&mut fleet, 1, Code::PUT, "3/0/15", text(b"Europe/Vienna"));
    assert_eq!(written, refused(Code::CHANGED));
    let read = ask_of(&mut fleet, 2, Code::GET, "3/0/15", Request::default());
    assert_eq!(read, (Code::CONTENT, Some(0), b"Europe/Vienna".to_vec()));
    let read = ask_of(&mut fleet, 3, Code::GET, "3/0/14", Request::default());
    assert_eq!(read, (Code::CONTENT, Some(0), b"+00:00".to_vec()));
}

#[test]
fn a_clock_goes_on_from_what_was_written() {
    let mut fleet = registered(config());
    assert_eq!(
        ask_of(&mut fleet, 1, Code::PUT, "3/0/13", text(b"1000")),
        refused(Code::CHANGED)
    );
    deliver(
        &mut fleet,
        secs(25),
        &request(2, Code::GET, "3/0/13", &Request::default()),
    );
    assert_eq!(one_sent(&mut fleet).payload, b"1015");
}

fn tlv_of(resources: Vec<Resource>) -> Vec<u8> {
    let node = Node::Instance(Instance::new(0, resources));
    format::encode(ContentFormat::Tlv, &Path::instance(3, 0), &node).unwrap()
}

fn string(id: u16, text: &str) -> Resource {
    Resource::Single {
        id,
        value: Value::String(text.to_owned()),
    }
}

#[test]
fn an_instance_is_updated_by_post_and_replaced_by_put() {
    let mut fleet = registered(config());
    let both = tlv_of(vec![string(14, "+01:00"), string(15, "A")]);
    let one = tlv_of(vec![string(15, "B")]);
    let tlv = |payload| Request {
        content_format: Some(11542),
        payload,
        ..Request::default()
    };
    let offset = |fleet: &mut Fleet, id| ask_of(fleet, id, Code::GET, "3/0/14", Request::default()).2;
    assert_eq!(
        ask_of(&mut fleet, 1, Code::POST, "3/0", tlv(&both)),
        refused(Code::CHANGED)
    );
    assert_eq!(
        ask_of(&mut fleet, 2, Code::POST, "3/0", tlv(&one)),
        refused(Code::CHANGED)
    );
    assert_eq!(offset(&mut fleet, 3), b"+01:00");
    assert_eq!(
        ask_of(&mut fleet, 4, Code::PUT, "3/0", tlv(&one)),
        refused(Code::CHANGED)
    );
    assert_eq!(offset(&mut fleet, 5), b"+00:00");
}

#[test]
fn a_write_that_is_wrong_in_one_part_changes_nothing() {
    let mut fleet = registered(config());
    let payload = tlv_of(vec![string(2, "forged"), string(15, "A")]);
    let parts = Request {
        content_format: Some(11542),
        payload: &payload,
        ..Request::default()
    };
    assert_eq!(
        ask_of(&mut fleet, 1, Code::POST, "3/0", parts),
        refused(Code::METHOD_NOT_ALLOWED)
    );
    assert_eq!(
        ask_of(&mut fleet, 2, Code::GET, "3/0/15", Request::default()).2,
        b"Etc/UTC"
    );
}

#[test]
fn wrong_writes_are_refused_by_what_is_wrong_with_them() {
    let put = |path, content_format, payload| {
        ask(
            Code::PUT,
            path,
            Request {
                content_format,
                payload,
                ..Request::default()
            },
        )
        .0
    };
    assert_eq!(put("3/0/0", Some(0), b"x"), Code::METHOD_NOT_ALLOWED);
    assert_eq!(put("3/0/4", Some(0), b"x"), Code::METHOD_NOT_ALLOWED);
    assert_eq!(put("3", Some(11542), b""), Code::METHOD_NOT_ALLOWED);
    assert_eq!(put("3/0/99", Some(0), b"x"), Code::NOT_FOUND);
    assert_eq!(put("1/0/1", Some(0), b"soon"), Code::BAD_REQUEST);
    assert_eq!(put("1/0/1", Some(0), b"0"), Code::BAD_REQUEST);
    assert_eq!(put("1/0/1", Some(0), b"4294967296"), Code::BAD_REQUEST);
    assert_eq!(put("3/0", Some(11542), b"\xff"), Code::BAD_REQUEST);
    assert_eq!(put("3/0/15", Some(110), b"[]"), Code::UNSUPPORTED_CONTENT_FORMAT);
    assert_eq!(put("3/0/15", Some(7), b"x"), Code::UNSUPPORTED_CONTENT_FORMAT);
    assert_eq!(
        put("3/0/15", Some(0), &[b'x'; 256]),
        Code::REQUEST_ENTITY_TOO_LARGE
    );
    assert_eq!(put("3/0/15", None, b"x"), Code::CHANGED);
    let mut attributes = request(1, Code::PUT, "3/0/9", &Request::default());
    attributes.options.push(option::URI_QUERY, b"pmin=10");
    let mut fleet = registered(config());
    deliver(&mut fleet, secs(1), &attributes);
    assert_eq!(one_sent(&mut fleet).code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn execute_takes_a_text_argument_and_only_executables() {
    let post = |path, content_format, payload| {
        ask(
            Code::POST,
            path,
            Request {
                content_format,
                payload,
                ..Request::default()
            },
        )
    };
    assert_eq!(post("3/0/4", None, b""), refused(Code::CHANGED));
    assert_eq!(post("3303/0/5605", Some(0), b"0='t'"), refused(Code::CHANGED));
    assert_eq!(
        post("3/0/4", Some(11542), b"x"),
        refused(Code::UNSUPPORTED_CONTENT_FORMAT)
    );
    assert_eq!(post("3/0/4", Some(0), b"\xff"), refused(Code::BAD_REQUEST));
    assert_eq!(post("3/0/1", Some(0), b""), refused(Code::METHOD_NOT_ALLOWED));
    assert_eq!(post("3/0/6/0", Some(0), b"1"), refused(Code::METHOD_NOT_ALLOWED));
}

#[test]
fn a_trigger_makes_the_device_update() {
    let mut fleet = registered(config());
    assert_eq!(
        ask_of(&mut fleet, 1, Code::POST, "1/0/8", Request::default()).0,
        Code::CHANGED
    );
    assert_eq!(fleet.next_deadline(), Some(secs(10)));
    fleet.handle_timeout(secs(10));
    assert_eq!(path(&one_sent(&mut fleet)), "rd/00a");
}

#[test]
fn the_ledger_has_one_entry_per_execution_and_none_for_a_copy() {
    let mut fleet = registered(config());
    let message = request(9, Code::POST, "3/0/4", &text(b"0='ticket-1'"));
    deliver(&mut fleet, secs(10), &message);
    let first = one_sent(&mut fleet);
    deliver(&mut fleet, secs(200), &message);
    assert_eq!(one_sent(&mut fleet), first, "a copy gets the same answer");
    let executed = Event::DeviceExecuted {
        ep: "dev-0".to_owned(),
        kind: Method::Execute,
        path: "/3/0/4".to_owned(),
        message_id: 9,
        token: "abcd".to_owned(),
        argument: Some("0='ticket-1'".to_owned()),
        code: CoapCode(Code::CHANGED),
        value: None,
        values: None,
        nonsense: false,
        from: None,
    };
    assert_eq!(events(&mut fleet), [executed]);
}

#[test]
fn the_ledger_tells_what_was_read_and_written() {
    let mut fleet = registered(config());
    ask_of(&mut fleet, 1, Code::GET, "3/0/2", Request::default());
    ask_of(&mut fleet, 2, Code::PUT, "3/0/15", text(b"ticket-2"));
    let payload = tlv_of(vec![string(15, "ticket-3")]);
    let tlv = Request {
        content_format: Some(11542),
        payload: &payload,
        ..Request::default()
    };
    ask_of(&mut fleet, 3, Code::POST, "3/0", tlv);
    ask_of(&mut fleet, 4, Code::GET, "3/0/99", Request::default());
    let entries: Vec<_> = events(&mut fleet)
        .into_iter()
        .map(|event| match event {
            Event::DeviceExecuted {
                kind,
                path,
                argument,
                code,
                value,
                ..
            } => (kind, path, argument, code, value),
            other => panic!("expected an execution, found {other:?}"),
        })
        .collect();
    let entry = |kind, path: &str, argument: Option<&str>, code, value: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        (
            kind,
            path.to_owned(),
            owned(argument),
            CoapCode(code),
            owned(value),
        )
    };
    assert_eq!(
        entries,
        [
            entry(Method::Read, "/3/0/2", None, Code::CONTENT, Some("dev-0")),
            entry(Method::Write, "/3/0/15", Some("ticket-2"), Code::CHANGED, None),
            entry(Method::Write, "/3/0", Some("ticket-3"), Code::CHANGED, None),
            entry(Method::Read, "/3/0/99", None, Code::NOT_FOUND, None),
        ]
    );
}

#[test]
fn the_ledger_tells_each_value_of_what_has_several() {
    let values = |path: &str| {
        let mut fleet = registered(config());
        ask_of(&mut fleet, 1, Code::GET, path, Request::default());
        match events(&mut fleet).pop() {
            Some(Event::DeviceExecuted {
                value: None,
                values: Some(values),
                ..
            }) => values,
            other => panic!("expected a read of several values, found {other:?}"),
        }
    };
    assert_eq!(
        values("3/0/6"),
        [("0", "1"), ("1", "5")]
            .map(|(id, text)| (id.to_owned(), text.to_owned()))
            .into()
    );
    let instance = values("3/0");
    assert_eq!((instance["2"].as_str(), instance["6/1"].as_str()), ("dev-0", "5"));
    assert_eq!(values("3")["0/6/1"], "5");
}

#[test]
fn a_device_that_answers_separately_acknowledges_first() {
    let mut fleet = registered(of(DeviceGroup {
        separate: 1.0,
        ..DeviceGroup::default()
    }));
    let message = request(9, Code::GET, "3/0/9", &Request::default());
    deliver(&mut fleet, secs(10), &message);
    assert_eq!(one_sent(&mut fleet), Message::empty(Kind::Acknowledgement, 9));
    assert_eq!(fleet.next_deadline(), Some(Time::from_millis(10_200)));
    fleet.handle_timeout(Time::from_millis(10_200));
    let separate = one_sent(&mut fleet);
    assert_eq!(
        (separate.kind, separate.code, separate.token),
        (Kind::Confirmable, Code::CONTENT, message.token)
    );
    fleet.handle_timeout(Time::from_millis(12_200));
    assert_eq!(one_sent(&mut fleet), separate);
    deliver(
        &mut fleet,
        secs(13),
        &Message::empty(Kind::Acknowledgement, separate.message_id),
    );
    assert_eq!(
        fleet.next_deadline(),
        Some(secs(30)),
        "only the Update is left to do"
    );
}

#[test]
fn a_copy_is_recognised_however_many_other_requests_came_since() {
    let mut fleet = registered(config());
    let read = |message_id| {
        let mut read = Message::new(Kind::Confirmable, Code::GET, message_id, Token::EMPTY);
        read.options.push_uri_path("3/0/0");
        read
    };
    for message_id in 0..2000 {
        deliver(&mut fleet, secs(1), &read(message_id));
        sent(&mut fleet);
    }
    assert_eq!(events(&mut fleet).len(), 2000);
    deliver(&mut fleet, secs(2), &read(0));
    assert!(events(&mut fleet).is_empty(), "the copy was executed");
}
