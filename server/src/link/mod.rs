//! The link to the broker: two connections as one state machine, one for calls, one that listens.
//!
//! In: what becomes of the connections, what is read on them, calls of scripts, the time. Out: what to do with the
//! connections ([`Output`]), and what the instance is to be told ([`Event`]). It has no sockets and reads no clock, so the
//! same code runs in a process (`net`) and in the virtual world.
//!
//! Calls leave in the order in which the instance made them, one stream for all, and replies are matched in that order.
//! There is one exception: a renewal overtakes what has not left yet (`calls.rs`). A connection is usable once the broker
//! has answered all that opens it: scripts are loaded, channels subscribed. One that fails, or on which an answer is owed
//! for too long, is given up and made again after a moment; a broker that has forgotten the scripts, may not write or is
//! still loading is no broker to call, so its connection goes the same way.

mod calls;
mod command;
mod inbox;
pub mod resp;
#[cfg(test)]
mod tests;

pub use command::{Answer, Command, Login};

use crate::mutant::Planted;
use crate::store::{Call, Reply, Script, Value};
use calls::Calls;
use inbox::Inbox;
use lwm2m::time::Time;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// From a connection that is lost to the next attempt.
pub const RETRY: Duration = Duration::from_millis(100);
/// How long a new connection may take until it is usable, and how long nothing may come of a broker that owes an answer.
/// A broker that hangs must not be waited for: it may be gone.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// After so long without a message the connection that listens is asked whether it is there.
const QUIET: Duration = Duration::from_secs(5);

/// Which of the two connections.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Side {
    /// The one for calls.
    Command,
    /// The one that listens.
    Subscriber,
}

/// What is to be done with a connection, in order.
#[derive(Debug)]
pub enum Output {
    /// Make it. [`Link::opened`] or [`Link::lost`] says what came of that.
    Open(Side),
    /// Drop it, or the attempt to make it, with all that waits in it.
    Close(Side),
    /// Say this on it.
    Send(Side, Command),
}

/// What the instance is to be told.
#[derive(Debug)]
pub enum Event {
    /// The connection for calls is up, and all scripts are loaded.
    CommandConnected,
    /// The connection for calls is gone.
    CommandLost,
    /// All subscriptions are confirmed.
    SubscriberConnected,
    /// The connection that listens is gone.
    SubscriberLost,
    /// The broker answered a call: with a reply, or with words of its own.
    Answered(Rc<Call>, Result<Reply, String>),
    /// A message on a subscribed channel.
    Message {
        /// The channel.
        channel: String,
        /// The payload.
        payload: Vec<u8>,
    },
}

/// How a connection stands.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum State {
    /// Nobody wants it.
    Idle,
    /// It is made again then.
    Waiting {
        until: Time,
    },
    /// It is being made, or its opening is not answered yet.
    Opening {
        since: Time,
    },
    Up,
}

/// What the broker has not answered yet.
enum Owed {
    /// Something that opens a connection.
    Opening,
    /// The name of a script that it loads.
    Hash,
    /// A call, and when it left.
    Call(Rc<Call>, Time),
    Pong,
}

struct Connection {
    state: State,
    owed: VecDeque<Owed>,
    /// When something was last heard, or a first answer began to be owed.
    heard_at: Time,
}

impl Connection {
    fn new(state: State) -> Self {
        Connection {
            state,
            owed: VecDeque::new(),
            heard_at: Time::ZERO,
        }
    }

    fn owe(&mut self, now: Time, owed: Owed) {
        if self.owed.is_empty() {
            self.heard_at = now;
        }
        self.owed.push_back(owed);
    }

    fn deadline(&self, side: Side) -> Option<Time> {
        match self.state {
            State::Idle => None,
            State::Waiting { until } => Some(until),
            State::Opening { since } => Some(since + PATIENCE),
            State::Up if !self.owed.is_empty() => Some(self.heard_at + PATIENCE),
            State::Up if side == Side::Subscriber => Some(self.heard_at + QUIET),
            State::Up => None,
        }
    }
}

/// Both connections.
pub struct Link {
    login: Login,
    planted: Planted,
    command: Connection,
    subscriber: Connection,
    channels: Vec<String>,
    hashes: Vec<Rc<str>>,
    calls: Calls,
    /// The instance was told that the connection for calls is up, and it still is.
    told_up: bool,
    /// About the connection for calls.
    answers: VecDeque<Event>,
    /// About the one that listens.
    inbox: Inbox,
    outputs: VecDeque<Output>,
}

