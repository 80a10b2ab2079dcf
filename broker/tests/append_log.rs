//! What was answered is in the append log: after a crash at any moment the data is as of some answered command, and
//! never less than what the file holds.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use broker::{AppendLog, AppendLogError, ClientId, Keyspace, Limits, Reply, ServerOptions, Sync};
use support::{Connection, OwnServer, words};
use tempfile::TempDir;

/// 2026-01-01 in Unix microseconds.
const START_US: u64 = 1_767_225_600_000_000;

fn file(directory: &Path) -> PathBuf {
    directory.join("broker.log")
}

fn open(directory: &Path, now_us: u64) -> (AppendLog, Keyspace) {
    AppendLog::open(directory, &Limits::default(), Sync::EverySecond, now_us).unwrap()
}

/// A broker that writes each command's changes down before it answers.
struct Logged {
    log: AppendLog,
    keyspace: Keyspace,
    client: ClientId,
}

impl Logged {
    fn open(directory: &Path, now_us: u64) -> Self {
        let (log, mut keyspace) = open(directory, now_us);
        let client = keyspace.connect();
        Logged {
            log,
            keyspace,
            client,
        }
    }

    fn call(&mut self, now_us: u64, line: &str) -> Reply {
        let reply = self.keyspace.execute(now_us, self.client, &words(line));
        self.log.append(&self.keyspace.take_journal()).unwrap();
        reply
    }
}

/// Everything a client can see, as text.
fn contents(keyspace: &mut Keyspace, now_us: u64) -> Vec<String> {
    let client = keyspace.connect();
    let mut seen = Vec::new();
    for database in 0..16 {
        keyspace.execute(now_us, client, &["SELECT", &database.to_string()]);
        let Reply::Array(keys) = keyspace.execute(now_us, client, &["KEYS", "*"]) else {
            panic!("KEYS answers a list")
        };
        for key in keys {
            let Reply::Bulk(key) = key else {
                panic!("a key is a string")
            };
            let reads: [&[&[u8]]; 6] = [
                &[b"GET", &key],
                &[b"HGETALL", &key],
                &[b"LRANGE", &key, b"0", b"-1"],
                &[b"SMEMBERS", &key],
                &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"],
                &[b"PTTL", &key],
            ];
            for read in reads {
                let reply = keyspace.execute(now_us, client, read);
                if !reply.is_error() {
                    seen.push(format!("{database} {key:?} {reply:?}"));
                }
            }
        }
    }
    keyspace.disconnect(client);
    seen
}

const HISTORY: &[&str] = &[
    "SET text «a b»",
    "SET dies v PX 5000",
    "SET lives v PX 500000",
    "HSET hash z 1 a 2 m 3",
    "HDEL hash a",
    "RPUSH list 1 2 3",
    "LPOP list",
    "SADD set b a",
    "ZADD scores 1.1 a -inf b 3e300 c",
    "EVAL «local t = redis.call('TIME') redis.call('SET', KEYS[1], t[1] .. '.' .. t[2]) return 1» 1 clock",
    "EVAL «redis.call('SET', KEYS[1], math.random(1000000)) error('after the write')» 1 chance",
    "EVAL «return redis.call('GET', 'text')» 0",
    "SELECT 7",
    "MULTI",
    "INCR counter",
    "EVAL «return redis.call('INCRBY', 'counter', ARGV[1])» 0 41",
    "SELECT 8",
    "SET elsewhere 1",
    "EXEC",
    "SELECT 0",
    "GETDEL text",
    "EXPIRE set 1000",
    "PERSIST lives",
];

#[test]
fn a_replay_gives_the_data_and_the_clock_of_the_first_run() {
    let directory = TempDir::new().unwrap();
    let mut first = Logged::open(directory.path(), START_US);
    for (index, line) in HISTORY.iter().enumerate() {
        first.call(START_US + index as u64 * 1_000_003, line);
    }
    let later = START_US + 100_000_000;
    let expected = contents(&mut first.keyspace, later);
    assert!(
        expected
            .iter()
            .any(|line| line.contains("clock") && line.contains("1767225609.27")),
        "{expected:?}"
    );
    assert!(
        expected.iter().any(|line| line.contains("elsewhere")),
        "{expected:?}"
    );
    assert!(!expected.iter().any(|line| line.contains("dies")), "{expected:?}");
    drop(first);
    // The first opening replays the commands; the second replays what the first compacted them to.
    for _ in 0..2 {
        let (_, mut again) = open(directory.path(), later);
        assert_eq!(contents(&mut again, later), expected);
    }
}

