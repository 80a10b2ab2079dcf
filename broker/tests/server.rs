//! The RESP server as its clients see it: the `redis` crate, raw sockets, limits.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use broker::{Limits, ServerOptions};
use futures_util::StreamExt;
use redis::AsyncCommands;
use support::{Connection, OwnServer};

fn serve() -> OwnServer {
    OwnServer::start(ServerOptions::default())
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .unwrap()
    })
}

#[test]
fn the_redis_crate_runs_scripts_and_receives_messages() {
    let server = serve();
    block_on(async {
        let client = redis::Client::open(format!("redis://{}/3", server.address)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut subscriber = client.get_async_pubsub().await.unwrap();
        subscriber.subscribe("news").await.unwrap();
        subscriber.psubscribe("n?ws").await.unwrap();
        let script = redis::Script::new(
            "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('PUBLISH', 'news', ARGV[1])",
        );
        let receivers: i64 = script
            .key("k")
            .arg("hello")
            .invoke_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(receivers, 2);
        assert_eq!(connection.get::<_, String>("k").await.unwrap(), "hello");
        let (sink, mut stream) = subscriber.split();
        for pattern in [None, Some("n?ws".to_string())] {
            let message = stream.next().await.unwrap();
            assert_eq!(message.get_payload::<String>().unwrap(), "hello");
            assert_eq!(message.get_pattern::<Option<String>>().unwrap(), pattern);
        }
        drop(sink);
        let values: (i64, i64) = redis::pipe()
            .atomic()
            .incr("n", 1)
            .incr("n", 1)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(values, (1, 2));
        let error = redis::cmd("EVALSHA")
            .arg("f".repeat(40))
            .arg(0)
            .query_async::<()>(&mut connection)
            .await;
        assert!(error.unwrap_err().to_string().contains("NoScript"));
    });
}

#[test]
fn commands_sent_together_are_answered_in_order() {
    let server = serve();
    let mut client = Connection::open(server.address);
    let commands: Vec<u8> = (0..10_000)
        .flat_map(|_| b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".to_vec())
        .collect();
    client.send_raw(&commands);
    for number in 1..=10_000 {
        assert_eq!(client.receive(), format!(":{number}\r\n").into_bytes());
    }
}

#[test]
fn a_person_can_type_commands() {
    let server = serve();
    let mut client = Connection::open(server.address);
    client.send_raw(b"\r\nSET k \"two words\"\r\nget k\r\n");
    assert_eq!(client.receive(), b"+OK\r\n");
    assert_eq!(client.receive(), b"$9\r\ntwo words\r\n");
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let server = serve();
    let mut client = Connection::open(server.address);
    client.send_raw(b"PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(client.receive(), b"+PONG\r\n");
    assert_eq!(client.receive(), b"+OK\r\n");
    assert_eq!(client.try_receive(), None);
}

#[test]
fn who_breaks_the_protocol_is_told_and_cut_off() {
    let server = serve();
    let mut client = Connection::open(server.address);
    client.send_raw(b"PING\r\n*1\r\n:5\r\n");
    assert_eq!(client.receive(), b"+PONG\r\n");
    assert_eq!(
        client.receive(),
        b"-ERR Protocol error: expected '$', got ':'\r\n"
    );
    assert_eq!(client.try_receive(), None);
}

#[test]
fn an_argument_beyond_the_limit_is_refused_before_it_is_sent() {
    let limits = Limits {
        max_value_bytes: 1_000,
        ..Limits::default()
    };
    let server = OwnServer::start(ServerOptions {
        limits,
        ..ServerOptions::default()
    });
    let mut client = Connection::open(server.address);
    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1001\r\n");
    assert_eq!(client.receive(), b"-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn clients_beyond_the_limit_are_refused_until_one_leaves() {
    let server = OwnServer::start(ServerOptions {
        max_clients: 1,
        ..ServerOptions::default()
    });
    let mut first = Connection::open(server.address);
    assert_eq!(first.call(&["PING"]), b"+PONG\r\n");
    let mut second = Connection::open(server.address);
    assert_eq!(second.receive(), b"-ERR max number of clients reached\r\n");
    assert_eq!(second.try_receive(), None);
    assert_eq!(first.call(&["QUIT"]), b"+OK\r\n");
    assert_eq!(first.try_receive(), None);
    let mut third = Connection::open(server.address);
    assert_eq!(third.call(&["PING"]), b"+PONG\r\n");
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_the_others_are_not() {
    let server = OwnServer::start(ServerOptions {
        max_output_bytes: 100_000,
        ..ServerOptions::default()
    });
    let mut slow = Connection::open(server.address);
    slow.call(&["SUBSCRIBE", "c"]);
    let mut publisher = Connection::open(server.address);
    let payload = "x".repeat(10_000);
    // The buffers of the sockets take some megabytes first.
    let published = (0..10_000).position(|_| publisher.call(&["PUBLISH", "c", &payload]) == b":0\r\n");
    assert!(published.is_some(), "the subscriber is never cut off");
    while slow.try_receive().is_some() {}
    assert_eq!(publisher.call(&["PING"]), b"+PONG\r\n");
    let mut prompt = Connection::open(server.address);
    prompt.call(&["SUBSCRIBE", "c"]);
    for _ in 0..100 {
        assert_eq!(publisher.call(&["PUBLISH", "c", &payload]), b":1\r\n");
        assert!(prompt.receive().starts_with(b"*3\r\n$7\r\nmessage"));
    }
}

#[test]
fn a_subscriber_that_leaves_is_no_receiver_any_more() {
    let server = serve();
    let mut subscriber = Connection::open(server.address);
    subscriber.call(&["SUBSCRIBE", "c"]);
    let mut publisher = Connection::open(server.address);
    assert_eq!(publisher.call(&["PUBLISH", "c", "m"]), b":1\r\n");
    drop(subscriber);
    // The server notices when it gets to it.
    assert!((0..100_000).any(|_| publisher.call(&["PUBLISH", "c", "m"]) == b":0\r\n"));
}

#[test]
fn large_values_pass_in_both_directions() {
    let server = serve();
    let mut client = Connection::open(server.address);
    let value = "v".repeat(20 << 20);
    assert_eq!(client.call(&["SET", "k", &value]), b"+OK\r\n");
    assert_eq!(
        client.call(&["STRLEN", "k"]),
        format!(":{}\r\n", value.len()).into_bytes()
    );
    client.send(&["GET", "k"]);
    client.send(&["PING"]);
    assert_eq!(client.receive().len(), value.len() + "$20971520\r\n\r\n".len());
    assert_eq!(client.receive(), b"+PONG\r\n");
}

#[test]
fn info_and_config_tell_what_the_cluster_checks_at_its_start() {
    let server = serve();
    let mut client = Connection::open(server.address);
    let info = String::from_utf8(client.call(&["INFO"])).unwrap();
    for line in [
        "redis_version:7.0.15",
        "redis_mode:standalone",
        "aof_enabled:0",
        "maxmemory_policy:noeviction",
    ] {
        assert!(info.contains(&format!("{line}\r\n")), "{info}");
    }
    let expected = b"*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n";
    assert_eq!(client.call(&["CONFIG", "GET", "maxmemory-policy"]), expected);
    assert_eq!(
        client.call(&["HELLO", "3"]),
        b"-NOPROTO unsupported protocol version\r\n"
    );
    let time = String::from_utf8(client.call(&["TIME"])).unwrap();
    assert!(time.starts_with("*2\r\n$10\r\n"), "{time}");
}
