//! One instance of the cluster as a process: the state machine, its sockets, and the small steps in which it works.
//!
//! In: what arrives in its sockets. Out: one [`Output`] at a time. Between any two outputs time passes, so that a fault
//! can come there. A paused process does nothing, while its sockets fill; a killed one is dropped with all that it had
//! not carried out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use broker::Push;
use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use server::instance::{Config, Input, Instance, Output};
use server::store::Reply;

use super::clock::Clock;
use super::connection::{Arrival, ConnectionId};
use super::link::{Link, LinkKind};

/// From one step to the next, in microseconds: least and most.
const STEP_US: (u64, u64) = (1, 20);
/// Datagrams that wait in the socket; further ones are dropped, as the kernel does.
const SOCKET_DATAGRAMS: usize = 4096;

/// A running instance.
pub struct Process {
    instance: Instance,
    /// The clock of its machine.
    pub clock: Clock,
    /// The connection for calls.
    pub command: Link,
    /// The connection for subscriptions.
    pub subscriber: Link,
    /// It has read that a connection is gone, and begins to make another.
    lost: Option<LinkKind>,
    /// Why it has just given its membership up: through whom, and how.
    fallen: Option<Fall>,
    /// It has said that it is ready.
    pub ready: bool,
    /// Stopped by SIGSTOP.
    pub paused: bool,
    /// A fault asked for its end.
    pub ending: bool,
    /// SIGTERM has come and was not seen yet.
    shutdown: bool,
    replies: VecDeque<Arrival>,
    messages: VecDeque<Arrival>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// What is to be carried out next.
    output: Option<Output>,
    /// It is at work until then.
    busy_until: Time,
    /// The step that is scheduled; [`Time::MAX`] if none is.
    pub wake: Time,
}

/// Where a process can read next.
#[derive(Clone, Copy)]
enum Source {
    Signal,
    Replies,
    Messages,
    Datagrams,
    Clock,
}

/// Why a membership is given up: through whom, and how.
pub type Fall = (&'static str, &'static str);