#[test]
fn scripts_can_be_called_by_name_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let mut first = Logged::open(directory.path(), START_US);
    first.call(START_US, "SCRIPT LOAD «return 'still here'»");
    first.call(START_US, "SCRIPT LOAD «return 1»");
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    drop(first);
    let mut again = Logged::open(directory.path(), START_US);
    assert_eq!(
        again.call(START_US, &format!("EVALSHA {sha} 0")),
        Reply::Integer(1)
    );
    again.call(START_US, "SCRIPT FLUSH");
    drop(again);
    let mut last = Logged::open(directory.path(), START_US);
    assert!(last.call(START_US, &format!("EVALSHA {sha} 0")).is_error());
}

#[test]
fn a_script_that_saw_who_was_listening_gives_the_same_data_when_nobody_is() {
    let directory = TempDir::new().unwrap();
    let mut first = Logged::open(directory.path(), START_US);
    let listener = first.keyspace.connect();
    first
        .keyspace
        .execute(START_US, listener, &[b"SUBSCRIBE".as_slice(), b"news"]);
    let script = "EVAL «local n = redis.call('PUBLISH', 'news', 'x') redis.call('HSET', 'h', 'heard', n) if n == 0 then \
                  redis.call('DEL', 'k') end redis.call('PEXPIRE', 'h', 5000) return n» 0";
    first.call(START_US, "SET k kept");
    assert_eq!(first.call(START_US + 1, script), Reply::Integer(1));
    for line in ["MULTI", "SET a 1", script, "SELECT 2", "SET b 2", "EXEC"] {
        first.call(START_US + 2, line);
    }
    let expected = contents(&mut first.keyspace, START_US + 3);
    assert!(expected.iter().any(|line| line.contains("kept")), "{expected:?}");
    drop(first);
    let (_, mut again) = open(directory.path(), START_US + 3);
    assert_eq!(contents(&mut again, START_US + 3), expected);
}

#[test]
fn a_script_is_written_down_once_and_then_what_it_does() {
    let directory = TempDir::new().unwrap();
    let mut broker = Logged::open(directory.path(), START_US);
    let script = format!("EVAL «redis.call('INCR', 'n') --{}» 0", "x".repeat(10_000));
    (0..100).for_each(|_| drop(broker.call(START_US, &script)));
    let size = fs::metadata(file(directory.path())).unwrap().len();
    assert!((10_000..20_000).contains(&size), "{size} bytes");
}

#[test]
fn reading_and_refused_commands_leave_no_trace() {
    let directory = TempDir::new().unwrap();
    let mut broker = Logged::open(directory.path(), START_US);
    broker.call(START_US, "SET k v");
    let size = fs::metadata(file(directory.path())).unwrap().len();
    for line in [
        "GET k",
        "INCR k",
        "SET k",
        "PUBLISH c m",
        "SET k w NX",
        "EVALSHA x 0",
        "MULTI",
        "GET k",
        "EXEC",
    ] {
        broker.call(START_US, line);
    }
    assert_eq!(fs::metadata(file(directory.path())).unwrap().len(), size);
}

#[test]
fn a_log_cut_anywhere_in_its_last_record_loses_that_record_only() {
    let directory = TempDir::new().unwrap();
    let mut broker = Logged::open(directory.path(), START_US);
    broker.call(START_US, "SET first 1");
    let whole = fs::metadata(file(directory.path())).unwrap().len() as usize;
    let before = contents(&mut broker.keyspace, START_US);
    broker.call(START_US, "SET second 2");
    let after = contents(&mut broker.keyspace, START_US);
    let bytes = fs::read(file(directory.path())).unwrap();
    for end in whole..=bytes.len() {
        let crashed = TempDir::new().unwrap();
        fs::write(file(crashed.path()), &bytes[..end]).unwrap();
        let mut survivor = Logged::open(crashed.path(), START_US);
        let expected = if end == bytes.len() { &after } else { &before };
        assert_eq!(
            &contents(&mut survivor.keyspace, START_US),
            expected,
            "cut at {end}"
        );
        survivor.call(START_US, "SET third 3");
        drop(survivor);
        let (_, mut again) = open(crashed.path(), START_US);
        assert_eq!(
            contents(&mut again, START_US).len(),
            expected.len() + 2,
            "cut at {end}"
        );
    }
}

#[test]
fn a_log_cut_in_its_first_line_is_an_empty_one() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path(), START_US));
    let bytes = fs::read(file(directory.path())).unwrap();
    for end in 0..=bytes.len() {
        fs::write(file(directory.path()), &bytes[..end]).unwrap();
        let (_, mut keyspace) = open(directory.path(), START_US);
        assert_eq!(contents(&mut keyspace, START_US), Vec::<String>::new());
    }
}

