//! The key space under a hand-held clock: what a comparison with a real server cannot step through.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use broker::{ClientId, Keyspace, Limits, Push, Reply};

const START_US: u64 = 1_767_225_600_000_000;

struct Stepped {
    keyspace: Keyspace,
    client: ClientId,
    now_us: u64,
}

impl Stepped {
    fn new(limits: Limits) -> Self {
        let mut keyspace = Keyspace::new(limits);
        let client = keyspace.connect();
        Stepped {
            keyspace,
            client,
            now_us: START_US,
        }
    }

    fn call(&mut self, command: &[&str]) -> Reply {
        self.keyspace.execute(self.now_us, self.client, command)
    }
}

fn bulk(text: &str) -> Reply {
    Reply::bulk(text)
}

#[test]
fn a_key_is_there_until_its_last_millisecond_is_over() {
    let mut broker = Stepped::new(Limits::default());
    broker.call(&["SET", "k", "v", "PX", "10"]);
    broker.now_us = START_US + 10_999;
    assert_eq!(broker.call(&["PTTL", "k"]), Reply::Integer(0));
    assert_eq!(broker.call(&["GET", "k"]), bulk("v"));
    broker.now_us = START_US + 11_000;
    assert_eq!(broker.call(&["GET", "k"]), Reply::Nil);
    assert_eq!(broker.call(&["DEL", "k"]), Reply::Integer(0));
}

#[test]
fn a_sweep_frees_what_nobody_asks_for_any_more() {
    let mut broker = Stepped::new(Limits::default());
    broker.call(&["SET", "stays", "v"]);
    let before = broker.keyspace.used_memory();
    for number in 0..10 {
        broker.call(&["SET", &format!("k{number}"), "v", "EX", "1"]);
    }
    assert_eq!(broker.keyspace.expire_due(START_US + 1_000_000, 100), 0);
    assert_eq!(broker.keyspace.expire_due(START_US + 1_001_000, 4), 4);
    assert_eq!(broker.keyspace.expire_due(START_US + 1_001_000, 100), 6);
    assert_eq!(broker.keyspace.used_memory(), before);
    assert_eq!(broker.call(&["DBSIZE"]), Reply::Integer(1));
}

#[test]
fn the_clock_of_a_script_is_the_clock_that_was_passed_in() {
    let mut broker = Stepped::new(Limits::default());
    let script = "local a = redis.call('TIME') for i = 1, 100000 do end local b = redis.call('TIME') \
                  return {a[1], a[2], b[1], b[2]}";
    broker.now_us += 42;
    let time = [bulk("1767225600"), bulk("42")];
    assert_eq!(
        broker.call(&["EVAL", script, "0"]),
        Reply::Array([time.clone(), time].concat())
    );
}

#[test]
fn a_script_that_never_ends_is_stopped_even_if_it_catches_errors() {
    let mut broker = Stepped::new(Limits {
        max_script_instructions: 1_000_000,
        ..Limits::default()
    });
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function again() return xpcall(function() while true do end end, again) end again()",
        "return redis.call('SET', 'k', 'v') and (function() while true do end end)()",
    ] {
        let Reply::Error(text) = broker.call(&["EVAL", script, "0"]) else {
            panic!("{script} must fail")
        };
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(
            text.ends_with("it was stopped after 1000000 instructions"),
            "{script}: {text}"
        );
    }
    // What it did before stays done, and the next script has all its instructions.
    assert_eq!(broker.call(&["GET", "k"]), bulk("v"));
    let count = "local n = 0 while n < 100000 do n = n + 1 end return n";
    assert_eq!(broker.call(&["EVAL", count, "0"]), Reply::Integer(100_000));
}

#[test]
fn a_script_that_eats_memory_fails_alone() {
    let mut broker = Stepped::new(Limits {
        max_script_memory: 16 << 20,
        ..Limits::default()
    });
    let script = "local t = {} for i = 1, 1000000 do t[i] = string.rep('x', 1000) .. i end return #t";
    let Reply::Error(text) = broker.call(&["EVAL", script, "0"]) else {
        panic!("the script must fail")
    };
    assert!(
        String::from_utf8_lossy(&text).contains("not enough memory"),
        "{text:?}"
    );
    assert_eq!(broker.call(&["EVAL", "return 1", "0"]), Reply::Integer(1));
}

#[test]
fn each_script_draws_the_same_random_numbers() {
    let mut broker = Stepped::new(Limits::default());
    let script = "return {math.random(1000), math.random(1000)}";
    let first = broker.call(&["EVAL", script, "0"]);
    assert_eq!(
        first,
        Reply::Array(vec![Reply::Integer(397), Reply::Integer(841)])
    );
    assert_eq!(broker.call(&["EVAL", script, "0"]), first);
}

#[test]
fn a_nested_result_ends_somewhere() {
    let mut broker = Stepped::new(Limits::default());
    let mut reply = &broker.call(&["EVAL", "local t = {} t[1] = t return t", "0"]);
    let mut depth = 0;
    while let Reply::Array(items) = reply {
        (reply, depth) = (&items[0], depth + 1);
    }
    assert_eq!(
        (depth, reply),
        (256, &Reply::error("ERR reached lua stack limit"))
    );
}

