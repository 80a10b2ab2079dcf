//! The broker of the virtual world: a key space, and around it connections that take time and can break.
//!
//! Each connection is a pair of ordered byte streams, as TCP is: what is sent on it arrives later, in order, or is cut
//! off at some point and then nothing after it arrives either. In: what clients send. Out: [`Arrival`]s at the clients.
//! A client that is gone is noticed by the broker only later; until then it counts as a receiver of messages.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::{ClientId, Keyspace, Limits, Push};
use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use server::mutant::Planted;
use server::store::{Call, Reply, Script, Value};

use super::queue::EventQueue;
use super::watch::{Watching, tell};

/// Unix time at the origin of the virtual clock, in microseconds.
pub const UNIX_ORIGIN_US: u64 = 1_795_000_000_000_000;
/// One way between a client and the broker, in microseconds: least and most.
const ONE_WAY_US: (u64, u64) = (50, 150);
/// Keys whose time is over are removed so often, to bound memory; it changes no answer.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// So many at a time.
const EXPIRE_BATCH: usize = 10_000;

/// Names a connection; never used again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct ConnectionId(u64);

/// Something reaches a client on one of its connections.
#[derive(Debug)]
pub enum Arrival {
    /// The connection for calls is up, and all scripts are loaded.
    CommandConnected,
    /// All subscriptions are confirmed.
    SubscriberConnected,
    /// What a script answered, or the broker's words instead.
    Reply(u64, Result<Reply, String>),
    /// A message on a channel.
    Message(Push),
}

/// On its way between a client and the broker.
enum Transit {
    Open,
    Call(Rc<Call>),
    Publish(Rc<str>, Arc<str>),
    Subscribe(usize),
    Close,
    /// On the way back.
    Back(Arrival),
}

struct Connection {
    /// The broker's name for it, once it has arrived there.
    client: Option<ClientId>,
    /// The channels to subscribe; none on a connection for calls.
    channels: Vec<String>,
    /// What is sent next arrives at the broker no earlier than this.
    at_broker: Time,
    /// What is sent next arrives at the client no earlier than this.
    at_client: Time,
    /// Messages that came before all subscriptions were confirmed; the client reads them afterwards.
    early: Option<VecDeque<Arrival>>,
    /// The client is gone.
    closed: bool,
    /// Nothing that was sent arrives any more.
    cut: bool,
}

/// The broker and everything on its way to and from it.
pub struct MessageBroker {
    keyspace: Keyspace,
    planted: Planted,
    hashes: Vec<String>,
    connections: BTreeMap<ConnectionId, Connection>,
    subscribers: BTreeMap<ClientId, ConnectionId>,
    transit: EventQueue<(ConnectionId, Transit)>,
    arrivals: VecDeque<(ConnectionId, Arrival)>,
    next_connection: u64,
    /// Who asks for what no client of the cluster asks for.
    observer: ClientId,
    expire_at: Time,
    watching: Watching,
    random: ChaCha8Rng,
}

impl MessageBroker {
    /// An empty broker without clients. `random` decides delays and where a broken connection is cut; `planted` is the
    /// bug that the scripts of its clients have.
    pub fn new(random: ChaCha8Rng, planted: Planted) -> Self {
        let mut keyspace = Keyspace::new(Limits::default());
        MessageBroker {
            observer: keyspace.connect(),
            keyspace,
            planted,
            hashes: Vec::new(),
            connections: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            transit: EventQueue::new(),
            arrivals: VecDeque::new(),
            next_connection: 1,
            expire_at: Time::ZERO,
            watching: None,
            random,
        }
    }

