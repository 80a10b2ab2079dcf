//! A small world for instances: a key space as the broker, a hand-held clock, devices and a back end in the test's own
//! hands. Everything happens at once unless the test pauses, kills or cuts something.

#![allow(dead_code)] // each test file uses its own part of it

mod beside;
mod faults;
pub mod ledger;

pub use faults::Injected;

use broker::{ClientId, Keyspace, Push, Reply as BrokerReply};
use lwm2m::coap::{Code, Kind, Message, Options, Token, TransmissionParameters, option};
use lwm2m::time::Time;
use server::instance::{Config, Dialect, Input, Instance, Limits, Output};
use server::mutant::Planted;
use server::store::{Call, Reply, Script, Value};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The broker's clock is this much ahead of the instances' (both go equally fast).
const UNIX_BASE_US: u64 = 1_795_000_000_000_000;

enum Delivery {
    CommandConnected,
    CommandLost,
    SubscriberConnected,
    SubscriberLost,
    Reply(u64, Result<Reply, String>),
    Message(String, Vec<u8>),
    Datagram(SocketAddr, Vec<u8>),
}

struct Node {
    config: Config,
    instance: Option<Instance>,
    command: Option<ClientId>,
    subscriber: Option<ClientId>,
    channels: Vec<String>,
    inbox: VecDeque<Delivery>,
    /// Replies that are long under way.
    late: VecDeque<Delivery>,
    paused: bool,
    faults: faults::Faults,
    ready: Vec<String>,
    fatal: Option<String>,
    left: bool,
}

/// A datagram that an instance sent to a device.
pub struct Sent {
    /// The instance's number.
    pub node: usize,
    /// The device's address.
    pub to: SocketAddr,
    /// What it says.
    pub message: Message,
}

pub struct World {
    pub now: Time,
    broker: Keyspace,
    broker_up: bool,
    back_end: ClientId,
    hashes: Vec<String>,
    nodes: Vec<Node>,
    heard: Vec<(String, String)>,
    sent: Vec<Sent>,
    next_mid: u16,
    /// That of instances that are added from now on.
    pub lease: Duration,
    seed: u64,
    clock_jump_us: i64,
    twice: bool,
    failing: Option<Script>,
    beside: Option<beside::Beside>,
    pub injected: Vec<Injected>,
}

pub fn device(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 9, 0, 1], 10_000 + n))
}

impl World {
    /// Instances `A`, `B`, `C` … that are members, ready, and share the partitions.
    pub fn new(instances: usize) -> World {
        World::with_limits(instances, Limits::default())
    }

    pub fn with_limits(instances: usize, limits: Limits) -> World {
        World::with_lease(instances, limits, Duration::from_secs(1))
    }

    pub fn with_lease(instances: usize, limits: Limits, lease: Duration) -> World {
        let mut broker = Keyspace::new(broker::Limits::default());
        let back_end = broker.connect();
        let mut world = World {
            now: Time::from_millis(1000),
            broker,
            broker_up: true,
            back_end,
            hashes: Vec::new(),
            nodes: Vec::new(),
            heard: Vec::new(),
            sent: Vec::new(),
            next_mid: 1,
            lease,
            seed: 1,
            clock_jump_us: 0,
            twice: false,
            failing: None,
            beside: None,
            injected: Vec::new(),
        };
        for channel in ["LESHAN_RESP", "LESHAN_REG_NEW", "LESHAN_REG_UP", "LESHAN_REG_DEL"] {
            world.command(back_end, &[b"SUBSCRIBE", channel.as_bytes()]);
        }
        world.load_scripts();
        for n in 0..instances {
            world.add(&char::from(b'A' + n as u8).to_string(), limits.clone());
        }
        // A member is given partitions once it has listened for two leases and a second.
        world.advance(lease.as_millis() as u64 * 4 + 1000);
        world.heard.clear();
        world
    }

