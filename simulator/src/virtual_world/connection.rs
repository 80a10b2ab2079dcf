//! One connection between a client and the virtual world's broker: two ordered byte streams, as TCP has them.
//!
//! In: what either end sends. Out: what arrives at the other, later and in order, up to the point at which the
//! connection broke. Whether anything passes at all (a stalled or partitioned path) is the broker's to know.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use broker::{ClientId, Push};
use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use server::link::{Answer, Command};

/// Names a connection; never used again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct ConnectionId(pub u64);

/// Who has a connection: an instance by its index, or the back end, whose number follows that of the last instance.
pub type Party = usize;

/// Something reaches a client on one of its connections.
#[derive(Debug)]
pub enum Arrival {
    /// The connection stands; the back end waits for [`Arrival::Subscribed`] where it listens.
    Opened,
    /// All subscriptions of the back end are confirmed.
    Subscribed,
    /// What the broker answers to a command of an instance.
    Answer(Answer),
    /// A message on a channel.
    Message(Push),
    /// The connection is gone, or could not be made.
    Lost,
}

/// What a client sends.
pub enum Request {
    /// The first sign of a client.
    Open,
    /// What an instance's link says.
    Say(Command),
    /// A message for a channel.
    Publish(Rc<str>, Arc<str>),
    /// The back end subscribes the n-th channel; they are made one after the other.
    Subscribe(usize),
    /// The end.
    Close,
}

/// One direction of a connection.
pub struct ByteStream<T> {
    items: VecDeque<(Time, T)>,
    /// What is sent next arrives no earlier than this.
    earliest: Time,
    /// Nothing that is still under way arrives any more.
    cut: bool,
}

impl<T> ByteStream<T> {
    fn new(now: Time) -> Self {
        ByteStream {
            items: VecDeque::new(),
            earliest: now,
            cut: false,
        }
    }

    /// Puts something on its way, due at `due` or when what was sent before it is; returns when.
    pub fn push(&mut self, due: Time, item: T) -> Time {
        self.earliest = self.earliest.max(due);
        self.items.push_back((self.earliest, item));
        self.earliest
    }

    /// What has arrived at `now`, if anything has.
    pub fn pop(&mut self, now: Time) -> Option<T> {
        let (due, _) = self.items.front()?;
        if *due > now {
            return None;
        }
        self.items.pop_front().map(|(_, item)| item)
    }

    /// How many things should have arrived by `now`, and could not.
    pub fn overdue(&self, now: Time) -> usize {
        self.items.iter().take_while(|(due, _)| *due <= now).count()
    }

    /// From now on nothing that is still under way arrives.
    pub fn cut_all(&mut self) {
        self.cut = true;
    }

    /// Each thing that was under way when the connection broke may be the first that is lost.
    fn is_cut(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.cut = self.cut || random.random_bool(0.5);
        self.cut
    }
}

/// A connection, as it is at both ends and in between.
pub struct Connection {
    /// Whose it is.
    pub party: Party,
    /// It is there to listen.
    pub listens: bool,
    /// The channels that the back end subscribes on it; an instance says itself which.
    pub channels: Vec<String>,
    /// The broker's name for it, while the broker knows it.
    pub client: Option<ClientId>,
    /// Towards the broker.
    pub up: ByteStream<Request>,
    /// Towards the client.
    pub down: ByteStream<Arrival>,
    /// Messages that came before all subscriptions of the back end were confirmed; it reads them afterwards.
    early: Option<VecDeque<Arrival>>,
    /// The client has closed it, or was told that it is gone.
    pub client_gone: bool,
    /// The broker has forgotten it.
    pub broker_gone: bool,
    /// It is broken in between: what is sent from now on goes nowhere.
    pub broken: bool,
    /// At the other end is a master that was replaced.
    pub at_old_master: bool,
    /// Bytes that the broker holds for a client to which nothing passes.
    pub held_bytes: usize,
}

impl Connection {
    /// A connection that a client begins.
    pub fn new(now: Time, party: Party, listens: bool, channels: Vec<String>) -> Self {
        let early = (!channels.is_empty()).then(VecDeque::new);
        Connection {
            party,
            listens,
            channels,
            client: None,
            up: ByteStream::new(now),
            down: ByteStream::new(now),
            early,
            client_gone: false,
            broker_gone: false,
            broken: false,
            at_old_master: false,
            held_bytes: 0,
        }
    }

    /// True if a request that has come as far as the broker is lost after all.
    pub fn is_lost_upwards(&mut self, random: &mut ChaCha8Rng) -> bool {
        (self.broken || self.client_gone) && self.up.is_cut(random)
    }

    /// What the client reads now that this has arrived, if it is still there.
    pub fn arrive(&mut self, arrival: Arrival, random: &mut ChaCha8Rng) -> Vec<Arrival> {
        if self.client_gone {
            return Vec::new();
        }
        if matches!(arrival, Arrival::Lost) {
            self.client_gone = true;
            return vec![arrival];
        }
        if self.broken && self.down.is_cut(random) {
            return Vec::new();
        }
        match (&arrival, &mut self.early) {
            (Arrival::Message(..), Some(early)) => {
                early.push_back(arrival);
                Vec::new()
            }
            (Arrival::Subscribed, early) => {
                let early = early.take().unwrap_or_default();
                [arrival].into_iter().chain(early).collect()
            }
            _ => vec![arrival],
        }
    }
}
