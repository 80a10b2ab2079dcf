//! Until when no registration expires, by the scripts of members on a key space: what `join` and `renew` answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use broker::{ClientId, Keyspace, Limits, Reply};
use server::store::Script;

/// A broker with a cluster whose lease is 1 s.
struct Cluster {
    keyspace: Keyspace,
    client: ClientId,
}

impl Cluster {
    fn new() -> Self {
        let mut keyspace = Keyspace::new(Limits::default());
        let client = keyspace.connect();
        Cluster { keyspace, client }
    }

    /// `id` joins when the broker's clock shows this: for how many ms no registration expires.
    fn join(&mut self, at_ms: u64, id: &str) -> i64 {
        self.call(Script::Join, at_ms, id, &["nonce", "wiki", "256"], 7)
    }

    /// `id#1` renews, and reports for how many ms nothing must expire as far as it knows.
    fn renew(&mut self, at_ms: u64, id: &str, reports: &str) -> i64 {
        let heard = at_ms.to_string();
        self.call(Script::Renew, at_ms, id, &[&heard, "0", "0", reports], 6)
    }

    fn call(&mut self, script: Script, at_ms: u64, id: &str, rest: &[&str], at: usize) -> i64 {
        let words = [&["EVAL", script.source(), "1", "{m}c", id, "1", "", "1000"], rest].concat();
        match self.keyspace.execute(at_ms * 1000, self.client, &words) {
            Reply::Array(reply) if matches!(&reply[0], Reply::Bulk(status) if status == "OK") => {
                match reply.get(at) {
                    Some(Reply::Integer(left)) => *left,
                    other => panic!("{script:?} said {other:?}"),
                }
            }
            other => panic!("{script:?} answered {other:?}"),
        }
    }
}

#[test]
fn nothing_is_suspended_while_members_renew() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.join(10_000, "A"), 0);
    assert_eq!(cluster.renew(10_250, "A", "0"), 0);
    assert_eq!(cluster.renew(11_250, "A", "0"), 0);
    assert_eq!(cluster.join(12_250, "B"), 0);
}

#[test]
fn whoever_comes_after_a_silence_gets_as_long_again_and_five_seconds_and_later_members_the_rest_of_it() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    cluster.renew(10_250, "A", "0");
    assert_eq!(cluster.join(50_250, "B"), 45_000);
    assert_eq!(cluster.renew(50_750, "B", "0"), 44_500);
    assert_eq!(cluster.join(51_250, "C"), 44_000);
    assert_eq!(cluster.renew(51_750, "C", "0"), 43_500);
}

#[test]
fn what_a_second_silence_took_of_the_suspension_is_given_back() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    assert_eq!(cluster.join(30_000, "B"), 25_000);
    assert_eq!(cluster.join(50_000, "C"), 45_000);
    // Of which some is over already.
    let left = (50_500..=90_000)
        .step_by(500)
        .map(|at| cluster.renew(at, "C", "0"))
        .last();
    assert_eq!(left, Some(5000));
    assert_eq!(cluster.join(100_000, "D"), 15_000);
}

#[test]
fn a_jump_that_a_member_reports_is_told_to_all_and_does_not_grow_by_the_telling() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    cluster.join(10_000, "B");
    assert_eq!(cluster.renew(10_900, "A", "800"), 800);
    assert_eq!(cluster.renew(11_000, "B", "0"), 700);
    assert_eq!(cluster.renew(11_100, "A", "600"), 600);
    assert_eq!(cluster.join(11_200, "C"), 500);
}

#[test]
fn no_suspension_is_longer_than_a_day() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    assert_eq!(cluster.join(10_000 + 3 * 86_400_000, "A"), 86_400_000);
    // The clock is set right again.
    assert_eq!(cluster.join(11_000, "A"), 86_400_000);
}