/// What a process has read, as far as it may be the reason for a fall.
#[derive(Clone, Copy)]
enum Read {
    /// Its clock.
    Time,
    /// The answer of a script about members.
    Renewal(&'static str),
    /// The answer of a script of a partition.
    Script(&'static str),
    /// Something else, a view perhaps.
    Other,
}

/// Beyond any counter of a partition: a script about members answers with the broker's time there.
const A_TIME: i64 = 1_000_000_000_000;

impl Read {
    fn of(reply: &Reply) -> Read {
        let about_members = reply.integer(1).is_some_and(|number| number >= A_TIME);
        match (about_members, reply.status()) {
            (true, "UNKNOWN") => Read::Renewal("UNKNOWN"),
            (true, "DEAD") => Read::Renewal("DEAD"),
            (true, "LEASE") => Read::Renewal("LEASE"),
            (true, _) => Read::Renewal("another generation"),
            (false, "LEASE") => Read::Script("LEASE"),
            (false, "GENERATION") => Read::Script("GENERATION"),
            (false, _) => Read::Script("its counter went back"),
        }
    }

    /// The lease was over before it was read.
    fn overdue(self) -> Fall {
        let at_once = matches!(self, Read::Time);
        let how = if at_once {
            "at the end of its lease"
        } else {
            "when something came after it"
        };
        ("its own clock", how)
    }

    fn told(self) -> Fall {
        match self {
            Read::Time => ("its own clock", "at the end of its lease"),
            Read::Renewal(how) => ("a renewal", how),
            Read::Script(how) => ("a script", how),
            Read::Other => ("a view", "it is dead in it"),
        }
    }
}

impl Process {
    /// A process that has just been started.
    pub fn start(now: Time, clock: Clock, config: Config, seed: u64) -> Self {
        Process {
            instance: Instance::new(config, seed),
            clock,
            command: Link::default(),
            subscriber: Link::default(),
            lost: None,
            fallen: None,
            ready: false,
            paused: false,
            ending: false,
            shutdown: false,
            replies: VecDeque::new(),
            messages: VecDeque::new(),
            datagrams: VecDeque::new(),
            output: None,
            busy_until: now,
            wake: Time::MAX,
        }
    }

    /// Something arrives on one of its connections to the broker.
    pub fn arrive(&mut self, connection: ConnectionId, arrival: Arrival) {
        if self.command.connection == Some(connection) {
            self.replies.push_back(arrival);
        } else if self.subscriber.connection == Some(connection) {
            self.messages.push_back(arrival);
        }
    }

    /// A datagram arrives.
    pub fn arrive_datagram(&mut self, from: SocketAddr, data: Vec<u8>) {
        if self.datagrams.len() < SOCKET_DATAGRAMS {
            self.datagrams.push_back((from, data));
        }
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        self.ending = true;
        self.shutdown = true;
    }

    /// Drops everything that waits in its sockets, and both connections; they are returned.
    pub fn reset(&mut self) -> [Option<ConnectionId>; 2] {
        self.replies.clear();
        self.messages.clear();
        self.datagrams.clear();
        [&mut self.command, &mut self.subscriber].map(Link::drop_connection)
    }

    /// Begins a connection; the one that it replaces is returned, and nothing that came on it is read any more.
    pub fn connect(&mut self, kind: LinkKind, connection: ConnectionId) -> Option<ConnectionId> {
        self.forget_arrivals(kind);
        self.link(kind).begin(connection)
    }

    /// Gives up a connection, or an attempt to make it, until `at`; it is returned.
    pub fn retry(&mut self, kind: LinkKind, at: Time) -> Option<ConnectionId> {
        self.forget_arrivals(kind);
        self.link(kind).retry(at)
    }

    /// One of its connections.
    pub fn link(&mut self, kind: LinkKind) -> &mut Link {
        match kind {
            LinkKind::Command => &mut self.command,
            LinkKind::Subscriber => &mut self.subscriber,
        }
    }

    /// A connection that it has just found broken.
    pub fn take_lost(&mut self) -> Option<LinkKind> {
        self.lost.take()
    }

    /// Why it has just given its membership up, if it has.
    pub fn take_fall(&mut self) -> Option<Fall> {
        self.fallen.take()
    }

    fn forget_arrivals(&mut self, kind: LinkKind) {
        match kind {
            LinkKind::Command => self.replies.clear(),
            LinkKind::Subscriber => self.messages.clear(),
        }
    }

    /// When it wants to take its next step; none while it is paused.
    pub fn next_step(&self) -> Option<Time> {
        if self.paused {
            return None;
        }
        let waiting = self.output.is_some()
            || self.shutdown
            || !(self.replies.is_empty() && self.messages.is_empty() && self.datagrams.is_empty());
        let due = if waiting { Time::ZERO } else { self.deadline()? };
        Some(due.max(self.busy_until))
    }

    /// When its clock shows what the instance waits for.
    fn deadline(&self) -> Option<Time> {
        self.instance.next_deadline().map(|at| self.clock.when(at))
    }

    /// Takes one step: it hands over the next output, or reads one thing and thinks about it.
    pub fn step(&mut self, now: Time, random: &mut ChaCha8Rng) -> Option<Output> {
        self.busy_until = now + Duration::from_micros(random.random_range(STEP_US.0..=STEP_US.1));
        let output = self.output.take();
        if output.is_none() {
            let clock = self.clock.read(now);
            let was_member = self.instance.member().is_some();
            let overdue = !self.instance.may_send(clock);
            let read = self.read(now, random);
            if was_member && self.instance.member().is_none() {
                self.fallen = read.map(|read| if overdue { read.overdue() } else { read.told() });
            }
        }
        self.output = self.instance.poll_output();
        let clock = self.clock.read(now);
        output.filter(|output| !matches!(output, Output::Datagram { .. }) || self.instance.may_send(clock))
    }

    /// True if it has decided on something that it has not done yet.
    pub fn has_output(&self) -> bool {
        self.output.is_some()
    }

    fn read(&mut self, now: Time, random: &mut ChaCha8Rng) -> Option<Read> {
        let ready = [
            (Source::Signal, self.shutdown),
            (Source::Replies, !self.replies.is_empty()),
            (Source::Messages, !self.messages.is_empty()),
            (Source::Datagrams, !self.datagrams.is_empty()),
            (Source::Clock, self.deadline().is_some_and(|at| at <= now)),
        ];
        let count = ready.iter().filter(|(_, ready)| *ready).count();
        // Which of several ready sockets is read first is the operating system's choice.
        let chosen = match count {
            0 => return None,
            1 => 0,
            _ => random.random_range(0..count),
        };
        let mut candidates = ready.into_iter().filter(|(_, ready)| *ready);
        let now = self.clock.read(now);
        let source = candidates.nth(chosen).map(|(source, _)| source);
        let mut read = match source {
            Some(Source::Clock) | None => Read::Time,
            Some(_) => Read::Other,
        };
        match source {
            Some(Source::Signal) => {
                self.shutdown = false;
                self.instance.handle(now, Input::Shutdown);
            }
            Some(Source::Replies) => {
                if let Some(Arrival::Reply(_, Ok(reply))) = self.replies.front() {
                    read = Read::of(reply);
                }
                self.read_broker(now, LinkKind::Command);
            }
            Some(Source::Messages) => self.read_broker(now, LinkKind::Subscriber),
            Some(Source::Datagrams) => {
                if let Some((from, data)) = self.datagrams.pop_front() {
                    self.instance.handle(now, Input::Datagram { from, data: &data });
                }
            }
            Some(Source::Clock) | None => self.instance.handle(now, Input::Timeout),
        }
        Some(read)
    }

    fn read_broker(&mut self, now: Time, kind: LinkKind) {
        let queue = match kind {
            LinkKind::Command => &mut self.replies,
            LinkKind::Subscriber => &mut self.messages,
        };
        let Some(arrival) = queue.pop_front() else { return };
        let concerns_instance = self.link(kind).read(&arrival);
        if matches!(arrival, Arrival::Lost) {
            self.lost = Some(kind);
        }
        if !concerns_instance {
            return;
        }
        let input = match arrival {
            Arrival::CommandConnected => Input::CommandConnected,
            Arrival::SubscriberConnected => Input::SubscriberConnected,
            Arrival::Lost if kind == LinkKind::Command => Input::CommandLost,
            Arrival::Lost => Input::SubscriberLost,
            Arrival::Reply(call, Ok(reply)) => Input::Reply { call, reply },
            Arrival::Reply(call, Err(error)) => {
                return self.instance.handle(now, Input::Refused { call, error: &error });
            }
            Arrival::Message(Push::Message { channel, payload }) => {
                let channel = String::from_utf8_lossy(&channel);
                let (channel, payload) = (channel.as_ref(), payload.as_ref());
                return self.instance.handle(now, Input::Message { channel, payload });
            }
            // Nobody subscribes patterns.
            Arrival::Message(Push::PatternMessage { .. }) => return,
        };
        self.instance.handle(now, input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server::store::Value;

    #[test]
    fn a_fall_is_named_for_what_was_read_before_it() {
        let reply = |status: &str, number| {
            let values = vec![Value::Bytes(status.into()), Value::Integer(number)];
            Read::of(&Reply::new(Value::Array(values)).unwrap())
        };
        let time = 1_795_000_000_000;
        assert_eq!(reply("UNKNOWN", time).told(), ("a renewal", "UNKNOWN"));
        assert_eq!(reply("DEAD", time).told(), ("a renewal", "DEAD"));
        assert_eq!(reply("LEASE", time).told(), ("a renewal", "LEASE"));
        assert_eq!(reply("OK", time).told(), ("a renewal", "another generation"));
        assert_eq!(reply("LEASE", 0).told(), ("a script", "LEASE"));
        assert_eq!(reply("GENERATION", 0).told(), ("a script", "GENERATION"));
        assert_eq!(reply("OK", 3).told(), ("a script", "its counter went back"));
        assert_eq!(Read::Other.told(), ("a view", "it is dead in it"));
        assert_eq!(
            reply("OK", 3).overdue(),
            ("its own clock", "when something came after it")
        );
        assert_eq!(Read::Time.overdue(), ("its own clock", "at the end of its lease"));
    }
}
