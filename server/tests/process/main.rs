//! The program as it is started: its line of readiness, its errors, its signals, its Redis coming and going.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod world;

use lwm2m::coap::{Code, option};
use redis::Value;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};
use world::{BackEnd, Device, Redis, Server, location};

const READ: &str = r#"{"ep":"myEndpoint","ticket":"8c90592249c74a9b8a2da5754145dcc0","req":{"kind":"read","path":"/3/0/1","contentFormat":1541},"timeout":20000}"#;

/// Where nobody listens.
fn nowhere() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Starts the program, which must give up: the one line that it says. Its code is `code`.
fn start_error(arguments: &[&str], code: i32) -> String {
    let (found, output, errors) = Server::start(arguments).end();
    assert_eq!((found, output.len()), (code, 0), "{arguments:?}: {errors:?}");
    let said: Vec<&String> = errors
        .iter()
        .filter(|line| line.starts_with("server: "))
        .collect();
    assert_eq!(said.len(), 1, "{arguments:?}: {errors:?}");
    assert!(errors.last() == Some(said[0]), "{errors:?}");
    said[0].clone()
}

/// A read that works from end to end.
fn assert_read_works(back_end: &BackEnd, device: &Device, ep: &str, ticket: &str, by: &str) {
    let request = format!(r#"{{"ep":"{ep}","ticket":"{ticket}","req":{{"kind":"read","path":"/3/0/1"}}}}"#);
    let first = back_end.ask_until_heard(&request, ticket);
    assert!(first.contains(r#""ack":true"#), "{first}");
    let request = device.request();
    device.answer(&request, Code::CONTENT, "Model");
    loop {
        let answer = back_end.hear("LESHAN_RESP");
        if answer.contains(r#""resp""#) {
            assert!(answer.contains(&format!(r#""ticket":"{ticket}""#)), "{answer}");
            assert!(answer.ends_with(&format!(r#""by":"{by}"}}"#)), "{answer}");
            return;
        }
    }
}

#[test]
fn the_example_of_the_wiki_page_works_from_end_to_end() {
    let redis = Redis::start(false);
    let back_end = BackEnd::new(&redis);
    let server = Server::instance(&redis, "A");
    let address = server.ready("A#1");
    let mut device = Device::new(address);
    let path = device.register("myEndpoint");
    let event = back_end.hear("LESHAN_REG_NEW");
    let (id, port) = (
        path.trim_start_matches("/rd/"),
        device.socket.local_addr().unwrap().port(),
    );
    assert!(event.contains(&format!(
        r#""address":"127.0.0.1","port":{port},"regAddr":"127.0.0.1","regPort":{},"lt":3600,"ver":"1.0","bnd":"U","ep":"myEndpoint","regId":"{id}","objLink":[{{"url":"/1/0","at":{{}}}},{{"url":"/3/0","at":{{}}}}],"addAttr":{{}},"root":"/","lastUp":"#,
        address.port()
    )), "{event}");
    back_end.ask_until_heard(
        r#"{"ep":"nobody","ticket":"warm","req":{"kind":"read","path":"/3/0/1"}}"#,
        "warm",
    );
    back_end.publish(READ);
    assert_eq!(
        back_end.hear("LESHAN_RESP"),
        r#"{"ticket":"8c90592249c74a9b8a2da5754145dcc0","ep":"myEndpoint","ack":true,"by":"A#1"}"#
    );
    let request = device.request();
    assert_eq!(
        (request.code, request.options.get_uint(option::ACCEPT)),
        (Code::GET, Some(0))
    );
    let path: Vec<&[u8]> = request.options.all(option::URI_PATH).collect();
    assert_eq!(path, [b"3", b"0", b"1"]);
    device.answer(&request, Code::CONTENT, "Lightweight M2M Client");
    assert_eq!(
        back_end.hear("LESHAN_RESP"),
        r#"{"ticket":"8c90592249c74a9b8a2da5754145dcc0","ep":"myEndpoint","resp":{"kind":"read","code":"CONTENT","node":{"kind":"singleresource","id":1,"type":"string","value":"Lightweight M2M Client"}},"by":"A#1"}"#
    );
    // What is wrong is answered once.
    for (request, answer) in [
        (
            r#"{"ep":"nobody","ticket":"u1","req":{"kind":"read","path":"/3/0/1"}}"#,
            r#"{"ticket":"u1","ep":"nobody","err":{"errorMessage":"no device is registered with the endpoint client name nobody","code":"UNKNOWN_ENDPOINT"},"by":"A#1"}"#,
        ),
        (
            r#"{"ep":"myEndpoint","ticket":"b1","req":{"kind":"#,
            r#"{"ticket":"b1","ep":"myEndpoint","err":{"errorMessage":""#,
        ),
        (
            r#"{"ep":"myEndpoint","ticket":"w1","req":{"kind":"read","path":"/3/zero"}}"#,
            r#"{"ticket":"w1","ep":"myEndpoint","err":{"errorMessage":""#,
        ),
    ] {
        back_end.publish(request);
        let heard = back_end.hear("LESHAN_RESP");
        assert!(heard.starts_with(answer), "{heard}");
        assert!(
            heard.contains("UNKNOWN_ENDPOINT") || heard.contains(r#""code":"BAD_REQUEST""#),
            "{heard}"
        );
    }
}

#[test]
fn help_explains_every_option_and_is_no_error() {
    let (code, output, errors) = Server::start(&["--help"]).end();
    assert_eq!((code, errors.len()), (0, 0));
    let text = output.join("\n");
    for word in [
        "LESHAN_REQ",
        "ready ID#INCARNATION coap=ADDRESS",
        "-n",
        "--coap",
        "-r",
        "--lease",
        "--channel-prefix",
        "--log",
    ] {
        assert!(text.contains(word), "{word} in:\n{text}");
    }
}

#[test]
fn a_wrong_command_line_is_one_line_that_says_what_was_expected() {
    for (arguments, said) in [
        (
            &["-n", "a b"][..],
            "`a b` is no instance id: expected 1 to 64 letters, digits, `.`, `_` or `-`",
        ),
        (
            &["-n", "A", "--lease", "5"][..],
            "expected a number with a unit (ms, s, m, h), such as 250ms or 5m, found `5`",
        ),
        (
            &["-n", "A", "--lease", "1ms"][..],
            "expected 200ms to 60s, found 1ms",
        ),
        (
            &["-n", "A", "--ticket-retention", "0s"][..],
            "expected more than nothing",
        ),
        (&["-n", "A", "--coap", "here"][..], "'--coap <ADDRESS>'"),
        (&["-n", "A", "--dialect", "latin"][..], "[possible values: wiki"),
        (
            &[][..],
            "the following required arguments were not provided: --id <ID>",
        ),
        (
            &["-n", "A", "--colour"][..],
            "unexpected argument '--colour' found",
        ),
    ] {
        let line = start_error(arguments, 2);
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn each_start_error_is_one_line_that_says_what_to_do() {
    let redis = Redis::start(false);
    let dead = format!("redis://127.0.0.1:{}", nowhere());
    let line = start_error(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &dead], 3);
    assert!(
        line.contains("no Redis at 127.0.0.1:") && line.contains("name another with -r"),
        "{line}"
    );
    let short = ["--lease", "60s", "--ticket-retention", "3m"];
    let arguments = [&["-n", "A", "--coap", "127.0.0.1:0", "-r", &dead][..], &short].concat();
    let line = start_error(&arguments, 3);
    assert!(
        line.contains("--ticket-retention 180000 ms: expected at least 181500 ms"),
        "{line}"
    );
    let line = start_error(&["-n", "A", "--coap", "127.0.0.1:0", "-r", "http://127.0.0.1"], 3);
    assert!(line.contains("-r: expected redis://HOST:PORT"), "{line}");
    let line = start_error(
        &[
            "-n",
            "A",
            "--coap",
            "127.0.0.1:0",
            "-r",
            &redis.url(),
            "--log",
            "a=b=c",
        ],
        3,
    );
    assert!(line.contains("--log a=b=c: "), "{line}");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = start_error(&["-n", "A", "--coap", &address, "-r", &redis.url()], 3);
    assert!(
        line.contains(&format!("--coap: can't listen at {address}: ")),
        "{line}"
    );
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let line = start_error(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &redis.url()], 3);
    assert!(
        line.contains("has maxmemory-policy allkeys-lru")
            && line.contains("CONFIG SET maxmemory-policy noeviction"),
        "{line}"
    );
}

#[test]
fn something_else_than_redis_is_an_error_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let line = start_error(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &url], 3);
    assert!(line.contains("no Redis at "), "{line}");
}

#[test]
fn a_second_process_with_a_living_id_gives_up_and_one_with_a_dead_id_waits_for_its_lease() {
    let redis = Redis::start(false);
    let mut first = Server::instance(&redis, "A");
    first.ready("A#1");
    let line = start_error(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &redis.url()], 3);
    assert!(
        line.contains("another process is member `A` of this cluster and renews its lease"),
        "{line}"
    );
    first.kill();
    Server::instance(&redis, "A").ready("A#2");
}

#[test]
fn on_sigterm_a_member_leaves_and_ends_with_success() {
    let redis = Redis::start(false);
    let server = Server::instance(&redis, "A");
    server.ready("A#1");
    server.signal("TERM");
    let (code, _, errors) = server.end();
    assert_eq!(code, 0, "{errors:?}");
    let Value::Array(fields) = redis.command(&["HMGET", "{m}i:A", "state", "lease"]) else {
        panic!("an array")
    };
    assert_eq!(
        fields,
        [Value::BulkString(b"d".to_vec()), Value::BulkString(b"0".to_vec())]
    );
    // Its id is free at once.
    Server::instance(&redis, "A").ready("A#2");
}

#[test]
fn a_process_that_was_stopped_beyond_its_lease_is_another_incarnation() {
    let redis = Redis::start(false);
    let (server, other) = (Server::instance(&redis, "A"), Server::instance(&redis, "B"));
    let address = server.ready("A#1");
    other.ready("B#1");
    server.signal("STOP");
    let begun = Instant::now();
    // B has declared it dead once its state says so.
    while redis.command(&["HGET", "{m}i:A", "state"]) != Value::BulkString(b"d".to_vec()) {
        assert!(begun.elapsed() < world::PATIENCE, "B did not bury A");
    }
    // What reaches a stopped process is old mail when it wakes.
    let mut device = Device::new(address);
    let old = device.message(Code::POST, "/rd", &["ep=old"], "</3/0>");
    device.send(&old);
    server.signal("CONT");
    assert_eq!(server.ready("A#2"), address);
    device.register("new");
    assert_eq!(redis.command(&["KEYS", "*e:old"]), Value::Array(vec![]));
}

fn redis_dies_and_comes_back(append_only: bool) {
    let mut redis = Redis::start(append_only);
    let server = Server::instance(&redis, "A");
    let address = server.ready("A#1");
    let mut device = Device::new(address);
    let path = device.register("dev");
    redis.kill();
    let begun = Instant::now();
    let mut answers = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        let answer = device.ask(Code::POST, &path, &[], "");
        assert_eq!(answer.code, Code::SERVICE_UNAVAILABLE);
        // One answer a request; this also paces the loop.
        device.hears_nothing();
        answers += 1;
    }
    assert!(answers > 1);
    redis.restart();
    let back_end = BackEnd::new(&redis);
    let code = if append_only {
        Code::CHANGED
    } else {
        Code::NOT_FOUND
    };
    // A process is a new incarnation even where nobody knows of the one before.
    let member = "A#2";
    server.ready(member);
    assert_eq!(device.ask(Code::POST, &path, &[], "").code, code);
    if !append_only {
        device.register("dev");
    }
    assert_read_works(&back_end, &device, "dev", "t1", member);
}

#[test]
fn while_redis_is_dead_devices_are_told_so_and_with_its_memory_all_goes_on() {
    redis_dies_and_comes_back(true);
}

#[test]
fn a_redis_that_comes_back_empty_begins_a_new_era() {
    redis_dies_and_comes_back(false);
}

#[test]
fn a_redis_that_hangs_is_no_reason_to_hang() {
    let redis = Redis::start(false);
    let server = Server::instance(&redis, "A");
    let mut device = Device::new(server.ready("A#1"));
    let path = device.register("dev");
    redis.signal("STOP");
    assert_eq!(
        device.ask(Code::POST, &path, &[], "").code,
        Code::SERVICE_UNAVAILABLE
    );
    redis.signal("CONT");
    server.ready("A#2");
    assert_eq!(device.ask(Code::POST, &path, &[], "").code, Code::CHANGED);
}

#[test]
fn scripts_that_somebody_flushed_are_loaded_again() {
    let redis = Redis::start(false);
    let back_end = BackEnd::new(&redis);
    let server = Server::instance(&redis, "A");
    let mut device = Device::new(server.ready("A#1"));
    device.register("dev");
    redis.command(&["SCRIPT", "FLUSH"]);
    device.register("dev");
    assert_read_works(&back_end, &device, "dev", "t1", "A#1");
}

#[test]
fn a_thousand_requests_at_once_are_no_reason_to_give_up_the_membership() {
    let redis = Redis::start(false);
    let back_end = BackEnd::new(&redis);
    let server = Server::instance(&redis, "A");
    server.ready("A#1");
    let request = |n: usize, ticket: &str| {
        format!(
            r#"{{"ep":"nobody-{}","ticket":"{ticket}","req":{{"kind":"execute","path":"/3/0/4"}}}}"#,
            n % 60
        )
    };
    back_end.ask_until_heard(&request(0, "first"), "first");
    for burst in 0..10 {
        back_end.publish_at_once((0..1000).map(|n| request(n, &format!("{burst}-{n}"))));
        for _ in 0..1000 {
            let answer = back_end.hear("LESHAN_RESP");
            assert!(answer.ends_with(r#""by":"A#1"}"#), "{answer}");
        }
    }
    server.signal("TERM");
    let (code, _, errors) = server.end();
    assert_eq!(code, 0, "{errors:?}");
    let bad = |line: &&String| line.contains("ERROR") || line.contains("given up");
    assert_eq!(errors.iter().find(bad), None);
}

#[test]
fn datagrams_that_the_kernel_dropped_are_counted_and_said() {
    let redis = Redis::start(false);
    let server = Server::instance(&redis, "A");
    let mut device = Device::new(server.ready("A#1"));
    let register = device.message(Code::POST, "/rd", &["ep=dev"], "</3/0>");
    server.signal("STOP");
    // More than any buffer that it may have been granted holds.
    (0..60_000).for_each(|_| device.send(&register));
    server.signal("CONT");
    let line = server.logs("the kernel dropped datagrams");
    let (_, count) = line.split_once("in_all=").unwrap();
    assert!(count.parse::<u32>().unwrap() > 1000, "{line}");
}

#[test]
fn the_store_can_be_in_a_database_behind_a_login_or_at_a_socket_of_this_machine() {
    let redis = Redis::start(false);
    redis.command(&["ACL", "SETUSER", "me", "on", ">secret", "~*", "&*", "+@all"]);
    let login = redis.url_with_login("me", "secret", 3);
    let server = Server::start(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &login]);
    server.ready("A#1");
    let keys = redis.command(&["INFO", "keyspace"]);
    let Value::BulkString(keys) = keys else {
        panic!("a text")
    };
    let keys = String::from_utf8(keys).unwrap();
    assert!(keys.contains("db3:") && !keys.contains("db0:"), "{keys}");
    let socket = redis.socket_url();
    let server = Server::start(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &socket]);
    server.ready("A#1");
    let wrong = redis.url_with_login("me", "wrong", 3);
    let line = start_error(&["-n", "A", "--coap", "127.0.0.1:0", "-r", &wrong], 3);
    assert!(line.contains("no Redis at ") && !line.contains("wrong"), "{line}");
}

#[test]
fn a_list_of_objects_of_many_kilobytes_is_stored_whole() {
    let redis = Redis::start(false);
    let back_end = BackEnd::new(&redis);
    let server = Server::instance(&redis, "A");
    let mut device = Device::new(server.ready("A#1"));
    let links: Vec<String> = (0..200).map(|n| format!("</33{n:03}/0>;ver=1.1")).collect();
    let answer = device.ask(Code::POST, "/rd", &["ep=big"], &links.join(","));
    assert_eq!(answer.code, Code::CREATED);
    assert!(location(&answer).starts_with("/rd/"));
    assert!(
        back_end
            .hear("LESHAN_REG_NEW")
            .contains(r#"{"url":"/33199/0","at":{"ver":"1.1"}}]"#)
    );
}

#[test]
fn datagrams_that_the_kernel_hands_over_in_one_piece_are_all_read() {
    let redis = Redis::start(false);
    let back_end = BackEnd::new(&redis);
    let server = Server::instance(&redis, "A");
    let mut device = Device::new(server.ready("A#1"));
    let mut piece = Vec::new();
    let mut length = 0;
    for n in 0..3 {
        let message = device.message(Code::POST, "/rd", &[&format!("ep=dev-{n}")], "</3/0>");
        message.encode(&mut piece);
        length = piece.len() / (n + 1);
    }
    let transmit = quinn_udp::Transmit {
        destination: device.server,
        ecn: None,
        contents: &piece,
        segment_size: Some(length),
        src_ip: None,
    };
    let state = quinn_udp::UdpSocketState::new((&device.socket).into()).unwrap();
    state.try_send((&device.socket).into(), &transmit).unwrap();
    for n in 0..3 {
        assert!(
            back_end
                .hear("LESHAN_REG_NEW")
                .contains(&format!(r#""ep":"dev-{n}""#))
        );
    }
}