    /// A back end's connection cannot publish while it is subscribed, so scripts and requests have their own.
    fn load_scripts(&mut self) {
        let client = self.broker.connect();
        self.hashes = Script::ALL
            .iter()
            .map(
                |script| match self.command(client, &[b"SCRIPT", b"LOAD", script.source().as_bytes()]) {
                    BrokerReply::Bulk(hash) => String::from_utf8(hash.to_vec()).unwrap(),
                    other => panic!("{script:?} does not compile: {other:?}"),
                },
            )
            .collect();
    }

    pub fn add(&mut self, id: &str, limits: Limits) -> usize {
        let n = self.prepare(id, limits);
        self.start(n);
        n
    }

    /// An instance that is not started yet.
    pub fn prepare(&mut self, id: &str, limits: Limits) -> usize {
        let n = self.nodes.len();
        let config = Config {
            id: id.parse().unwrap(),
            nonce: format!("process {n}"),
            address: SocketAddr::from(([127, 0, 0, 1], 5001 + n as u16)),
            lease: self.lease,
            prefix: String::new(),
            dialect: Dialect::Wiki,
            retention: Duration::from_secs(300),
            nstart: 1,
            parameters: TransmissionParameters::default(),
            limits,
            planted: Planted::default(),
        };
        self.nodes.push(Node {
            config,
            instance: None,
            command: None,
            subscriber: None,
            channels: Vec::new(),
            inbox: VecDeque::new(),
            late: VecDeque::new(),
            paused: false,
            faults: faults::Faults::default(),
            ready: Vec::new(),
            fatal: None,
            left: false,
        });
        n
    }

    /// Starts the process of an instance (again).
    pub fn start(&mut self, n: usize) {
        self.seed += 1;
        let node = &mut self.nodes[n];
        node.config.nonce = format!("process {n} of seed {}", self.seed);
        node.instance = Some(Instance::new(node.config.clone(), self.seed));
        (node.paused, node.left) = (false, false);
        self.connect_command(n);
        self.settle();
    }

    // Faults.

    pub fn kill(&mut self, n: usize) {
        self.disconnect(n);
        self.nodes[n].instance = None;
        self.nodes[n].inbox.clear();
    }

    /// SIGSTOP: its sockets stay open and fill.
    pub fn pause(&mut self, n: usize) {
        self.nodes[n].paused = true;
    }

    pub fn resume(&mut self, n: usize) {
        self.nodes[n].paused = false;
        self.settle();
    }

    pub fn terminate(&mut self, n: usize) {
        let now = self.now;
        self.nodes[n]
            .instance
            .as_mut()
            .unwrap()
            .handle(now, Input::Shutdown);
        self.outputs(n);
        self.settle();
    }

    pub fn cut_subscriber(&mut self, n: usize) {
        if let Some(client) = self.nodes[n].subscriber.take() {
            self.broker.disconnect(client);
        }
        self.nodes[n].inbox.push_back(Delivery::SubscriberLost);
        self.settle();
    }

    pub fn subscribe_again(&mut self, n: usize) {
        self.connect_subscriber(n);
        self.settle();
    }

    pub fn broker_down(&mut self) {
        self.broker_up = false;
        for n in 0..self.nodes.len() {
            self.disconnect(n);
            self.nodes[n].inbox.push_back(Delivery::CommandLost);
            self.nodes[n].inbox.push_back(Delivery::SubscriberLost);
        }
        self.settle();
    }

    pub fn broker_up(&mut self) {
        self.broker_up = true;
        for n in 0..self.nodes.len() {
            if self.nodes[n].instance.is_some() {
                self.connect_command(n);
                if !self.nodes[n].channels.is_empty() {
                    self.connect_subscriber(n);
                }
            }
        }
        self.settle();
    }

    /// FLUSHALL: the broker forgets everything but its scripts and subscribers.
    pub fn broker_forgets(&mut self) {
        let client = self.broker.connect();
        self.command(client, &[b"FLUSHALL"]);
        self.broker.disconnect(client);
    }

