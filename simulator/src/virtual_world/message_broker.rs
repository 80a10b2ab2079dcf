//! The broker of the virtual world: a key space, and around it connections that take time and can break.
//!
//! In: what clients send, and what faults do to the connections. Out: [`Arrival`]s at the clients. A client that is gone
//! is noticed by the broker only later; until then it counts as a receiver of messages.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::Push;
use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use server::link::{Answer, Command, Side};
use server::store::{Reply, Value};

use super::clock::Clock;
use super::connection::{Arrival, Connection, ConnectionId, Party, Request};
use super::left_over::Kept;
use super::master::{Master, OldMaster};
use super::queue::EventQueue;
use super::storage::Storage;
use super::watch::{Watching, tell};
use crate::targets::Connections;

/// Unix time at the origin of the virtual clock, in microseconds.
pub const UNIX_ORIGIN_US: u64 = 1_795_000_000_000_000;
/// One way between a client and the broker, in microseconds: least and most.
const ONE_WAY_US: (u64, u64) = (50, 150);
/// Bytes for a slow subscriber beyond which Redis drops it (`client-output-buffer-limit pubsub`, the hard limit).
const OUTPUT_BUFFER: usize = 32 << 20;
/// What a message costs beside its payload, in that buffer.
const MESSAGE_OVERHEAD: usize = 64;
/// Keys whose time is over are removed so often, to bound memory; it changes no answer.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// So many at a time.
const EXPIRE_BATCH: usize = 10_000;

/// Which way something is under way.
#[derive(Clone, Copy)]
enum Direction {
    ToBroker,
    ToClient,
}

/// The broker and everything on its way to and from it.
pub struct MessageBroker {
    /// The one whose word counts.
    pub(super) master: Master,
    /// One that was replaced and speaks on.
    pub(super) old: Option<OldMaster>,
    /// What scripts read.
    clock: Clock,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    transit: EventQueue<(ConnectionId, Direction)>,
    arrivals: VecDeque<(ConnectionId, Arrival)>,
    next_connection: u64,
    /// How many faults let nothing pass between a party and the broker, on the connections that listen or on the others.
    held: BTreeMap<(Party, bool), u32>,
    /// How many faults keep the broker from executing anything.
    stalls: u32,
    /// How many faults take all its memory.
    pub(super) full: u32,
    /// It does not run; why what it knows when it does again is not what it knew, if so.
    pub(super) down: Option<Option<String>>,
    /// The recent past, if a fault will ask for it.
    pub(super) storage: Option<Storage>,
    /// What it holds at most for a subscriber to which nothing passes.
    output_buffer: usize,
    expire_at: Time,
    watching: Watching,
    random: ChaCha8Rng,
}

impl MessageBroker {
    /// An empty broker without clients. `random` decides delays and where a broken connection is cut.
    pub fn new(random: ChaCha8Rng) -> Self {
        MessageBroker {
            master: Master::empty(),
            old: None,
            clock: Clock::right(),
            connections: BTreeMap::new(),
            transit: EventQueue::new(),
            arrivals: VecDeque::new(),
            next_connection: 1,
            held: BTreeMap::new(),
            stalls: 0,
            full: 0,
            down: None,
            storage: None,
            output_buffer: OUTPUT_BUFFER,
            expire_at: Time::ZERO,
            watching: None,
            random,
        }
    }