    /// A client begins to connect: for calls if it names no channels, else to subscribe these.
    pub fn connect(&mut self, now: Time, channels: Vec<String>) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let early = (!channels.is_empty()).then(VecDeque::new);
        let connection = Connection {
            client: None,
            channels,
            at_broker: now,
            at_client: now,
            early,
            closed: false,
            cut: false,
        };
        self.connections.insert(id, connection);
        self.send(now, id, Transit::Open);
        id
    }

    /// A client calls a script.
    pub fn call(&mut self, now: Time, connection: ConnectionId, call: Rc<Call>) {
        self.send(now, connection, Transit::Call(call));
    }

    /// A client publishes.
    pub fn publish(&mut self, now: Time, connection: ConnectionId, channel: Rc<str>, payload: Arc<str>) {
        self.send(now, connection, Transit::Publish(channel, payload));
    }

    /// The client's end of a connection is gone. What it sent before may still arrive, up to a point that is drawn;
    /// nothing comes back.
    pub fn close(&mut self, now: Time, id: ConnectionId) {
        self.send(now, id, Transit::Close);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.closed = true;
        }
    }

    /// From now on somebody looks at what is executed here.
    pub fn watch(&mut self, watching: Watching) {
        self.watching = watching;
    }

    /// A field of a hash as it is now, for who looks at the cluster from outside.
    pub fn look_up(&mut self, now: Time, key: &str, field: &str) -> Option<String> {
        let words = [b"HGET".as_slice(), key.as_bytes(), field.as_bytes()];
        match self.keyspace.execute(unix_us(now), self.observer, &words) {
            broker::Reply::Bulk(text) => Some(String::from_utf8_lossy(&text).into_owned()),
            _ => None,
        }
    }

    /// When the next thing arrives somewhere.
    pub fn next_deadline(&self) -> Option<Time> {
        self.transit.next_deadline()
    }

    /// Lets the next thing arrive that is due; false if there is none.
    pub fn step(&mut self, now: Time) -> bool {
        let Some((at, (id, transit))) = self.transit.pop(now) else {
            return false;
        };
        if at >= self.expire_at {
            self.expire_at = at + EXPIRE_INTERVAL;
            self.keyspace.expire_due(unix_us(at), EXPIRE_BATCH);
        }
        match transit {
            Transit::Back(arrival) => self.arrive(id, arrival),
            Transit::Close => self.forget(id),
            towards if self.is_cut(id) => drop(towards),
            Transit::Open => self.open(at, id),
            Transit::Subscribe(index) => self.subscribe(at, id, index),
            Transit::Call(call) => self.execute(at, id, &call),
            Transit::Publish(channel, payload) => {
                self.command(at, id, &[b"PUBLISH", channel.as_bytes(), payload.as_bytes()]);
            }
        }
        true
    }

    /// The next thing that reached a client.
    pub fn poll_arrival(&mut self) -> Option<(ConnectionId, Arrival)> {
        self.arrivals.pop_front()
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.random.random_range(ONE_WAY_US.0..=ONE_WAY_US.1))
    }

    fn send(&mut self, now: Time, id: ConnectionId, transit: Transit) {
        let due = now + self.delay();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.at_broker = connection.at_broker.max(due);
            self.transit.push(connection.at_broker, (id, transit));
        }
    }

    fn send_back(&mut self, now: Time, id: ConnectionId, arrival: Arrival) {
        let due = now + self.delay();
        if let Some(connection) = self.connections.get_mut(&id).filter(|it| !it.closed) {
            connection.at_client = connection.at_client.max(due);
            self.transit
                .push(connection.at_client, (id, Transit::Back(arrival)));
        }
    }

    /// Each thing that was under way when the client went may be the first that is lost.
    fn is_cut(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return true;
        };
        if connection.closed && !connection.cut {
            connection.cut = self.random.random_bool(0.5);
        }
        connection.cut
    }

    fn arrive(&mut self, id: ConnectionId, arrival: Arrival) {
        let Some(connection) = self.connections.get_mut(&id).filter(|it| !it.closed) else {
            return;
        };
        match (&arrival, &mut connection.early) {
            (Arrival::Message(..), Some(early)) => early.push_back(arrival),
            (Arrival::SubscriberConnected, early) => {
                let early = early.take().unwrap_or_default();
                self.arrivals.push_back((id, arrival));
                self.arrivals
                    .extend(early.into_iter().map(|arrival| (id, arrival)));
            }
            _ => self.arrivals.push_back((id, arrival)),
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        let connection = self.connections.remove(&id);
        if let Some(client) = connection.and_then(|connection| connection.client) {
            self.subscribers.remove(&client);
            self.keyspace.disconnect(client);
        }
    }

    fn open(&mut self, now: Time, id: ConnectionId) {
        let client = self.keyspace.connect();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.client = Some(client);
        if connection.channels.is_empty() {
            self.load_scripts(now, id);
            self.send_back(now, id, Arrival::CommandConnected);
        } else {
            self.subscribers.insert(client, id);
            self.send(now, id, Transit::Subscribe(0));
        }
    }

    fn load_scripts(&mut self, now: Time, id: ConnectionId) {
        let planted = self.planted;
        let load = |script: Script| {
            let source = planted.source(script);
            match self.command(now, id, &[b"SCRIPT", b"LOAD", source.as_bytes()]) {
                Some(broker::Reply::Bulk(hash)) => String::from_utf8_lossy(&hash).into_owned(),
                other => panic!("{script:?} does not compile: {other:?}"),
            }
        };
        self.hashes = Script::ALL.map(load).to_vec();
    }

    /// One channel after the other, each a round trip, as the server does it.
    fn subscribe(&mut self, now: Time, id: ConnectionId, index: usize) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        match connection.channels.get(index).cloned() {
            Some(channel) => {
                self.command(now, id, &[b"SUBSCRIBE", channel.as_bytes()]);
                let back = self.delay();
                self.send(now + back, id, Transit::Subscribe(index + 1));
            }
            None => self.send_back(now, id, Arrival::SubscriberConnected),
        }
    }

    fn execute(&mut self, now: Time, id: ConnectionId, call: &Call) {
        let hash = self.hashes[call.script.index()].clone();
        let mut words: Vec<&[u8]> = Vec::with_capacity(4 + call.args.len());
        words.extend([b"EVALSHA".as_slice(), hash.as_bytes(), b"1", call.key.as_bytes()]);
        words.extend(call.args.iter().map(Vec::as_slice));
        tell(&self.watching, |watch| watch.called(now, call));
        let reply = match self.command(now, id, &words) {
            None => return,
            Some(broker::Reply::Error(text)) => {
                Err(format!("{:?}: {}", call.script, String::from_utf8_lossy(&text)))
            }
            Some(reply) => Reply::new(value(reply)).ok_or_else(|| "a reply without a status".to_owned()),
        };
        tell(&self.watching, |watch| watch.answered(now, call, &reply));
        self.look_at_journal(now, &call.key);
        self.send_back(now, id, Arrival::Reply(call.id, reply));
    }

    /// How a watched ticket stands after a script of its partition.
    fn look_at_journal(&mut self, now: Time, partition_key: &str) {
        let Some(watch) = self.watching.clone() else {
            return;
        };
        let key = watch
            .borrow()
            .trace
            .as_ref()
            .and_then(|trace| trace.journal_key(partition_key));
        if let Some(key) = key {
            let [state, holder, token] = ["st", "h", "tk"].map(|field| self.look_up(now, &key, field));
            watch
                .borrow_mut()
                .trace(|trace| trace.journal(now, state, holder, token));
        }
    }

    /// What was published, once however many hear it.
    fn show(&self, now: Time, pushes: &[(ClientId, Push)]) {
        let Some(watch) = &self.watching else { return };
        let mut before = None;
        for (channel, payload) in pushes.iter().filter_map(|(_, push)| message(push)) {
            if before.replace((channel, payload)) != Some((channel, payload)) {
                watch.borrow_mut().published(now, channel, payload);
            }
        }
    }

    fn command(&mut self, now: Time, id: ConnectionId, words: &[&[u8]]) -> Option<broker::Reply> {
        let client = self.connections.get(&id)?.client?;
        let reply = self.keyspace.execute(unix_us(now), client, words);
        let pushes = self.keyspace.take_pushes();
        self.show(now, &pushes);
        for (client, push) in pushes {
            if let Some(&subscriber) = self.subscribers.get(&client) {
                self.send_back(now, subscriber, Arrival::Message(push));
            }
        }
        Some(reply)
    }
}

/// The channel and the payload of a push that is a message on a channel.
fn message(push: &Push) -> Option<(&[u8], &[u8])> {
    match push {
        Push::Message { channel, payload } => Some((channel.as_ref(), payload.as_ref())),
        Push::PatternMessage { .. } => None,
    }
}

fn unix_us(now: Time) -> u64 {
    UNIX_ORIGIN_US + now.as_micros()
}

fn value(reply: broker::Reply) -> Value {
    match reply {
        broker::Reply::Integer(number) => Value::Integer(number),
        broker::Reply::Simple(text) | broker::Reply::Bulk(text) => Value::Bytes(text.to_vec()),
        broker::Reply::Array(values) => Value::Array(values.into_iter().map(value).collect()),
        _ => Value::Nil,
    }
}
