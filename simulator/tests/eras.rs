//! The real world over a real redis-server that somebody restarts or empties by hand while the run goes on: that is the start of
//! an era, and no violation of the cluster.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::disallowed_methods, reason = "waits for real processes")]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

const SCENARIO: &str = r#"
name = "eras"
question = "What does a broker that forgets do to the verdict?"
duration = "8s"

[devices]
count = 20
lifetime = "4s"
register_rate = 50

[[load]]
kind = "read"
rate = 40
start = "1s"
timeout = "3s"

[expect]
"tickets.violations" = 0
"events.violations" = 0
"defects.count" = 0
"tickets.responses" = ">= 50"
"#;

/// A redis-server that keeps nothing; killed when dropped.
struct Redis {
    process: Child,
    port: u16,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    fn start(directory: &Path, port: u16) -> Self {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("this test needs a real redis-server; install it: apt-get install redis-server");
        let redis = Redis { process, port };
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while redis.says("PING") != "+PONG" {
            assert!(
                std::time::Instant::now() < deadline,
                "redis-server does not answer"
            );
            std::thread::yield_now();
        }
        redis
    }

    /// The first line of the reply; empty if there is none.
    fn says(&self, command: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            writeln!(stream, "{command}\r")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line.trim_end().to_owned())
        };
        ask().unwrap_or_default()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Runs the scenario, and does something to the broker when the load has begun. Its exit code, and its report.
fn run(disturb: impl FnOnce(Redis, &Path) -> Redis) -> (Option<i32>, Json) {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start(directory.path(), free_port());
    std::fs::write(directory.path().join("eras.toml"), SCENARIO).unwrap();
    let mut simulator = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["eras.toml", "--out", "report", "--redis"])
        .arg(format!("redis://127.0.0.1:{}", redis.port))
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(simulator.stderr.take().unwrap());
    // A line each five seconds: the second one comes in the middle of the load.
    let mut text = String::new();
    while !text.contains("  5.0 s  registered") {
        assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
    }
    let redis = disturb(redis, directory.path());
    said.read_to_string(&mut text).unwrap();
    let code = simulator.wait().unwrap().code();
    drop(redis);
    let report = std::fs::read_to_string(directory.path().join("report/report.json")).unwrap();
    (code, serde_json::from_str(&report).unwrap())
}

fn reasons(report: &Json) -> Vec<&str> {
    let eras = report["eras"].as_array().unwrap();
    eras.iter().map(|era| era["reason"].as_str().unwrap()).collect()
}

#[test]
fn a_redis_that_somebody_empties_begins_an_era_and_accuses_nobody() {
    let (code, report) = run(|redis, _| {
        assert_eq!(redis.says("FLUSHALL"), "+OK");
        redis
    });
    let reasons = reasons(&report);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(reasons[2], "the broker was emptied while it ran");
    assert_eq!(
        code,
        Some(0),
        "{} {:#}",
        report["expectations"],
        report["counter_examples"]
    );
}

#[test]
fn a_redis_that_somebody_restarts_begins_an_era_and_accuses_nobody() {
    let (code, report) = run(|redis, directory| {
        let port = redis.port;
        drop(redis);
        Redis::start(directory, port)
    });
    let reasons = reasons(&report);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(reasons[2], "the broker was restarted, and forgot");
    assert_eq!(
        code,
        Some(0),
        "{} {:#}",
        report["expectations"],
        report["counter_examples"]
    );
}