#[test]
fn messages_come_in_the_order_of_publication() {
    let mut broker = Stepped::new(Limits::default());
    let listener = broker.keyspace.connect();
    broker
        .keyspace
        .execute(START_US, listener, &["SUBSCRIBE", "a", "b"]);
    broker.call(&[
        "EVAL",
        "redis.call('PUBLISH', 'b', '1') return redis.call('PUBLISH', 'a', '2')",
        "0",
    ]);
    broker.call(&["PUBLISH", "b", "3"]);
    let message = |channel: &'static str, payload: &'static str| {
        let (channel, payload) = (channel.into(), payload.into());
        (listener, Push::Message { channel, payload })
    };
    assert_eq!(
        broker.keyspace.take_pushes(),
        [message("b", "1"), message("a", "2"), message("b", "3")]
    );
    broker.keyspace.disconnect(listener);
    assert_eq!(broker.call(&["PUBLISH", "a", "4"]), Reply::Integer(0));
    assert_eq!(broker.keyspace.take_pushes(), []);
}

#[test]
fn a_snapshot_is_what_was_and_can_be_put_back() {
    let mut broker = Stepped::new(Limits::default());
    broker.call(&["HSET", "h", "f", "before"]);
    broker.call(&["SCRIPT", "LOAD", "return 1"]);
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let snapshot = broker.keyspace.snapshot();
    let memory = broker.keyspace.used_memory();
    broker.call(&["HSET", "h", "f", "after", "more", "x"]);
    broker.call(&["SET", "new", "x"]);
    broker.call(&["SCRIPT", "FLUSH"]);
    broker.keyspace.restore(snapshot.clone());
    assert_eq!(broker.call(&["HGET", "h", "f"]), bulk("before"));
    assert_eq!(broker.call(&["DBSIZE"]), Reply::Integer(1));
    assert_eq!(broker.call(&["EVALSHA", sha, "0"]), Reply::Integer(1));
    assert_eq!(broker.keyspace.used_memory(), memory);
    let mut fork = Stepped::new(Limits::default());
    fork.keyspace.restore(snapshot);
    fork.call(&["HSET", "h", "f", "in the fork"]);
    assert_eq!(broker.call(&["HGET", "h", "f"]), bulk("before"));
}

#[test]
fn an_iteration_meets_every_key_that_stays_whatever_comes_and_goes() {
    let mut broker = Stepped::new(Limits::default());
    for number in 0..500 {
        broker.call(&["SET", &format!("stays{number}"), "v"]);
    }
    let (mut cursor, mut found, mut calls) = ("0".to_string(), std::collections::BTreeSet::new(), 0);
    loop {
        let Reply::Array(parts) = broker.call(&["SCAN", &cursor, "COUNT", "7", "MATCH", "stays*"]) else {
            panic!()
        };
        let [Reply::Bulk(next), Reply::Array(keys)] = &parts[..] else {
            panic!("{parts:?}")
        };
        found.extend(keys.iter().map(|key| format!("{key:?}")));
        cursor = String::from_utf8(next.to_vec()).unwrap();
        calls += 1;
        broker.call(&["SET", &format!("comes{calls}"), "v"]);
        broker.call(&["DEL", &format!("comes{}", calls - 1)]);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found.len(), 500);
    assert!((70..=73).contains(&calls), "{calls} calls of about 7 keys");
}

#[test]
fn transactions_and_subscriptions_have_an_end() {
    let limits = Limits {
        max_transaction_commands: 2,
        max_subscriptions: 2,
        max_scripts: 1,
        ..Limits::default()
    };
    let mut broker = Stepped::new(limits);
    broker.call(&["MULTI"]);
    broker.call(&["PING"]);
    broker.call(&["PING"]);
    assert!(broker.call(&["PING"]).is_error());
    assert_eq!(
        broker.call(&["EXEC"]),
        Reply::error("EXECABORT Transaction discarded because of previous errors.")
    );
    assert_eq!(broker.call(&["EVAL", "return 1", "0"]), Reply::Integer(1));
    assert!(broker.call(&["EVAL", "return 2", "0"]).is_error());
    assert_eq!(broker.call(&["EVAL", "return 1", "0"]), Reply::Integer(1));
    broker.call(&["SUBSCRIBE", "a"]);
    assert!(broker.call(&["SUBSCRIBE", "b", "c"]).is_error());
    assert!(!broker.call(&["PSUBSCRIBE", "b"]).is_error());
}

#[test]
fn memory_is_counted_up_and_down_again() {
    let mut broker = Stepped::new(Limits::default());
    let commands: [&[&str]; 10] = [
        &["SET", "s", "value"],
        &["APPEND", "s", "more"],
        &["HSET", "h", "a", "1", "b", "2"],
        &["HSET", "h", "a", "longer"],
        &["RPUSH", "l", "a", "b", "c"],
        &["LTRIM", "l", "1", "1"],
        &["SADD", "m", "a", "b"],
        &["ZADD", "z", "1", "a", "2", "b"],
        &["ZADD", "z", "3", "a"],
        &["EXPIRE", "z", "100"],
    ];
    let mut last = 0;
    for command in commands {
        broker.call(command);
        assert_ne!(broker.keyspace.used_memory(), 0);
        last = broker.keyspace.used_memory();
    }
    assert!(last > 300, "{last}");
    broker.call(&["HDEL", "h", "a", "b"]);
    broker.call(&["LPOP", "l"]);
    broker.call(&["SREM", "m", "a", "b"]);
    broker.call(&["ZPOPMIN", "z", "2"]);
    broker.call(&["GETDEL", "s"]);
    assert_eq!(broker.keyspace.used_memory(), 0);
}
