//! `take` by itself, on a key space: who becomes the steward of a partition, and which views count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use broker::{ClientId, Keyspace, Limits, Reply};
use server::store::Call;
use server::store::protocol::calls::{Arguments, Context, Deregister, Take};
use server::store::protocol::{BrokerTime, Generation};

/// A broker in which partition 0 is taken.
struct Partition {
    keyspace: Keyspace,
    client: ClientId,
}

impl Partition {
    fn new() -> Self {
        let mut keyspace = Keyspace::new(Limits::default());
        let client = keyspace.connect();
        Partition { keyspace, client }
    }

    /// A member takes it in a generation, by a view: the status, and the term if there is one.
    fn take(&mut self, member: &str, generation: i64, version: u64) -> (String, Option<String>) {
        self.call(member, generation, &Take { version })
    }

    fn call<A: Arguments>(&mut self, member: &str, generation: i64, call: &A) -> (String, Option<String>) {
        let context = Context {
            me: member,
            lease_until: BrokerTime(2000),
            generation: Generation(generation),
            tag: "0001",
            retention: 300_000,
            nstart: 1,
        };
        let partition = server::partition::Partition::of_token_prefix("0000").unwrap();
        let call = Call::of_partition(1, "", partition, &context.text(), call);
        let mut words: Vec<&[u8]> = vec![b"EVAL", A::SCRIPT.source().as_bytes(), b"1", call.key.as_bytes()];
        words.extend(call.args.iter().map(Vec::as_slice));
        let Reply::Array(reply) = self.keyspace.execute(1_000_000, self.client, &words) else {
            panic!("{:?} refused its arguments", A::SCRIPT);
        };
        let text = |at: usize| match reply.get(at) {
            Some(Reply::Bulk(text) | Reply::Simple(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        (text(0).unwrap(), text(3))
    }
}

fn ok(term: &str) -> (String, Option<String>) {
    ("OK".to_owned(), Some(term.to_owned()))
}

#[test]
fn a_member_with_an_older_view_of_the_same_generation_takes_nothing() {
    let mut partition = Partition::new();
    assert_eq!(partition.take("A#1", 100, 9), ok("1"));
    assert_eq!(partition.take("A#1", 100, 9), ok("1"));
    assert_eq!(partition.take("B#1", 100, 8), ("VIEW".to_owned(), None));
    assert_eq!(partition.take("B#1", 100, 10), ok("2"));
}

#[test]
fn a_view_of_an_earlier_generation_keeps_nobody_from_taking() {
    let mut partition = Partition::new();
    // A call of the era before, given again to a broker that has forgotten everything.
    assert_eq!(partition.take("A#1", 100, 9), ok("1"));
    assert_eq!(partition.take("B#1", 200, 1), ok("2"));
    assert_eq!(
        partition.take("A#1", 100, 10),
        ("GENERATION".to_owned(), Some("200".to_owned()))
    );
}

#[test]
fn nor_does_it_after_something_else_was_done_in_the_new_generation() {
    let mut partition = Partition::new();
    assert_eq!(partition.take("A#1", 100, 9), ok("1"));
    let (status, _) = partition.call(
        "B#1",
        200,
        &Deregister {
            id: "no-such-registration",
            uplink: "D1@127.0.0.1:5000",
        },
    );
    assert_eq!(status, "UNKNOWN");
    assert_eq!(partition.take("B#1", 200, 1), ok("2"));
}

#[test]
fn the_same_member_and_view_of_another_generation_begin_another_term() {
    let mut partition = Partition::new();
    assert_eq!(partition.take("A#1", 100, 3), ok("1"));
    assert_eq!(partition.take("A#1", 200, 3), ok("2"));
}