    /// A client begins to connect, to subscribe `channels` if it is the back end.
    pub fn connect(&mut self, now: Time, party: Party, side: Side, channels: Vec<String>) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let mut connection = Connection::new(now, party, side == Side::Subscriber, channels);
        let client = (party, connection.listens);
        connection.at_old_master = self.old.as_ref().is_some_and(|old| old.clients.contains(&client));
        self.connections.insert(id, connection);
        self.send(now, id, Request::Open);
        id
    }

    /// An instance says something.
    pub fn say(&mut self, now: Time, connection: ConnectionId, command: Command) {
        self.send(now, connection, Request::Say(command));
    }

    /// A client publishes.
    pub fn publish(&mut self, now: Time, connection: ConnectionId, channel: Rc<str>, payload: Arc<str>) {
        self.send(now, connection, Request::Publish(channel, payload));
    }

    /// The client's end of a connection is gone. What it sent before may still arrive, up to a point that is drawn;
    /// nothing comes back.
    pub fn close(&mut self, now: Time, id: ConnectionId) {
        let broken = self.connections.get(&id).is_none_or(|it| it.broken);
        if !broken {
            self.send(now, id, Request::Close);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.client_gone = true;
        }
        self.remove_if_gone(id);
    }

    /// Breaks a client's connections in between. The broker notices at once or some time before the client, which
    /// notices after `half_open`. What is under way arrives up to a point that is drawn for each direction. Returns
    /// whether there was any.
    pub fn cut(&mut self, now: Time, party: Party, connections: Connections, half_open: Duration) -> bool {
        let hit = |it: &Connection| {
            it.party == party && connections.include(it.listens) && !it.broken && !it.client_gone
        };
        let ids = self.connections.iter().filter(|(_, it)| hit(it));
        let ids: Vec<ConnectionId> = ids.map(|(&id, _)| id).collect();
        ids.iter().for_each(|&id| self.break_off(now, id, half_open));
        !ids.is_empty()
    }

    /// Breaks one connection, as [`Self::cut`] does.
    pub(super) fn break_off(&mut self, now: Time, id: ConnectionId, half_open: Duration) {
        let span = u64::try_from(half_open.as_micros()).unwrap_or(u64::MAX);
        let noticed = Duration::from_micros(self.random.random_range(0..=span));
        self.send(now + noticed, id, Request::Close);
        self.send_back(now + half_open, id, Arrival::Lost);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.broken = true;
        }
    }

    /// From now on nothing passes between a party and the broker, in neither direction, until [`Self::release`].
    pub fn hold(&mut self, party: Party, connections: Connections, output_buffer: Option<usize>) {
        self.output_buffer = output_buffer.unwrap_or(OUTPUT_BUFFER);
        for listens in [false, true]
            .into_iter()
            .filter(|&listens| connections.include(listens))
        {
            *self.held.entry((party, listens)).or_default() += 1;
        }
    }

    /// Ends one [`Self::hold`]; what waited arrives.
    pub fn release(&mut self, now: Time, party: Party, connections: Connections) {
        for listens in [false, true]
            .into_iter()
            .filter(|&listens| connections.include(listens))
        {
            if let Some(count) = self.held.get_mut(&(party, listens)) {
                *count = count.saturating_sub(1);
            }
        }
        self.held.retain(|_, count| *count > 0);
        self.catch_up(now);
    }

    /// From now on the broker executes nothing, until [`Self::go_on`].
    pub fn stall(&mut self) {
        self.stalls += 1;
    }

    /// Ends one [`Self::stall`]; what waited is executed.
    pub fn go_on(&mut self, now: Time) {
        self.stalls = self.stalls.saturating_sub(1);
        self.catch_up(now);
    }

    /// From now on writes down what is needed to forget the last `reach` of what happened.
    pub fn remember(&mut self, now: Time, reach: Duration) {
        self.storage = Some(Storage::new(now, &mut self.master.keyspace, reach));
    }

    /// The clock of its machine.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// True if what a client sends on this connection reaches the broker, and is executed by the master whose word counts.
    pub fn is_sound(&self, id: ConnectionId) -> bool {
        let stands =
            |it: &Connection| !it.broken && !it.client_gone && !it.at_old_master && !self.is_held(it);
        self.stalls == 0 && self.down.is_none() && self.connections.get(&id).is_some_and(stands)
    }

    fn is_held(&self, connection: &Connection) -> bool {
        self.held.contains_key(&(connection.party, connection.listens))
    }

    /// Things that could not arrive in time do so now, unless something else still keeps them.
    fn catch_up(&mut self, now: Time) {
        for (&id, connection) in &mut self.connections {
            let held = self.held.contains_key(&(connection.party, connection.listens));
            let directions = [
                (
                    Direction::ToBroker,
                    connection.up.overdue(now),
                    held || self.stalls > 0,
                ),
                (Direction::ToClient, connection.down.overdue(now), held),
            ];
            for (direction, count, _) in directions.into_iter().filter(|(.., kept)| !kept) {
                (0..count).for_each(|_| self.transit.push(now, (id, direction)));
            }
            if !held {
                connection.held_bytes = 0;
            }
        }
    }

    /// From now on somebody looks at what is executed here.
    pub fn watch(&mut self, now: Time, watching: Watching) {
        self.watching = watching;
        self.show_data(now);
    }

    /// Whoever watches sees all that the master knows, and from then on what changes.
    pub(super) fn show_data(&mut self, now: Time) {
        let unix_us = self.unix_us(now);
        tell(&self.watching, |watch| {
            watch.transitions.learn(&self.master.hashes(unix_us));
            self.master.keyspace.record_steps();
        });
    }

    /// All that the master keeps, for who looks at the cluster from outside.
    pub fn kept(&mut self, now: Time) -> Vec<Kept> {
        let unix_us = self.unix_us(now);
        self.master.kept(unix_us)
    }

    /// A field of a hash as it is now, for who looks at the cluster from outside.
    pub fn look_up(&mut self, now: Time, key: &str, field: &str) -> Option<String> {
        let unix_us = self.unix_us(now);
        self.master.look_up(unix_us, key, field)
    }

    /// When the next thing arrives somewhere.
    pub fn next_deadline(&self) -> Option<Time> {
        self.transit.next_deadline()
    }

    /// Lets the next thing arrive that is due; false if there is none.
    pub fn step(&mut self, now: Time) -> bool {
        let Some((at, (id, direction))) = self.transit.pop(now) else {
            return false;
        };
        if at >= self.expire_at {
            self.expire_at = at + EXPIRE_INTERVAL;
            let unix_us = self.unix_us(at);
            let old = self.old.as_mut().map(|old| &mut old.master);
            for master in [&mut self.master].into_iter().chain(old) {
                master.keyspace.expire_due(unix_us, EXPIRE_BATCH);
            }
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return true;
        };
        let held = self.held.contains_key(&(connection.party, connection.listens));
        match direction {
            _ if held => {}
            Direction::ToBroker if self.stalls > 0 => {}
            Direction::ToClient => {
                if let Some(arrival) = connection.down.pop(at) {
                    let read = connection.arrive(arrival, &mut self.random);
                    self.arrivals
                        .extend(read.into_iter().map(|arrival| (id, arrival)));
                    self.remove_if_gone(id);
                }
            }
            Direction::ToBroker => {
                if let Some(request) = connection.up.pop(at) {
                    self.take(at, id, request);
                }
            }
        }
        true
    }

    /// The next thing that reached a client.
    pub fn poll_arrival(&mut self) -> Option<(ConnectionId, Arrival)> {
        self.arrivals.pop_front()
    }

    pub(super) fn unix_us(&self, now: Time) -> u64 {
        (UNIX_ORIGIN_US + now.as_micros()).saturating_add_signed(self.clock.error(now).0)
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.random.random_range(ONE_WAY_US.0..=ONE_WAY_US.1))
    }

    pub(super) fn send(&mut self, now: Time, id: ConnectionId, request: Request) {
        let due = now + self.delay();
        if let Some(connection) = self.connections.get_mut(&id).filter(|it| !it.broken) {
            let due = connection.up.push(due, request);
            self.transit.push(due, (id, Direction::ToBroker));
        }
    }

    pub(super) fn send_back(&mut self, now: Time, id: ConnectionId, arrival: Arrival) {
        let due = now + self.delay();
        let listens = |it: &&mut Connection| !it.client_gone && !it.broken;
        let Some(connection) = self.connections.get_mut(&id).filter(listens) else {
            return;
        };
        if let Arrival::Message(Push::Message { payload, .. }) = &arrival
            && self.held.contains_key(&(connection.party, true))
        {
            connection.held_bytes += payload.len() + MESSAGE_OVERHEAD;
        }
        let overflows = connection.held_bytes > self.output_buffer;
        let due = connection
            .down
            .push(due, if overflows { Arrival::Lost } else { arrival });
        self.transit.push(due, (id, Direction::ToClient));
        if overflows {
            connection.broken = true;
            self.forget(id);
        }
    }

    /// Something arrives at the broker.
    fn take(&mut self, now: Time, id: ConnectionId, request: Request) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match request {
            Request::Close => self.forget(id),
            lost if connection.is_lost_upwards(&mut self.random) => drop(lost),
            Request::Open if self.down.is_some() && !connection.at_old_master => self.refuse(now, id),
            Request::Open => self.open(now, id),
            Request::Subscribe(index) => self.subscribe(now, id, index),
            Request::Say(command) => self.obey(now, id, &command),
            Request::Publish(channel, payload) => {
                self.command(now, id, &[b"PUBLISH", channel.as_bytes(), payload.as_bytes()]);
            }
        }
    }

    /// The broker notices that a client is gone.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.broker_gone = true;
        let at_old = connection.at_old_master;
        if let Some(client) = connection.client.take()
            && let Some(master) = self.master_of(at_old)
        {
            master.forget(client);
        }
        self.remove_if_gone(id);
    }

    /// A connection that neither end knows any more is no more.
    fn remove_if_gone(&mut self, id: ConnectionId) {
        if self
            .connections
            .get(&id)
            .is_some_and(|it| it.client_gone && it.broker_gone)
        {
            self.connections.remove(&id);
        }
    }

    fn open(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (listens, at_old) = (connection.listens, connection.at_old_master);
        let subscribes = !connection.channels.is_empty();
        let client = self.master_of(at_old).map(|master| master.accept(id, listens));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.client = client;
        }
        if subscribes {
            self.send(now, id, Request::Subscribe(0));
        } else {
            self.send_back(now, id, Arrival::Opened);
        }
    }

    /// Nobody listens where the client wants to connect.
    fn refuse(&mut self, now: Time, id: ConnectionId) {
        self.send_back(now, id, Arrival::Lost);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.broken = true;
        }
        self.forget(id);
    }

    /// One channel after the other, each a round trip, as the back end does it.
    fn subscribe(&mut self, now: Time, id: ConnectionId, index: usize) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        match connection.channels.get(index).cloned() {
            Some(channel) => {
                self.command(now, id, &[b"SUBSCRIBE", channel.as_bytes()]);
                let back = self.delay();
                self.send(now + back, id, Request::Subscribe(index + 1));
            }
            None => self.send_back(now, id, Arrival::Subscribed),
        }
    }

    /// Does what an instance says.
    fn obey(&mut self, now: Time, id: ConnectionId, command: &Command) {
        if let Command::Call { call, .. } = command {
            tell(&self.watching, |watch| watch.called(now, call));
        }
        let Some(reply) = self.command(now, id, &command.words()) else {
            return;
        };
        let answers = answers(reply);
        if let (Command::Call { call, .. }, [answer]) = (command, &answers[..]) {
            tell(&self.watching, |watch| {
                watch.answered(now, call, &reply_of(answer))
            });
            self.look_at_journal(now, id, &call.key);
        }
        for answer in answers {
            self.send_back(now, id, Arrival::Answer(answer));
        }
    }

    /// How a watched ticket stands after a script of its partition.
    fn look_at_journal(&mut self, now: Time, id: ConnectionId, partition_key: &str) {
        let Some(watch) = self.watching.clone() else {
            return;
        };
        let key = watch
            .borrow()
            .trace
            .as_ref()
            .and_then(|trace| trace.journal_key(partition_key));
        let at_old = self.connections.get(&id).is_some_and(|it| it.at_old_master);
        let unix_us = self.unix_us(now);
        if let (Some(key), Some(master)) = (key, self.master_of(at_old)) {
            let [state, holder, token] = ["st", "h", "tk"].map(|field| master.look_up(unix_us, &key, field));
            watch
                .borrow_mut()
                .trace(|trace| trace.journal(now, state, holder, token));
        }
    }

    /// The master at the other end of a connection.
    fn master_of(&mut self, at_old: bool) -> Option<&mut Master> {
        match at_old {
            true => self.old.as_mut().map(|old| &mut old.master),
            false => Some(&mut self.master),
        }
    }

    /// What was published, once however many hear it.
    fn show(&self, now: Time, pushes: &[(Option<ConnectionId>, Push)]) {
        let Some(watch) = &self.watching else { return };
        let mut before = None;
        for (channel, payload) in pushes.iter().filter_map(|(_, push)| message(push)) {
            if before.replace((channel, payload)) != Some((channel, payload)) {
                watch.borrow_mut().published(now, channel, payload);
            }
        }
    }

    fn command(&mut self, now: Time, id: ConnectionId, words: &[&[u8]]) -> Option<broker::Reply> {
        let connection = self.connections.get(&id)?;
        let (client, at_old) = (connection.client?, connection.at_old_master);
        let unix_us = self.unix_us(now);
        let master = self.master_of(at_old)?;
        let reply = master.execute(unix_us, client, words);
        let messages = master.take_messages();
        let written = master.keyspace.take_records();
        // What an old master writes down nobody reads.
        if !at_old && !written.is_empty() {
            if let Some(storage) = &mut self.storage {
                storage.note(now, &self.master.keyspace);
            }
            tell(&self.watching, |watch| watch.wrote(written));
        }
        self.show(now, &messages);
        for (subscriber, push) in messages {
            if let Some(subscriber) = subscriber {
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

/// What a client reads as the answers to a command.
fn answers(reply: broker::Reply) -> Vec<Answer> {
    match reply {
        broker::Reply::Several(replies) => replies.into_iter().flat_map(answers).collect(),
        broker::Reply::Error(words) => vec![Err(String::from_utf8_lossy(&words).into_owned())],
        reply => vec![Ok(value(reply))],
    }
}

/// An answer to a call as its script's reply.
fn reply_of(answer: &Answer) -> Result<Reply, String> {
    let value = answer.clone()?;
    Reply::new(value).ok_or_else(|| "a reply without a status".to_owned())
}

fn value(reply: broker::Reply) -> Value {
    match reply {
        broker::Reply::Integer(number) => Value::Integer(number),
        broker::Reply::Simple(text) | broker::Reply::Bulk(text) => Value::Bytes(text.into()),
        broker::Reply::Array(values) => Value::Array(values.into_iter().map(value).collect()),
        _ => Value::Nil,
    }
}
