//! Transitions as a key space's journal shows them.

use super::*;
use broker::{Keyspace, Limits};

/// A key space whose commands are shown as if a script had called them.
struct Data {
    keyspace: Keyspace,
    seen: Transitions,
}

impl Data {
    fn new() -> Self {
        let mut keyspace = Keyspace::new(Limits::default());
        keyspace.record_steps();
        Data {
            keyspace,
            seen: Transitions::default(),
        }
    }

    fn script(&mut self, script: Script, caller: &str, commands: &[&str]) {
        let client = self.keyspace.connect();
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            self.keyspace.execute(1_000_000, client, &words);
        }
        let key = if script.is_about_members() {
            "{c}c"
        } else {
            "{p00}m"
        };
        let call = Call {
            id: 1,
            script,
            key: key.to_owned(),
            args: vec![caller.into()],
        };
        let records = self.keyspace.take_records();
        self.seen.wrote(&call, &records);
    }

    fn told_again(&mut self, caller: &str, entry: &str) {
        let client = self.keyspace.connect();
        let words = ["HSET", "{p00}o", "07", entry];
        self.keyspace.execute(1_000_000, client, &words);
        self.script(Script::Sweep, caller, &[]);
    }

    fn seen(&self) -> Vec<(String, u64)> {
        let counts = self.seen.counts.iter();
        counts.map(|(it, count)| (it.to_string(), *count)).collect()
    }
}

fn once(names: &[&str]) -> Vec<(String, u64)> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

#[test]
fn a_ticket_goes_from_queue_to_holder_to_another_holder_and_ends() {
    let mut data = Data::new();
    data.script(Script::Accept, "A#1", &["HSET {p00}t:1:d:t st q cl r"]);
    data.script(
        Script::Finish,
        "A#1",
        &["HSET {p00}t:1:d:t st d h A#1 rd 1 tk 07"],
    );
    data.told_again("B#1", "A#1 1 2 1:d:t");
    data.script(Script::Sweep, "B#1", &["HSET {p00}t:1:d:t st d h B#1 rd 3 tk 07"]);
    let end = ["SET {p00}t:1:d:t ,\"resp\":{} PX 9"];
    data.script(Script::Finish, "A#1", &end);
    let expected = [
        "dispatched -> dispatched (sweep: another holder, same exchange)",
        "dispatched -> dispatched (sweep: its holder is told again)",
        "dispatched -> ended (finish: an answer that another heard)",
        "new -> queued (accept)",
        "queued -> dispatched (finish)",
    ];
    assert_eq!(data.seen(), once(&expected));
}

#[test]
fn what_may_be_sent_once_is_told_apart_until_it_is_sent() {
    let mut data = Data::new();
    data.script(
        Script::Accept,
        "A#1",
        &["HSET {p00}t:1:d:t st d h B#1 tk 07 cl n"],
    );
    data.script(Script::Begin, "B#1", &["HSET {p00}t:1:d:t st s"]);
    let body = "SET {p00}t:1:d:t ,\"err\":{\"code\":\"OUTCOME_UNKNOWN\"} PX 9";
    data.script(Script::Sweep, "A#1", &[body]);
    let expected = [
        "dispatched once -> sent (begin)",
        "new -> dispatched once (accept)",
        "sent -> ended (sweep: OUTCOME_UNKNOWN)",
    ];
    assert_eq!(data.seen(), once(&expected));
}

#[test]
fn a_refusal_and_what_is_forgotten_are_told_apart_by_why() {
    let mut data = Data::new();
    let body = "SET {p00}t:1:d:t ,\"err\":{\"code\":\"OVERLOADED\"} PX 9";
    data.script(Script::Accept, "A#1", &[body, "ZADD {p00}d 9 1:d:t"]);
    data.script(Script::Accept, "A#1", &["HSET {p00}t:1:d:old st q cl r"]);
    let ended = ["SET {p00}t:1:d:old ,\"resp\":{} PX 9", "ZADD {p00}d 8 1:d:old"];
    data.script(Script::Finish, "A#1", &ended);
    data.script(
        Script::Sweep,
        "A#1",
        &["ZREM {p00}d 1:d:old", "DEL {p00}t:1:d:t", "ZREM {p00}d 1:d:t"],
    );
    let expected = [
        "ended -> forgotten (sweep: its time is over)",
        "new -> queued (accept)",
        "new -> refused (accept: OVERLOADED)",
        "queued -> ended (finish: an answer that another heard)",
        "refused -> forgotten (sweep: over the cap)",
    ];
    assert_eq!(data.seen(), once(&expected));
}

#[test]
fn owners_stewards_and_members_change_hands_and_states() {
    let mut data = Data::new();
    data.script(Script::Register, "A#1", &["HSET {p00}e:d ow A#1"]);
    data.script(Script::Update, "B#1", &["HSET {p00}e:d ow B#1"]);
    data.script(Script::Expire, "B#1", &["DEL {p00}e:d"]);
    data.script(Script::Take, "A#1", &["HSET {p00}m st A#1 vw 1"]);
    data.script(Script::Take, "A#1", &["HSET {p00}m st A#1 vw 2"]);
    data.script(Script::Join, "A", &["HSET {c}i:A state a lease 5 ready 0"]);
    data.script(
        Script::Renew,
        "A",
        &["HSET {c}i:A lease 9", "HSET {c}i:A ready 1"],
    );
    data.script(Script::Renew, "B", &["HSET {c}i:A lease 7"]);
    data.script(Script::MarkDead, "B", &["HSET {c}i:A state d ready 0"]);
    let expected = [
        "alive -> ready (renew)",
        "outside -> alive (join)",
        "ready -> dead (markdead)",
        "ready -> ready (renew: another cuts its lease)",
        "nobody -> one (register)",
        "one -> another (update)",
        "one -> nobody (expire)",
        "nobody -> one (take)",
        "one -> the same (take)",
    ];
    assert_eq!(data.seen(), once(&expected));
}

#[test]
fn after_the_broker_forgot_something_what_it_knows_counts() {
    let mut data = Data::new();
    let text = |words: &[&str]| words.iter().map(|word| (*word).into()).collect::<Vec<Vec<u8>>>();
    let ticket = text(&["st", "s", "h", "A#1", "tk", "07", "cl", "n"]);
    data.seen.learn(&[(b"{p00}t:1:d:t".to_vec(), ticket)]);
    assert_eq!(data.seen(), []);
    data.script(Script::Finish, "A#1", &["SET {p00}t:1:d:t ,\"resp\":{} PX 9"]);
    data.seen.learn(&[]);
    data.script(
        Script::Accept,
        "A#1",
        &["DEL {p00}t:1:d:t", "HSET {p00}t:1:d:t st s h A#1 tk 08 cl n"],
    );
    let expected = ["new -> sent (accept)", "sent -> ended (finish: an answer)"];
    assert_eq!(data.seen(), once(&expected));
}

#[test]
fn no_transition_is_in_the_table_twice() {
    for of in HEADINGS {
        let mut all: Vec<Transition> = known(of).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert!(count > 0);
        assert_eq!(all.len(), count, "{of}");
    }
}