    /// The broker's clock is set forward.
    pub fn broker_clock_jumps(&mut self, ms: u64) {
        self.clock_jump_us += i64::try_from(ms * 1000).unwrap();
    }

    /// The broker's clock is set back.
    pub fn broker_clock_falls(&mut self, ms: u64) {
        self.clock_jump_us -= i64::try_from(ms * 1000).unwrap();
    }

    fn disconnect(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        for client in [node.command.take(), node.subscriber.take()]
            .into_iter()
            .flatten()
        {
            self.broker.disconnect(client);
        }
    }

    fn connect_command(&mut self, n: usize) {
        if self.broker_up {
            self.nodes[n].command = Some(self.broker.connect());
            self.nodes[n].inbox.push_back(Delivery::CommandConnected);
        }
    }

    fn connect_subscriber(&mut self, n: usize) {
        if !self.broker_up {
            return;
        }
        let client = self.broker.connect();
        for channel in self.nodes[n].channels.clone() {
            self.command(client, &[b"SUBSCRIBE", channel.as_bytes()]);
        }
        self.nodes[n].subscriber = Some(client);
        self.nodes[n].inbox.push_back(Delivery::SubscriberConnected);
    }

    // The broker.

    fn broker_time(&self) -> u64 {
        (UNIX_BASE_US + self.now.as_micros()).saturating_add_signed(self.clock_jump_us)
    }

    fn command(&mut self, client: ClientId, words: &[&[u8]]) -> BrokerReply {
        let reply = self.broker.execute(self.broker_time(), client, words);
        self.deliver_pushes();
        reply
    }

    fn deliver_pushes(&mut self) {
        for (client, push) in self.broker.take_pushes() {
            let Push::Message { channel, payload, .. } = push else {
                continue;
            };
            let channel = String::from_utf8(channel.to_vec()).unwrap();
            if client == self.back_end {
                self.heard
                    .push((channel, String::from_utf8(payload.to_vec()).unwrap()));
            } else if let Some(node) = self.nodes.iter_mut().find(|node| node.subscriber == Some(client)) {
                node.inbox.push_back(Delivery::Message(channel, payload.to_vec()));
            }
        }
    }

    fn execute(&mut self, n: usize, call: &Call) {
        let Some(client) = self.nodes[n].command else {
            return;
        };
        match &mut self.nodes[n].faults.calls_left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        let hash = self.hashes[call.script.index()].clone();
        let mut words: Vec<&[u8]> = vec![b"EVALSHA", hash.as_bytes(), b"1", call.key.as_bytes()];
        words.extend(call.args.iter().map(Vec::as_slice));
        self.execute_beside(call);
        let before = (self.failing == Some(call.script)).then(|| self.dump());
        let mut answer = self.command(client, &words);
        if self.twice {
            answer = self.command(client, &words);
        }
        let reply = match answer {
            BrokerReply::Error(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                if let Some(before) = before.filter(|_| text.contains("injected")) {
                    let unchanged = self.dump() == before;
                    self.injected.push(Injected { unchanged });
                    self.heal(call.script);
                } else {
                    assert!(text.starts_with("OOM"), "{:?} failed: {text}", call.script);
                }
                Err(text)
            }
            reply => Reply::new(value(reply)).ok_or_else(|| "no status".to_owned()),
        };
        if self.nodes[n].faults.replies_are_lost {
            return;
        }
        let node = &mut self.nodes[n];
        let arriving = if node.faults.replies_wait {
            &mut node.late
        } else {
            &mut node.inbox
        };
        arriving.push_back(Delivery::Reply(call.id, reply));
    }

    // Time.

