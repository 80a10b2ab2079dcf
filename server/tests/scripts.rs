//! Scripts under faults: each call of each script fails in turn, every script is executed twice, and no script does what
//! could fail once it has begun to write (Redis does not roll back).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use lwm2m::coap::{Code, Message};
use server::store::Script;
use std::collections::{BTreeMap, BTreeSet};
use support::{Sent, World, device, request};

const A: usize = 0;
const B: usize = 1;

/// An outsider who does everything once and insists: a device that asks again until it is answered, a back end that
/// repeats until the terminal, one device after the other through all that can happen to a ticket.
struct Outsider {
    world: World,
    /// What was told of each ticket, copies left out.
    acks: BTreeMap<String, usize>,
    terminals: BTreeMap<String, Vec<String>>,
    events: Vec<String>,
    /// First transmissions of what may be sent once, by token.
    executed: Vec<String>,
    /// Devices do not answer while this is set.
    mute: bool,
}

fn field(text: &str, name: &str) -> String {
    let (_, rest) = text
        .split_once(&format!("\"{name}\":\""))
        .unwrap_or_else(|| panic!("{name} in {text}"));
    rest.split('"').next().unwrap().to_owned()
}

impl Outsider {
    fn new(world: World) -> Outsider {
        Outsider {
            world,
            acks: BTreeMap::new(),
            terminals: BTreeMap::new(),
            events: Vec::new(),
            executed: Vec::new(),
            mute: false,
        }
    }

    /// Takes in what came, answers what devices were asked; the answers that devices got.
    fn look(&mut self) -> Vec<Sent> {
        let mut answers = Vec::new();
        loop {
            let sent = self.world.sent();
            if sent.is_empty() {
                break;
            }
            for s in sent {
                if s.message.code.is_response() {
                    answers.push(s);
                } else if s.message.code.is_request() {
                    if s.message.code == Code::POST {
                        self.executed.push(s.message.token.to_string());
                    }
                    if !self.mute {
                        let code = if s.message.code == Code::GET {
                            Code::CONTENT
                        } else {
                            Code::CHANGED
                        };
                        self.world.answer(s.node, &s, code, "x");
                    }
                }
            }
        }
        for text in self.world.answers() {
            if text.contains(r#""again":true"#) {
                continue;
            }
            let ticket = field(&text, "ticket");
            if text.contains(r#""ack":true"#) {
                *self.acks.entry(ticket).or_default() += 1;
            } else {
                self.terminals
                    .entry(ticket)
                    .or_default()
                    .push(field(&text, "code"));
            }
        }
        self.events
            .extend(self.world.events().into_iter().map(|(channel, _)| channel));
        answers
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(250) {
            self.world.advance(250);
            self.look();
        }
    }

    /// A device asks until it gets another answer than 5.03; the answer.
    fn uplink(&mut self, n: usize, from: u16, message: impl Fn(u16) -> Message) -> Sent {
        for _ in 0..20 {
            let mid = self.world.next_mid();
            self.world.datagram(n, device(from), &message(mid));
            let answers = self.look();
            for answer in answers {
                if answer.to == device(from) && answer.message.code != Code::SERVICE_UNAVAILABLE {
                    return answer;
                }
            }
            self.pass(250);
        }
        panic!("a device is not answered");
    }

    fn register(&mut self, n: usize, from: u16, ep: &str, lifetime: u32) -> String {
        let template = self.world.register_request(ep, &format!("lt={lifetime}"));
        let answer = self.uplink(n, from, |message_id| Message {
            message_id,
            ..template.clone()
        });
        assert_eq!(answer.message.code, Code::CREATED);
        let id = answer
            .message
            .options
            .all(lwm2m::coap::option::LOCATION_PATH)
            .nth(1)
            .unwrap();
        String::from_utf8(id.to_vec()).unwrap()
    }

    fn on_location(&mut self, n: usize, from: u16, code: Code, id: &str) -> Code {
        let path = format!("/rd/{id}");
        self.uplink(n, from, |mid| request(code, mid, &path)).message.code
    }