#[test]
fn a_last_record_that_is_only_partly_on_the_disk_is_removed() {
    let directory = TempDir::new().unwrap();
    let mut broker = Logged::open(directory.path(), START_US);
    broker.call(START_US, "SET first 1");
    let before = contents(&mut broker.keyspace, START_US);
    let whole = fs::read(file(directory.path())).unwrap();
    broker.call(START_US, "SET second 2");
    let mut half_written = fs::read(file(directory.path())).unwrap();
    *half_written.last_mut().unwrap() = 0;
    let zeros = [&whole[..], &[0; 300]].concat();
    for damaged in [half_written, zeros] {
        fs::write(file(directory.path()), damaged).unwrap();
        let (_, mut keyspace) = open(directory.path(), START_US);
        assert_eq!(contents(&mut keyspace, START_US), before);
    }
}

#[test]
fn damage_in_the_middle_is_an_error_that_names_the_place() {
    let directory = TempDir::new().unwrap();
    let mut broker = Logged::open(directory.path(), START_US);
    let start = fs::metadata(file(directory.path())).unwrap().len() as usize;
    broker.call(START_US, "SET first 1");
    let end = fs::metadata(file(directory.path())).unwrap().len() as usize;
    broker.call(START_US, "SET second 2");
    let bytes = fs::read(file(directory.path())).unwrap();
    for position in start..end {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x10;
        fs::write(file(directory.path()), damaged).unwrap();
        let error =
            AppendLog::open(directory.path(), &Limits::default(), Sync::EverySecond, START_US).unwrap_err();
        assert!(
            matches!(&error, AppendLogError::Damaged { offset, .. } if *offset == start),
            "byte {position}: {error}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("is damaged at byte {start} of {}", bytes.len())),
            "{error}"
        );
    }
}

#[test]
fn another_kind_of_file_is_not_touched() {
    let directory = TempDir::new().unwrap();
    fs::write(file(directory.path()), "somebody's notes").unwrap();
    let error =
        AppendLog::open(directory.path(), &Limits::default(), Sync::EverySecond, START_US).unwrap_err();
    assert!(matches!(error, AppendLogError::NotALog { .. }), "{error}");
    assert_eq!(fs::read(file(directory.path())).unwrap(), b"somebody's notes");
}

#[test]
fn compaction_keeps_the_data_and_forgets_the_history() {
    let directory = TempDir::new().unwrap();
    let mut broker = Logged::open(directory.path(), START_US);
    for line in HISTORY {
        broker.call(START_US, line);
    }
    for number in 0..1_000 {
        broker.call(START_US, &format!("RPUSH long {number}"));
        broker.call(START_US, &format!("HSET wide field{number} {number}"));
        broker.call(START_US, "INCR often");
    }
    let before = fs::metadata(file(directory.path())).unwrap().len();
    let expected = contents(&mut broker.keyspace, START_US);
    broker.log.compact(&broker.keyspace, START_US).unwrap();
    let after = fs::metadata(file(directory.path())).unwrap().len();
    assert!(after * 4 < before, "{before} bytes became {after}");
    broker.call(START_US, "SET later 1");
    drop(broker);
    let (_, mut again) = open(directory.path(), START_US);
    let mut found = contents(&mut again, START_US);
    found.retain(|line| !line.contains("later"));
    assert_eq!(found, expected);
}

#[test]
fn what_the_server_answered_is_in_the_file() {
    let directory = TempDir::new().unwrap();
    let options = || ServerOptions {
        append_to: Some(directory.path().into()),
        ..ServerOptions::default()
    };
    let server = OwnServer::start(options());
    let mut client = Connection::open(server.address);
    for number in 1..=50 {
        assert_eq!(client.call(&["INCR", "n"]), format!(":{number}\r\n").into_bytes());
        // What a SIGKILL right now would leave.
        let crashed = TempDir::new().unwrap();
        fs::copy(file(directory.path()), file(crashed.path())).unwrap();
        let (_, mut survivor) = open(crashed.path(), support::now_us());
        let peer = survivor.connect();
        let expected = Reply::Bulk(number.to_string().into());
        assert_eq!(survivor.execute(support::now_us(), peer, &["GET", "n"]), expected);
    }
    drop((client, server));
    let again = OwnServer::start(options());
    assert_eq!(
        Connection::open(again.address).call(&["GET", "n"]),
        b"$2\r\n50\r\n"
    );
}