    pub fn advance(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let next = (0..self.nodes.len())
                .filter(|&n| !self.nodes[n].paused)
                .filter_map(|n| Some((self.nodes[n].instance.as_ref()?.next_deadline()?, n)))
                .min();
            match next {
                Some((at, n)) if at <= end => {
                    self.now = self.now.max(at);
                    let now = self.now;
                    self.nodes[n]
                        .instance
                        .as_mut()
                        .unwrap()
                        .handle(now, Input::Timeout);
                    self.outputs(n);
                    self.settle();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Delivers what is under way until nothing is.
    fn settle(&mut self) {
        while let Some(n) = (0..self.nodes.len()).find(|&n| {
            let node = &self.nodes[n];
            !node.paused && node.instance.is_some() && !node.inbox.is_empty()
        }) {
            let now = self.now;
            let node = &mut self.nodes[n];
            let instance = node.instance.as_mut().unwrap();
            match node.inbox.pop_front().unwrap() {
                Delivery::CommandConnected => instance.handle(now, Input::CommandConnected),
                Delivery::CommandLost => instance.handle(now, Input::CommandLost),
                Delivery::SubscriberConnected => instance.handle(now, Input::SubscriberConnected),
                Delivery::SubscriberLost => instance.handle(now, Input::SubscriberLost),
                Delivery::Reply(call, Ok(reply)) => instance.handle(now, Input::Reply { call, reply }),
                Delivery::Reply(call, Err(error)) => {
                    instance.handle(now, Input::Refused { call, error: &error });
                }
                Delivery::Message(channel, payload) => {
                    instance.handle(
                        now,
                        Input::Message {
                            channel: &channel,
                            payload: &payload,
                        },
                    );
                }
                Delivery::Datagram(from, data) => {
                    instance.handle(now, Input::Datagram { from, data: &data });
                }
            }
            self.outputs(n);
        }
    }

    fn outputs(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].instance.as_mut().and_then(Instance::poll_output) {
            match output {
                Output::Datagram { to, data } => {
                    let message = Message::decode(&data).unwrap();
                    self.sent.push(Sent { node: n, to, message });
                }
                Output::Call(call) => self.execute(n, &call),
                Output::Subscribe(channels) => {
                    self.nodes[n].channels = channels;
                    self.connect_subscriber(n);
                }
                Output::Reset => {
                    self.disconnect(n);
                    self.nodes[n].inbox.clear();
                    self.nodes[n].channels.clear();
                    self.connect_command(n);
                }
                Output::Ready(member) => self.nodes[n].ready.push(member.to_string()),
                Output::Left => {
                    self.nodes[n].left = true;
                    self.kill(n);
                }
                Output::Fatal(message) => self.nodes[n].fatal = Some(message),
            }
        }
    }

    // What the test asks.

    pub fn ready(&self, n: usize) -> &[String] {
        &self.nodes[n].ready
    }

    pub fn fatal(&self, n: usize) -> Option<&str> {
        self.nodes[n].fatal.as_deref()
    }

    pub fn has_left(&self, n: usize) -> bool {
        self.nodes[n].left
    }

    pub fn instance(&self, n: usize) -> &Instance {
        self.nodes[n].instance.as_ref().unwrap()
    }

    /// What the back end heard on the response channel since the last call.
    pub fn answers(&mut self) -> Vec<String> {
        let (answers, rest) = std::mem::take(&mut self.heard)
            .into_iter()
            .partition(|(channel, _)| channel.starts_with("LESHAN_RESP"));
        self.heard = rest;
        let answers: Vec<(String, String)> = answers;
        answers.into_iter().map(|(_, text)| text).collect()
    }

    /// What the back end heard on the registration channels since the last call: channel suffix and text.
    pub fn events(&mut self) -> Vec<(String, String)> {
        let (events, rest) = std::mem::take(&mut self.heard)
            .into_iter()
            .partition(|(channel, _)| channel.starts_with("LESHAN_REG"));
        self.heard = rest;
        let events: Vec<(String, String)> = events;
        events
            .into_iter()
            .map(|(c, t)| (c.trim_start_matches("LESHAN_REG_").to_owned(), t))
            .collect()
    }

    /// What devices were sent since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The only request that devices were sent since the last call.
    pub fn one_request(&mut self) -> Sent {
        let mut requests: Vec<Sent> = self
            .sent()
            .into_iter()
            .filter(|s| s.message.code.is_request())
            .collect();
        assert_eq!(requests.len(), 1, "requests to devices");
        requests.remove(0)
    }

    pub fn publish(&mut self, request: &str) {
        let client = self.broker.connect();
        self.command(client, &[b"PUBLISH", b"LESHAN_REQ", request.as_bytes()]);
        self.broker.disconnect(client);
        self.settle();
    }

    pub fn read(&mut self, ep: &str, ticket: &str) {
        self.publish(&format!(
            r#"{{"ep":"{ep}","ticket":"{ticket}","req":{{"kind":"read","path":"/3/0/1"}}}}"#
        ));
    }

    pub fn execute_request(&mut self, ep: &str, ticket: &str) {
        self.publish(&format!(
            r#"{{"ep":"{ep}","ticket":"{ticket}","req":{{"kind":"execute","path":"/3/0/4"}}}}"#
        ));
    }

    pub fn datagram(&mut self, n: usize, from: SocketAddr, message: &Message) {
        let mut data = Vec::new();
        message.encode(&mut data);
        self.nodes[n].inbox.push_back(Delivery::Datagram(from, data));
        self.settle();
    }

    pub fn next_mid(&mut self) -> u16 {
        self.next_mid += 1;
        self.next_mid
    }

    /// A device registers through an instance and is told so; the registration id.
    pub fn register(&mut self, n: usize, ep: &str, from: SocketAddr) -> String {
        let request = self.register_request(ep, "lt=600");
        self.datagram(n, from, &request);
        self.registration_id(n, from)
    }

    pub fn register_request(&mut self, ep: &str, parameter: &str) -> Message {
        let mid = self.next_mid();
        let mut message = request(Code::POST, mid, "/rd");
        message
            .options
            .push(option::URI_QUERY, format!("ep={ep}").as_bytes());
        message.options.push(option::URI_QUERY, b"lwm2m=1.1");
        message.options.push(option::URI_QUERY, parameter.as_bytes());
        message.payload = b"</1/0>,</3/0>".to_vec();
        message
    }

    /// The location that the last answer to a device named.
    pub fn registration_id(&mut self, n: usize, from: SocketAddr) -> String {
        let answer = self
            .sent()
            .into_iter()
            .find(|s| s.message.code.is_response())
            .expect("an answer");
        assert_eq!(
            (answer.node, answer.to, answer.message.code),
            (n, from, Code::CREATED)
        );
        let id = answer
            .message
            .options
            .all(option::LOCATION_PATH)
            .nth(1)
            .unwrap()
            .to_vec();
        String::from_utf8(id).unwrap()
    }

    /// A device's piggybacked answer to a request that it was sent, brought to instance `n`.
    pub fn answer(&mut self, n: usize, to: &Sent, code: Code, payload: &str) {
        let message = Message {
            kind: Kind::Acknowledgement,
            code,
            message_id: to.message.message_id,
            token: to.message.token,
            options: Options::new(),
            payload: payload.as_bytes().to_vec(),
        };
        self.datagram(n, to.to, &message);
    }
}

pub fn request(code: Code, message_id: u16, path: &str) -> Message {
    let mut message = Message::new(
        Kind::Confirmable,
        code,
        message_id,
        Token::try_from(&[7, 7][..]).unwrap(),
    );
    message.options.push_uri_path(path);
    message
}

fn value(reply: BrokerReply) -> Value {
    match reply {
        BrokerReply::Integer(number) => Value::Integer(number),
        BrokerReply::Simple(text) | BrokerReply::Bulk(text) => Value::Bytes(text.to_vec()),
        BrokerReply::Array(values) => Value::Array(values.into_iter().map(value).collect()),
        _ => Value::Nil,
    }
}