    fn publish(&mut self, kind: &str, ticket: &str, timeout: u32) {
        let path = if kind == "read" { "/3/0/1" } else { "/3/0/4" };
        self.world.publish(&format!(
            r#"{{"ep":"dev","ticket":"{ticket}","timeout":{timeout},"req":{{"kind":"{kind}","path":"{path}"}}}}"#
        ));
        self.look();
    }

    /// Repeats a request until it has its outcome.
    fn until_ended(&mut self, kind: &str, ticket: &str) {
        for _ in 0..40 {
            if self.terminals.contains_key(ticket) {
                return;
            }
            self.publish(kind, ticket, 20_000);
            self.pass(500);
        }
        panic!("{ticket} never ended");
    }

    /// One way through everything that scripts do.
    fn live(&mut self) {
        let id = self.register(A, 1, "dev", 600);
        self.until_ended("execute", "plain");
        self.mute = true;
        for (kind, ticket) in [("read", "first"), ("execute", "second"), ("read", "third")] {
            self.publish(kind, ticket, 20_000);
        }
        assert_eq!(self.on_location(B, 2, Code::POST, &id), Code::CHANGED);
        self.register(A, 1, "dev", 600);
        self.mute = false;
        for (kind, ticket) in [("read", "first"), ("execute", "second"), ("read", "third")] {
            self.until_ended(kind, ticket);
        }
        self.mute = true;
        self.publish("read", "late", 1000);
        self.pass(3000);
        self.until_ended("read", "late");
        self.publish("execute", "open", 20_000);
        self.publish("read", "moves", 20_000);
        self.world.kill(A);
        self.pass(1500);
        self.mute = false;
        self.until_ended("execute", "open");
        self.until_ended("read", "moves");
        self.world.start(A);
        self.pass(4500);
        let id = self.register(B, 1, "dev", 600);
        self.mute = true;
        self.publish("execute", "gone", 20_000);
        self.publish("read", "gone too", 20_000);
        assert_eq!(self.on_location(B, 1, Code::DELETE, &id), Code::DELETED);
        self.mute = false;
        self.until_ended("execute", "gone");
        self.until_ended("read", "gone too");
        self.register(A, 1, "dev", 2);
        self.pass(4000);
        self.world.terminate(A);
        self.pass(2000);
    }

    /// What the contract demands of all this, whatever happened to the scripts.
    fn judge(&self, what: &str) {
        for (ticket, terminals) in &self.terminals {
            assert_eq!(terminals.len(), 1, "{what}: {ticket}: {terminals:?}");
            assert!(
                self.acks.get(ticket).is_none_or(|&acks| acks == 1),
                "{what}: {ticket}: {:?}",
                self.acks
            );
        }
        let tickets: Vec<&str> = self.terminals.keys().map(String::as_str).collect();
        assert_eq!(
            tickets,
            [
                "first", "gone", "gone too", "late", "moves", "open", "plain", "second", "third"
            ],
            "{what}"
        );
        for ticket in ["first", "plain", "second", "third", "moves"] {
            let expected = if ["plain", "second"].contains(&ticket) {
                "CHANGED"
            } else {
                "CONTENT"
            };
            assert_eq!(self.terminals[ticket], [expected], "{what}: {ticket}");
        }
        let tokens: BTreeSet<&String> = self.executed.iter().collect();
        // Copies of one message are no second exchange, but none was due in the time that they had.
        assert!(tokens.len() <= 4, "{what}: {:?}", self.executed);
    }
}

fn events_of_a_life() -> Vec<&'static str> {
    vec!["NEW", "UP", "DEL", "NEW", "DEL", "NEW", "DEL", "NEW", "DEL"]
}

#[test]
fn a_life_without_faults_is_what_the_others_are_compared_with() {
    let mut outsider = Outsider::new(World::new(2));
    outsider.live();
    outsider.judge("no fault");
    assert_eq!(outsider.events, events_of_a_life());
    assert_eq!(outsider.acks.values().sum::<usize>(), 9);
}

