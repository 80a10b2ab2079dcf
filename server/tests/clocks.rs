//! The scripts of members on a key space, under a clock that jumps: until when no registration expires, how long a
//! lease lasts, and which numbers are never drawn twice, not even by a broker that forgets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use broker::{ClientId, Keyspace, Limits, Reply};
use server::store::Call;
use server::store::protocol::calls::{Arguments, Caller, Join, Renew};
use server::store::protocol::schema::LAYOUT;
use server::store::protocol::{BrokerTime, Generation};

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
        ok(&self.joins(at_ms, id, "nonce", 0), 7)
    }

    /// `id#1` renews, and reports for how many ms nothing must expire as far as it knows.
    fn renew(&mut self, at_ms: u64, id: &str, reports: u64) -> i64 {
        ok(&self.renews(at_ms, id, 0, reports), 6)
    }

    fn joins(&mut self, at_ms: u64, id: &str, nonce: &str, known: i64) -> Vec<Reply> {
        let known = Generation(known);
        let join = Join {
            nonce,
            dialect: "wiki",
            partitions: 256,
            known,
            layout: LAYOUT,
            nstart: 1,
            retention: 300_000,
        };
        // Who joins was nobody before.
        self.answer(at_ms, id, 0, &join)
    }

    fn renews(&mut self, at_ms: u64, id: &str, known: u64, kept: u64) -> Vec<Reply> {
        let renew = Renew {
            heard: BrokerTime(at_ms as i64),
            known,
            unready: false,
            kept,
            pair: 1,
        };
        self.answer(at_ms, id, 1, &renew)
    }

    fn answer<A: Arguments>(&mut self, at_ms: u64, id: &str, incarnation: u64, call: &A) -> Vec<Reply> {
        let lease = 1000;
        let caller = Caller {
            id,
            incarnation,
            lease,
        };
        let call = Call::of_cluster(1, "", &caller, call);
        let mut words: Vec<&[u8]> = vec![b"EVAL", A::SCRIPT.source().as_bytes(), b"1", call.key.as_bytes()];
        words.extend(call.args.iter().map(Vec::as_slice));
        match self.keyspace.execute(at_ms * 1000, self.client, &words) {
            Reply::Array(reply) => reply,
            other => panic!("{:?} answered {other:?}", A::SCRIPT),
        }
    }
}

/// A value of a reply that says `OK`.
fn ok(reply: &[Reply], at: usize) -> i64 {
    match reply {
        [Reply::Bulk(status), rest @ ..] if status == "OK" => integer(&rest[at - 1]),
        other => panic!("the answer was {other:?}"),
    }
}

fn integer(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(number) => *number,
        other => panic!("expected a number, not {other:?}"),
    }
}

#[test]
fn nothing_is_suspended_while_members_renew() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.join(10_000, "A"), 0);
    assert_eq!(cluster.renew(10_250, "A", 0), 0);
    assert_eq!(cluster.renew(11_250, "A", 0), 0);
    assert_eq!(cluster.join(12_250, "B"), 0);
}

#[test]
fn whoever_comes_after_a_silence_gets_as_long_again_and_five_seconds_and_later_members_the_rest_of_it() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    cluster.renew(10_250, "A", 0);
    assert_eq!(cluster.join(50_250, "B"), 45_000);
    assert_eq!(cluster.renew(50_750, "B", 0), 44_500);
    assert_eq!(cluster.join(51_250, "C"), 44_000);
    assert_eq!(cluster.renew(51_750, "C", 0), 43_500);
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
        .map(|at| cluster.renew(at, "C", 0))
        .last();
    assert_eq!(left, Some(5000));
    assert_eq!(cluster.join(100_000, "D"), 15_000);
}

#[test]
fn a_jump_that_a_member_reports_is_told_to_all_and_does_not_grow_by_the_telling() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    cluster.join(10_000, "B");
    assert_eq!(cluster.renew(10_900, "A", 800), 800);
    assert_eq!(cluster.renew(11_000, "B", 0), 700);
    assert_eq!(cluster.renew(11_100, "A", 600), 600);
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

#[test]
fn an_id_is_held_for_no_more_than_a_lease_where_the_clock_was_set_back() {
    let mut cluster = Cluster::new();
    cluster.join(70_000, "A");
    let held = cluster.joins(10_000, "A", "another process", 0);
    assert!(
        matches!(&held[0], Reply::Bulk(status) if status == "HELD"),
        "{held:?}"
    );
    assert_eq!(integer(&held[2]), 1000);
    let later = cluster.joins(11_001, "A", "another process", 0);
    assert!(
        matches!(&later[0], Reply::Bulk(status) if status == "OK"),
        "{later:?}"
    );
}

/// The generation and the version of the view that a join was told.
fn told(reply: &[Reply]) -> (i64, String) {
    let text = |at: usize| match &reply[at] {
        Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("expected a text, not {other:?}"),
    };
    (integer(&reply[5]), text(6).lines().nth(1).unwrap().to_owned())
}

#[test]
fn a_generation_is_higher_than_all_that_a_joining_process_has_heard_of() {
    let mut cluster = Cluster::new();
    let mut generation = |at_ms, id, known| told(&cluster.joins(at_ms, id, "nonce", known)).0;
    // The clock of the broker, which is empty, was set back by a minute.
    assert_eq!(generation(10_000, "A", 70000), 70001);
    assert_eq!(generation(10_100, "B", 70000), 70001);
    assert_eq!(generation(10_200, "C", 0), 70001);
    // Somebody knows of a later one still: then what is there now is another.
    assert_eq!(generation(10_300, "D", 80000), 80001);
    assert_eq!(generation(10_400, "E", 80001), 80001);
    let mut without = Cluster::new();
    let first = without.joins(90_000, "A", "nonce", 80_001);
    assert_eq!(told(&first).0, 90_000);
}

#[test]
fn versions_of_the_view_go_with_the_clock_and_never_back() {
    let mut cluster = Cluster::new();
    let mut version = |at_ms, id| told(&cluster.joins(at_ms, id, "nonce", 0)).1;
    assert_eq!(version(10_000, "A"), "10000");
    assert_eq!(version(10_000, "B"), "10001");
    assert_eq!(version(9000, "C"), "10002");
    assert_eq!(version(12_000, "D"), "12000");
}

#[test]
fn a_member_that_knows_a_later_view_than_the_broker_learns_that_it_forgot() {
    let mut cluster = Cluster::new();
    cluster.join(10_000, "A");
    let mut status = |view| match &cluster.renews(10_250, "A", view, 0)[0] {
        Reply::Bulk(status) => String::from_utf8_lossy(status).into_owned(),
        other => panic!("expected a status, not {other:?}"),
    };
    assert_eq!(status(10000), "OK");
    // That made it ready, which is a new view, of 10 250.
    assert_eq!(status(10250), "OK");
    assert_eq!(status(10251), "UNKNOWN");
}
