//! One instance of the cluster as a process: the state machine, its sockets, and the small steps in which it works.
//!
//! In: what arrives in its sockets. Out: one [`Output`] at a time. Between any two outputs time passes, so that a fault
//! can come there. A paused process does nothing, while its sockets fill; a killed one is dropped with all that it had
//! not carried out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use broker::Push;
use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use server::instance::{Config, Input, Instance, Output};
use server::link::{self, Event, Link, Login, Side};
use server::store::{Call, Script};

use super::clock::Clock;
use super::connection::{Arrival, ConnectionId};

/// From one step to the next, in microseconds: least and most.
const STEP_US: (u64, u64) = (1, 20);
/// Datagrams that wait in the socket; further ones are dropped, as the kernel does.
const SOCKET_DATAGRAMS: usize = 4096;

/// A running instance.
pub struct Process {
    instance: Instance,
    /// The clock of its machine.
    pub clock: Clock,
    /// What its connections to the broker are for, and what becomes of them.
    link: Link,
    /// The connections, or the attempts to make them: for calls, and to listen.
    connections: [Option<ConnectionId>; 2],
    /// A script that the broker refused, and not for want of memory.
    refusal: Option<String>,
    /// Why it has just given its membership up: through whom, and how.
    resignation: Option<Resignation>,
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
pub type Resignation = (&'static str, &'static str);

/// What a process has read, as far as it may be the reason to give the membership up.
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

/// What begins something; a broker without memory refuses it, and nothing else.
const MAY_BE_REFUSED: [Script; 3] = [Script::Accept, Script::Register, Script::Update];

impl Read {
    fn of(event: &Event) -> Read {
        let Event::Answered(call, Ok(reply)) = event else {
            return Read::Other;
        };
        match (call.script.is_about_members(), reply.status()) {
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
    fn overdue(self) -> Resignation {
        let at_once = matches!(self, Read::Time);
        let how = if at_once {
            "at the end of its lease"
        } else {
            "when something came after it"
        };
        ("its own clock", how)
    }

    fn told(self) -> Resignation {
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
        let (lease, planted) = (config.lease, config.planted);
        Process {
            instance: Instance::new(config, seed),
            clock,
            link: Link::new(clock.read(now), Login::default(), lease, planted),
            connections: [None; 2],
            refusal: None,
            resignation: None,
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
        if self.connections[Side::Command as usize] == Some(connection) {
            self.replies.push_back(arrival);
        } else if self.connections[Side::Subscriber as usize] == Some(connection) {
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

    /// Drops everything that waits in its sockets, and both connections.
    pub fn reset(&mut self, now: Time) {
        self.datagrams.clear();
        self.link.reset(self.clock.read(now));
    }

    /// Calls a script.
    pub fn call(&mut self, now: Time, call: Rc<Call>) {
        self.link.call(self.clock.read(now), call);
    }

    /// Listens to these channels.
    pub fn subscribe(&mut self, now: Time, channels: Vec<String>) {
        self.link.subscribe(self.clock.read(now), channels);
    }

    /// What is to be done next with one of its connections.
    pub fn poll_link(&mut self) -> Option<link::Output> {
        self.link.poll_output()
    }

    /// It has begun a connection.
    pub fn opening(&mut self, side: Side, connection: ConnectionId) {
        self.connections[side as usize] = Some(connection);
    }

    /// It drops a connection; nothing that came on it is read any more.
    pub fn closed(&mut self, side: Side) -> Option<ConnectionId> {
        self.socket(side).clear();
        self.connections[side as usize].take()
    }

    /// The connections that it has, or tries to make.
    pub fn connections(&self) -> [Option<ConnectionId>; 2] {
        self.connections
    }

    /// Whether it can use its connections, as far as it knows: for calls, and to listen.
    pub fn is_up(&self) -> [bool; 2] {
        [Side::Command, Side::Subscriber].map(|side| self.link.is_up(side))
    }

    /// A script that the broker has just refused, and not for want of memory.
    pub fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// Why it has just given its membership up, if it has.
    pub fn take_resignation(&mut self) -> Option<Resignation> {
        self.resignation.take()
    }

    fn socket(&mut self, side: Side) -> &mut VecDeque<Arrival> {
        match side {
            Side::Command => &mut self.replies,
            Side::Subscriber => &mut self.messages,
        }
    }

    /// There is something to read on a connection, or something that was read to look at.
    fn has_news(&self, side: Side) -> bool {
        let socket = match side {
            Side::Command => &self.replies,
            Side::Subscriber => &self.messages,
        };
        !socket.is_empty() || self.link.has_events(side)
    }

    /// When it wants to take its next step; none while it is paused.
    pub fn next_step(&self) -> Option<Time> {
        if self.paused {
            return None;
        }
        let waiting = self.output.is_some()
            || self.shutdown
            || self.has_news(Side::Command)
            || self.has_news(Side::Subscriber)
            || !self.datagrams.is_empty();
        let due = if waiting { Time::ZERO } else { self.deadline()? };
        Some(due.max(self.busy_until))
    }

    /// When its clock shows what the instance or the link waits for.
    fn deadline(&self) -> Option<Time> {
        let deadlines = [self.instance.next_deadline(), self.link.next_deadline()];
        let earliest = deadlines.into_iter().flatten().min();
        earliest.map(|at| self.clock.when(at))
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
                self.resignation = read.map(|read| if overdue { read.overdue() } else { read.told() });
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
            (Source::Replies, self.has_news(Side::Command)),
            (Source::Messages, self.has_news(Side::Subscriber)),
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
            Some(Source::Replies) => read = self.look_at_broker(now, Side::Command),
            Some(Source::Messages) => read = self.look_at_broker(now, Side::Subscriber),
            Some(Source::Datagrams) => {
                if let Some((from, data)) = self.datagrams.pop_front() {
                    self.instance.handle(now, Input::Datagram { from, data: &data });
                }
            }
            Some(Source::Clock) | None => {
                // What has arrived is no reason to lose patience.
                self.read_socket(now, Side::Command);
                self.read_socket(now, Side::Subscriber);
                self.link.handle_timeout(now);
                self.instance.handle(now, Input::Timeout);
            }
        }
        Some(read)
    }

    /// Reads all that is there on a connection; the link knows what it is.
    fn read_socket(&mut self, now: Time, side: Side) {
        while let Some(arrival) = self.socket(side).pop_front() {
            match arrival {
                Arrival::Opened => self.link.opened(now, side),
                Arrival::Lost => self.link.lost(now, side, "it is broken"),
                Arrival::Answer(answer) => self.link.answered(now, side, answer),
                Arrival::Message(Push::Message { channel, payload }) => {
                    let channel = String::from_utf8_lossy(&channel).into_owned();
                    self.link.heard(now, channel, payload.to_vec());
                }
                // Nobody subscribes patterns, and how the back end subscribes is its own business.
                Arrival::Message(Push::PatternMessage { .. }) | Arrival::Subscribed => {}
            }
        }
    }

    /// Reads what is there on a connection, and hands over one thing that was read.
    fn look_at_broker(&mut self, now: Time, side: Side) -> Read {
        self.read_socket(now, side);
        let Some(event) = self.link.poll_event(side) else {
            return Read::Other;
        };
        let read = Read::of(&event);
        match event {
            Event::CommandConnected => self.instance.handle(now, Input::CommandConnected),
            Event::CommandLost => self.instance.handle(now, Input::CommandLost),
            Event::SubscriberConnected => self.instance.handle(now, Input::SubscriberConnected),
            Event::SubscriberLost => self.instance.handle(now, Input::SubscriberLost),
            Event::Message { channel, payload } => {
                let (channel, payload) = (channel.as_str(), payload.as_slice());
                self.instance.handle(now, Input::Message { channel, payload });
            }
            Event::Answered(call, Ok(reply)) => {
                self.instance.handle(now, Input::Reply { call: call.id, reply });
            }
            Event::Answered(call, Err(error)) => {
                if !(MAY_BE_REFUSED.contains(&call.script) && error.starts_with("OOM ")) {
                    self.refusal = Some(format!("{:?}: {error}", call.script));
                }
                let (call, error) = (call.id, error.as_str());
                self.instance.handle(now, Input::Refused { call, error });
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server::store::{Reply, Value};

    #[test]
    fn a_fall_is_named_for_what_was_read_before_it() {
        let reply = |script, status: &str| {
            let call = Call {
                id: 1,
                script,
                key: String::new(),
                args: Vec::new(),
            };
            let reply = Reply::new(Value::Array(vec![Value::Bytes(status.into())])).unwrap();
            Read::of(&Event::Answered(Rc::new(call), Ok(reply)))
        };
        let (renew, sweep) = (Script::Renew, Script::Sweep);
        assert_eq!(reply(renew, "UNKNOWN").told(), ("a renewal", "UNKNOWN"));
        assert_eq!(reply(renew, "DEAD").told(), ("a renewal", "DEAD"));
        assert_eq!(reply(renew, "LEASE").told(), ("a renewal", "LEASE"));
        assert_eq!(reply(renew, "OK").told(), ("a renewal", "another generation"));
        assert_eq!(reply(sweep, "LEASE").told(), ("a script", "LEASE"));
        assert_eq!(reply(sweep, "GENERATION").told(), ("a script", "GENERATION"));
        assert_eq!(reply(sweep, "OK").told(), ("a script", "its counter went back"));
        assert_eq!(Read::Other.told(), ("a view", "it is dead in it"));
        assert_eq!(
            reply(sweep, "OK").overdue(),
            ("its own clock", "when something came after it")
        );
        assert_eq!(Read::Time.overdue(), ("its own clock", "at the end of its lease"));
    }
}