#[test]
fn every_script_can_be_executed_twice_without_a_second_effect() {
    let mut world = World::new(2);
    world.execute_everything_twice();
    let mut outsider = Outsider::new(world);
    outsider.live();
    outsider.judge("twice");
    assert_eq!(outsider.events, events_of_a_life());
    assert_eq!(outsider.acks.values().sum::<usize>(), 9);
}

/// The type of the keys of each family, by what follows the hash tag.
fn kind_of(key: &str) -> &'static str {
    let (_, family) = key
        .split_once('}')
        .unwrap_or_else(|| panic!("a key without a hash tag: {key}"));
    let members = key.contains("{m}");
    match family {
        "m" | "o" => "hash",
        "c" if members => "hash",
        "s" if members => "set",
        "d" | "x" => "sorted set",
        _ if family.starts_with("e:") || family.starts_with("t:") || family.starts_with("i:") => "hash",
        _ if family.starts_with("q:") => "list",
        _ if family.starts_with("g:") => "string",
        _ => panic!("a key of no family: {key}"),
    }
}

/// The type that a command works on; `any` for those that take all.
fn kind_of_command(command: &str) -> &'static str {
    match command {
        "HGET" | "HMGET" | "HGETALL" | "HLEN" | "HSET" | "HSETNX" | "HDEL" | "HINCRBY" => "hash",
        "GET" => "string",
        // SET replaces whatever was there.
        "SET" | "DEL" | "EXISTS" | "PTTL" | "PERSIST" | "PEXPIRE" => "any",
        "RPUSH" | "LPOP" | "LREM" | "LLEN" | "LINDEX" => "list",
        "ZADD" | "ZREM" | "ZCOUNT" | "ZRANGE" | "ZRANGEBYSCORE" => "sorted set",
        "SADD" | "SCARD" | "SMEMBERS" => "set",
        other => panic!("{other}: say here what it works on, and in EFFECTS whether it writes"),
    }
}

#[test]
fn no_script_calls_what_could_fail_on_its_own_keys() {
    let mut world = World::new(2);
    world.trace_scripts();
    let mut outsider = Outsider::new(world);
    outsider.live();
    let trace = outsider.world.trace();
    let mut seen = BTreeSet::new();
    for (script, _, command, key) in &trace {
        seen.insert(script.clone());
        if ["TIME", "PUBLISH"].contains(&command.as_str()) {
            continue;
        }
        let kind = kind_of_command(command);
        assert!(kind == "any" || kind == kind_of(key), "{script}: {command} {key}");
    }
    // Answers of devices were never strays in this life.
    let unseen: Vec<String> = Script::ALL
        .iter()
        .map(|s| format!("{s:?}"))
        .filter(|s| !seen.contains(s))
        .collect();
    assert_eq!(unseen, ["Peek", "Forward"]);
}

fn fail_each_call_of(scripts: &[Script]) {
    for &script in scripts {
        for k in 1.. {
            let mut world = World::new(2);
            world.fail_once(script, k);
            let mut outsider = Outsider::new(world);
            outsider.live();
            let what = format!("{script:?} failed at its call {k}");
            let Some(injected) = outsider.world.injected.pop() else {
                assert!(k > 2, "{script:?} was never called");
                break;
            };
            assert!(injected.unchanged, "{what}");
            outsider.judge(&what);
        }
    }
}

// What fails after the first effect would leave half a step; the test above says why nothing can.

#[test]
fn a_members_script_that_fails_before_its_first_effect_changes_nothing_and_costs_nobody_anything() {
    fail_each_call_of(&[
        Script::Join,
        Script::Renew,
        Script::MarkDead,
        Script::Leave,
        Script::Take,
        Script::Begin,
    ]);
}

#[test]
fn a_tickets_script_that_fails_before_its_first_effect_changes_nothing_and_costs_nobody_anything() {
    fail_each_call_of(&[Script::Accept, Script::Finish, Script::Sweep]);
}

#[test]
fn a_registrations_script_that_fails_before_its_first_effect_changes_nothing_and_costs_nobody_anything() {
    fail_each_call_of(&[
        Script::Expire,
        Script::Register,
        Script::Update,
        Script::Deregister,
    ]);
}