impl Link {
    /// A link whose connection for calls is wanted at once; the other one when it is subscribed.
    pub fn new(now: Time, login: Login, lease: Duration, planted: Planted) -> Self {
        let mut link = Link {
            login,
            planted,
            command: Connection::new(State::Idle),
            subscriber: Connection::new(State::Idle),
            channels: Vec::new(),
            hashes: Vec::new(),
            calls: Calls::new(lease),
            told_up: false,
            answers: VecDeque::new(),
            inbox: Inbox::default(),
            outputs: VecDeque::new(),
        };
        link.open(now, Side::Command);
        link
    }

    // What the instance wants.

    /// Calls a script. Without a connection that the instance knows of nothing happens: it calls again when there is one.
    pub fn call(&mut self, now: Time, call: Rc<Call>) {
        if self.told_up {
            self.calls.push(call);
            self.send_calls(now);
        }
    }

    /// Subscribes to `channels` on a new connection.
    pub fn subscribe(&mut self, now: Time, channels: Vec<String>) {
        self.channels = channels;
        self.close(Side::Subscriber, State::Idle);
        self.inbox.clear();
        self.open(now, Side::Subscriber);
    }

    /// Drops both connections with all that waits in them; the one for calls is made again at once.
    pub fn reset(&mut self, now: Time) {
        self.close(Side::Command, State::Idle);
        self.close(Side::Subscriber, State::Idle);
        self.answers.clear();
        self.inbox.clear();
        self.open(now, Side::Command);
    }

    // What becomes of the connections.

    /// A connection stands: what opens it is said.
    pub fn opened(&mut self, now: Time, side: Side) {
        let login = self.login.commands();
        login.for_each(|command| self.send(now, side, command, Owed::Opening));
        match side {
            Side::Command => {
                for script in Script::ALL {
                    let load = Command::Load(self.planted.source(script));
                    self.send(now, side, load, Owed::Hash);
                }
            }
            Side::Subscriber => {
                for channel in self.channels.clone() {
                    self.send(now, side, Command::Subscribe(channel), Owed::Opening);
                }
            }
        }
    }

    /// A connection is gone, or could not be made.
    pub fn lost(&mut self, now: Time, side: Side, reason: &str) {
        let until = now + RETRY;
        let was_up = match self.connection(side).state {
            State::Idle | State::Waiting { .. } => return,
            State::Opening { .. } => false,
            State::Up => true,
        };
        match (side, was_up) {
            (_, false) => tracing::warn!("no connection to the broker: {reason}; trying again"),
            (Side::Command, true) => {
                tracing::warn!("the connection to the broker is lost: {reason}");
                self.answers.push_back(Event::CommandLost);
            }
            (Side::Subscriber, true) => {
                tracing::warn!("the subscription at the broker is lost: {reason}");
                self.inbox.push(Event::SubscriberLost);
            }
        }
        self.close(side, State::Waiting { until });
    }

    /// The broker answers what was said to it on a connection.
    pub fn answered(&mut self, now: Time, side: Side, answer: Answer) {
        let connection = self.connection(side);
        connection.heard_at = now;
        let owed = connection.owed.pop_front();
        let opening = matches!(connection.state, State::Opening { .. });
        match (owed, answer) {
            (None, _) => return self.lost(now, side, "it answers what nobody asked"),
            (Some(Owed::Call(call, sent_at)), answer) => {
                return self.call_answered(now, sent_at, call, answer);
            }
            (Some(_), Err(words)) => return self.lost(now, side, &words),
            (Some(Owed::Hash), Ok(Value::Bytes(hash))) => {
                self.hashes.push(String::from_utf8_lossy(&hash).into());
            }
            (Some(Owed::Hash), Ok(_)) => return self.lost(now, side, "it names no script that it loads"),
            (Some(Owed::Opening | Owed::Pong), Ok(_)) => {}
        }
        if opening && self.connection(side).owed.is_empty() {
            self.connection(side).state = State::Up;
            match side {
                Side::Command => self.answers.push_back(Event::CommandConnected),
                Side::Subscriber => self.inbox.connected(),
            }
        }
    }

