//! Random sequences of commands give the same replies from the key space and from a real redis-server. A failure
//! prints the shortest sequence that still fails.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod support;

use broker::{Keyspace, Limits};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use support::{Connection, RealServer, now_us, sorted};

type Command = Vec<String>;

/// Few keys of each kind, and now and then one of the wrong kind.
fn key(kind: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (0..3).prop_map(move |number| format!("{kind}{number}")),
        1 => select(vec!["string0", "hash0", "list0", "set0", "zset0"]).prop_map(String::from),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-3_i32..12).prop_map(|number| number.to_string()),
        2 => select(vec!["a", "b", "c", "", "1.5", "9223372036854775807", "-9223372036854775808", "x y\r\n"])
            .prop_map(String::from),
    ]
}

fn score() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (-5_i32..6).prop_map(|number| number.to_string()),
        2 => (-1000.0_f64..1000.0).prop_map(|number| number.to_string()),
        1 => select(vec!["inf", "-inf", "(1", "nan", "1e400", ".5", "5.", ""]).prop_map(String::from),
    ]
}

/// A template: words with `K` for a key, `V` for a value, `F` for a field, `S` for a score, `I` for an index.
fn filled(template: &'static str) -> BoxedStrategy<Command> {
    let (kind, words) = template
        .split_once(": ")
        .expect("a template begins with the kind of its key");
    let words: Vec<BoxedStrategy<String>> = words
        .split(' ')
        .map(|word| match word {
            "K" => key(kind).boxed(),
            "V" => value().boxed(),
            "F" => select(vec!["f", "g", "h", "1"]).prop_map(String::from).boxed(),
            "S" => score().boxed(),
            "I" => prop_oneof![9 => (-5_i32..6).prop_map(|index| index.to_string()), 1 => value()].boxed(),
            fixed => Just(fixed.to_string()).boxed(),
        })
        .collect();
    words.boxed()
}

const TEMPLATES: &[&str] = &[
    "string: SET K V",
    "string: SET K V NX",
    "string: SET K V XX GET",
    "string: SET K V EX 1000",
    "string: SET K V KEEPTTL",
    "string: GET K",
    "string: GETDEL K",
    "string: APPEND K V",
    "string: STRLEN K",
    "string: INCR K",
    "string: INCRBY K V",
    "string: DECR K",
    "string: SETEX K 1000 V",
    "string: MGET K K hash0",
    "hash: HSET K F V",
    "hash: HSET K F V F V",
    "hash: HSETNX K F V",
    "hash: HGET K F",
    "hash: HMGET K F F none",
    "hash: HGETALL K",
    "hash: HKEYS K",
    "hash: HVALS K",
    "hash: HDEL K F",
    "hash: HDEL K F F",
    "hash: HEXISTS K F",
    "hash: HLEN K",
    "hash: HINCRBY K F V",
    "list: LPUSH K V",
    "list: RPUSH K V V",
    "list: LPOP K",
    "list: RPOP K",
    "list: LPOP K I",
    "list: RPOP K I",
    "list: LLEN K",
    "list: LRANGE K I I",
    "list: LINDEX K I",
    "list: LREM K I V",
    "list: LTRIM K I I",
    "set: SADD K V",
    "set: SADD K V V",
    "set: SREM K V",
    "set: SISMEMBER K V",
    "set: SCARD K",
    "zset: ZADD K S F",
    "zset: ZADD K S F S V",
    "zset: ZADD K NX CH S F",
    "zset: ZADD K XX CH S F",
    "zset: ZADD K GT CH S F",
    "zset: ZADD K LT S F",
    "zset: ZADD K INCR S F",
    "zset: ZADD K XX INCR S F",
    "zset: ZREM K F",
    "zset: ZSCORE K F",
    "zset: ZCARD K",
    "zset: ZCOUNT K S S",
    "zset: ZRANGE K I I WITHSCORES",
    "zset: ZRANGE K I I REV",
    "zset: ZRANGE K S S BYSCORE WITHSCORES",
    "zset: ZRANGE K S S BYSCORE REV LIMIT I I",
    "zset: ZRANGEBYSCORE K S S LIMIT I I",
    "zset: ZREMRANGEBYSCORE K S S",
    "zset: ZINCRBY K S F",
    "zset: ZPOPMIN K",
    "zset: ZPOPMIN K I",
    "string: DEL K hash0",
    "hash: DEL K list0",
    "list: UNLINK K",
    "set: EXISTS K K string0",
    "zset: TYPE K",
    "string: EXPIRE K 1000",
    "hash: EXPIRE K 1000 NX",
    "list: EXPIRE K 2000 GT",
    "set: EXPIRE K 500 LT",
    "zset: EXPIRE K -1",
    "string: PEXPIREAT K 1",
    "hash: EXPIREAT K 99999999999",
    "string: PERSIST K",
    "list: PERSIST K",
    "string: DBSIZE",
    "string: EXPIRE K V",
];

fn simple() -> BoxedStrategy<Command> {
    select(TEMPLATES).prop_flat_map(filled).boxed()
}

/// A command as it is, called by a script in one of several ways, or in a transaction.
fn step() -> impl Strategy<Value = Vec<Command>> {
    let scripts = select(vec![
        "return redis.call(unpack(ARGV))",
        "return redis.pcall(unpack(ARGV))",
        "local ok, e = pcall(redis.call, unpack(ARGV)) return {tostring(ok), e}",
        "local r = redis.call(unpack(ARGV)) return {type(r), r, type(r) == 'table' and #r or 0}",
        "redis.call('RPUSH', 'list0', #ARGV) return redis.call(unpack(ARGV))",
        "#!lua flags=no-writes\nreturn redis.call(unpack(ARGV))",
    ]);
    let scripted = (scripts, simple()).prop_map(|(script, command)| {
        let mut eval: Command = vec!["EVAL".into(), script.into(), "0".into()];
        eval.extend(command);
        vec![eval]
    });
    let transaction = vec(simple(), 0..4).prop_map(|mut commands| {
        commands.insert(0, vec!["MULTI".into()]);
        commands.push(vec!["EXEC".into()]);
        commands
    });
    prop_oneof![
        8 => simple().prop_map(|command| vec![command]),
        4 => scripted,
        1 => transaction,
        1 => (key("set")).prop_map(|key| vec![vec!["SMEMBERS".into(), key]]),
        1 => Just(vec![vec!["KEYS".into(), "*".into()]]),
    ]
}

#[test]
fn random_commands_get_the_replies_of_a_real_server() {
    let server = RealServer::start();
    let mut real = Connection::open(server.address);
    let real = std::cell::RefCell::new(&mut real);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..Config::default()
    });
    let sequences = vec(step(), 1..40).prop_map(|steps| steps.concat());
    let result = runner.run(&sequences, |sequence: Vec<Command>| {
        let mut real = real.borrow_mut();
        assert_eq!(real.call(&["FLUSHALL"]), b"+OK\r\n");
        let mut keyspace = Keyspace::new(Limits::default());
        let client = keyspace.connect();
        for (index, command) in sequence.iter().enumerate() {
            let mut expected = real.call(command);
            let mut found = Vec::new();
            keyspace.execute(now_us(), client, command).encode(&mut found);
            if matches!(command[0].as_str(), "SMEMBERS" | "KEYS") {
                (expected, found) = (sorted(&expected), sorted(&found));
            }
            if found != expected {
                return Err(TestCaseError::fail(format!(
                    "command {index} {command:?}\n  redis-server: {}\n      Keyspace: {}",
                    expected.escape_ascii(),
                    found.escape_ascii()
                )));
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