    /// A message came on the connection that listens.
    pub fn heard(&mut self, now: Time, channel: String, payload: Vec<u8>) {
        self.subscriber.heard_at = now;
        let confirmed = self.subscriber.state == State::Up;
        self.inbox.message(channel, payload, confirmed);
    }

    /// False while so much waits to be looked at that the connection that listens is not to be read.
    pub fn wants_messages(&self) -> bool {
        !self.inbox.is_full()
    }

    /// When to call [`Link::handle_timeout`].
    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = [
            self.command.deadline(Side::Command),
            self.subscriber.deadline(Side::Subscriber),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        for side in [Side::Command, Side::Subscriber] {
            let connection = self.connection(side);
            if connection.deadline(side).is_none_or(|at| now < at) {
                continue;
            }
            match connection.state {
                State::Idle => {}
                State::Waiting { .. } => self.open(now, side),
                State::Up if connection.owed.is_empty() => self.send(now, side, Command::Ping, Owed::Pong),
                State::Opening { .. } | State::Up => self.lost(now, side, "it does not answer"),
            }
        }
    }

    /// True if a connection is usable.
    pub fn is_up(&self, side: Side) -> bool {
        match side {
            Side::Command => self.command.state == State::Up,
            Side::Subscriber => self.subscriber.state == State::Up,
        }
    }

    /// What is to be done next with a connection.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the instance is told next about one of the connections, in order.
    pub fn poll_event(&mut self, side: Side) -> Option<Event> {
        if side == Side::Subscriber {
            return self.inbox.pop();
        }
        let event = self.answers.pop_front();
        if matches!(event, Some(Event::CommandConnected)) {
            let outdated = self.answers.iter().any(|it| matches!(it, Event::CommandLost));
            self.told_up = self.is_up(side) && !outdated;
        }
        event
    }

    /// True if [`Link::poll_event`] has something to say.
    pub fn has_events(&self, side: Side) -> bool {
        match side {
            Side::Command => !self.answers.is_empty(),
            Side::Subscriber => !self.inbox.is_empty(),
        }
    }

    fn connection(&mut self, side: Side) -> &mut Connection {
        match side {
            Side::Command => &mut self.command,
            Side::Subscriber => &mut self.subscriber,
        }
    }

    fn open(&mut self, now: Time, side: Side) {
        *self.connection(side) = Connection::new(State::Opening { since: now });
        self.outputs.push_back(Output::Open(side));
    }

    fn close(&mut self, side: Side, next: State) {
        let stood = matches!(self.connection(side).state, State::Opening { .. } | State::Up);
        *self.connection(side) = Connection::new(next);
        match side {
            Side::Command => {
                self.told_up = false;
                self.calls.clear();
                self.hashes.clear();
            }
            Side::Subscriber => self.inbox.forget_early(),
        }
        // What was not said on it yet is not said any more.
        self.outputs
            .retain(|output| !matches!(output, Output::Open(of) | Output::Send(of, _) if *of == side));
        if stood {
            self.outputs.push_back(Output::Close(side));
        }
    }

    fn send(&mut self, now: Time, side: Side, command: Command, owed: Owed) {
        self.connection(side).owe(now, owed);
        self.outputs.push_back(Output::Send(side, command));
    }

    /// Sends what may leave now.
    fn send_calls(&mut self, now: Time) {
        while let Some(call) = self.calls.next() {
            let hash = self.hashes[call.script.index()].clone();
            let command = Command::Call {
                hash,
                call: call.clone(),
            };
            self.send(now, Side::Command, command, Owed::Call(call, now));
        }
    }

    fn call_answered(&mut self, now: Time, sent_at: Time, call: Rc<Call>, answer: Answer) {
        let reply = match answer {
            Err(words) if is_no_broker_to_call(&words) => return self.lost(now, Side::Command, &words),
            Err(words) => Err(words),
            Ok(value) => Reply::new(value).ok_or_else(|| "a reply without a status".to_owned()),
        };
        self.calls.answered(now, sent_at, &call);
        self.answers.push_back(Event::Answered(call, reply));
        self.send_calls(now);
    }
}

/// True for what a broker says that has lost the scripts, is a replica, or is not ready yet.
fn is_no_broker_to_call(words: &str) -> bool {
    let code = words.split(' ').next().unwrap_or_default();
    matches!(
        code,
        "NOSCRIPT" | "READONLY" | "LOADING" | "MASTERDOWN" | "NOAUTH"
    )
}
