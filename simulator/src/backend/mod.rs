//! The model back end: what an IoT platform does on the northbound interface, as a state machine.
//!
//! In: requests to make, what is read on the response and registration channels, the broker connection going up and
//! down, the time. Out: publications for the request channel, and the events of the history. It knows nothing of the
//! cluster's inside and keeps its side of the ticket contract: it publishes a request again, with the same ticket, when
//! it heard neither ack nor error for F, and publishes what is open again when its broker connection came back.

mod connection;
mod registry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rustc_hash::FxHashMap;

use crate::fleet::Devices;
use crate::history::{Event, RegistrationChannel};
use crate::load::Arrival;
use crate::operation::{Operation, RequestKind};
use crate::scenario::Scenario;

use crate::dialect::{Answer, Envelope};
pub use connection::{Backoff, NorthboundEvent};
pub use registry::{Registry, RegistryError};

/// The resource that a probe reads: Serial Number, which every device has and no two have alike (LwM2M core TS, Annex E.4).
const PROBE_PATH: &str = "/3/0/2";
/// Between an error that a probe got and the next probe of that device: a quarter of the time since the fault, so that the
/// recovery is known to that share, within these.
const PROBE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The timeout of probes in a scenario without load.
const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most tickets open at a time: at 1000 requests a second, more than three minutes of silence.
const MAX_OPEN: usize = 200_000;
/// An impatient back end publishes a ticket once more within this time.
const IMPATIENCE: Duration = Duration::from_secs(4);
/// Most endpoints that share a ticket.
const MAX_SHARERS: usize = 8;
/// Most instances whose ended tickets are counted.
const MAX_SPEAKERS: usize = 256;

/// What the back end is like.
#[derive(Clone, Debug, PartialEq)]
pub struct BackEndOptions {
    /// F of the contract: a request for which neither ack nor error was heard for so long is published again.
    pub repeat_after: Duration,
    /// How much longer than its timeout a ticket is waited for.
    pub patience: Duration,
    /// The timeout of probes.
    pub probe_timeout: Duration,
    /// Most tickets open at a time; requests beyond it are not made, and counted.
    pub max_open: usize,
    /// Most endpoints remembered.
    pub max_endpoints: usize,
    /// The fleet, if requests are for groups of it.
    pub groups: Option<Devices>,
}

impl From<&Scenario> for BackEndOptions {
    fn from(scenario: &Scenario) -> Self {
        let longest = scenario.load.iter().map(|load| load.timeout).max();
        let by_group = scenario.load.iter().any(|load| load.group.is_some());
        BackEndOptions {
            repeat_after: scenario.failover_bound(),
            patience: scenario.patience(),
            probe_timeout: longest.unwrap_or(DEFAULT_PROBE_TIMEOUT),
            max_open: MAX_OPEN,
            max_endpoints: scenario.devices.count() as usize,
            groups: by_group.then(|| scenario.devices.clone()),
        }
    }
}

/// A message for the request channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    /// The JSON.
    pub payload: Arc<str>,
}

/// How many tickets got how far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TicketCounts {
    /// Tickets published for the first time.
    pub sent: u64,
    /// Tickets that were acked.
    pub acked: u64,
    /// Tickets that ended with the device's answer.
    pub answered: u64,
    /// Tickets that ended with an error.
    pub failed: u64,
    /// Repeats.
    pub repeats: u64,
    /// Tickets that the back end stopped waiting for.
    pub abandoned: u64,
    /// Requests not made because too many were open.
    pub refused: u64,
    /// Messages on its channels that it could not read.
    pub unreadable: u64,
}

/// A ticket that has not ended.
struct Open {
    ticket: Arc<str>,
    endpoint: Arc<str>,
    operation: Operation,
    argument: Option<String>,
    payload: Arc<str>,
    timeout: Duration,
    intended: Time,
    first_sent: Time,
    attempts: u32,
    acked: bool,
    /// May be published again.
    repeat: bool,
    probe: bool,
    /// When it is looked at next.
    wake: Time,
    /// When the back end stops waiting for it.
    give_up: Time,
}

/// A publication that comes whatever has become of its ticket.
struct Echo {
    payload: Arc<str>,
    /// What is recorded, but for the number of the attempt.
    sent: Event,
    attempts: u32,
}

/// The back end.
pub struct BackEnd {
    options: BackEndOptions,
    connected: bool,
    registry: Registry,
    /// Open tickets in the order in which they were first sent.
    open: BTreeMap<u64, Open>,
    /// The open tickets of a name: several if endpoints share it.
    serials: FxHashMap<Arc<str>, Vec<u64>>,
    wakes: BTreeSet<(Time, u64)>,
    echoes: BTreeMap<u64, Echo>,
    echo_times: BTreeSet<(Time, u64)>,
    /// Devices that have not answered a probe, and since when they are asked.
    probed: BTreeMap<Arc<str>, Time>,
    /// Those that are asked again, by the time at which they are.
    probe_times: BTreeSet<(Time, Arc<str>)>,
    /// The newest ticket and the endpoints that have it.
    newest: Option<(Arc<str>, Vec<Arc<str>>)>,
    next_serial: u64,
    load_stopped: bool,
    publications: VecDeque<Publication>,
    events: VecDeque<Event>,
    counts: TicketCounts,
    ended_by: BTreeMap<String, u64>,
    random: ChaCha8Rng,
    probe: Operation,
}

impl BackEnd {
    /// A back end that is not connected yet. `random` decides its tickets.
    pub fn new(options: BackEndOptions, random: ChaCha8Rng) -> Self {
        let registry = match &options.groups {
            Some(devices) => Registry::with_groups(options.max_endpoints, devices.clone()),
            None => Registry::new(options.max_endpoints),
        };
        BackEnd {
            options,
            connected: false,
            registry,
            open: BTreeMap::new(),
            serials: FxHashMap::default(),
            wakes: BTreeSet::new(),
            echoes: BTreeMap::new(),
            echo_times: BTreeSet::new(),
            probed: BTreeMap::new(),
            probe_times: BTreeSet::new(),
            newest: None,
            next_serial: 0,
            load_stopped: false,
            publications: VecDeque::new(),
            events: VecDeque::new(),
            counts: TicketCounts::default(),
            ended_by: BTreeMap::new(),
            random,
            probe: Operation {
                kind: RequestKind::Read,
                path: PROBE_PATH.into(),
            },
        }
    }

    /// Makes a request of the load.
    pub fn request(&mut self, now: Time, arrival: Arrival) {
        self.make(now, arrival, false);
    }

    /// Reads from a device whose service a fault has just hit, again and again until it answers, so that its recovery can be
    /// measured.
    pub fn probe(&mut self, now: Time, endpoint: Arc<str>) {
        self.probed.insert(Arc::clone(&endpoint), now);
        self.make_probe(now, endpoint);
    }

    fn make_probe(&mut self, now: Time, endpoint: Arc<str>) {
        self.probe_within(now, endpoint, self.options.probe_timeout);
    }

    /// Reads once from a device, within this time.
    pub fn probe_within(&mut self, now: Time, endpoint: Arc<str>, timeout: Duration) {
        let probe = Arrival {
            intended: now,
            endpoint,
            operation: self.probe.clone(),
            timeout,
            repeat: true,
            impatience: 0.0,
            shared_tickets: 0.0,
        };
        self.make(now, probe, true);
    }

    /// The load is over: from now on only repeats are sent.
    pub fn stop_load(&mut self) {
        if !self.load_stopped {
            self.load_stopped = true;
            self.probed.clear();
            self.probe_times.clear();
            self.events.push_back(Event::LoadStopped);
        }
    }

    /// True when the load is over and no ticket is waited for. Every ticket is given up at last, so this comes.
    pub fn is_finished(&self) -> bool {
        self.load_stopped && self.open.is_empty() && self.echoes.is_empty()
    }

    /// Something came from the northbound interface.
    pub fn handle(&mut self, now: Time, event: NorthboundEvent) {
        match event {
            NorthboundEvent::Connected => self.handle_connection(now, true),
            NorthboundEvent::Disconnected { .. } => self.handle_connection(now, false),
            NorthboundEvent::Response(message) => self.handle_response(now, message),
            NorthboundEvent::Registration(channel, message) => self.handle_registration(channel, message),
        }
    }

    /// The broker connection went up (subscriptions confirmed) or down.
    pub fn handle_connection(&mut self, now: Time, connected: bool) {
        if self.connected == connected {
            return;
        }
        self.connected = connected;
        self.events.push_back(Event::BackEnd { connected });
        if connected {
            // Pub/sub keeps nothing for the absent: what was answered meanwhile is learnt only by asking again.
            let repeated = self.open.iter().filter(|(_, open)| open.repeat);
            let serials: Vec<u64> = repeated.map(|(&serial, _)| serial).collect();
            serials.into_iter().for_each(|serial| self.publish(now, serial));
        } else {
            self.publications.clear();
        }
    }

    /// A message arrived on the response channel.
    pub fn handle_response(&mut self, now: Time, message: String) {
        match Answer::read(&message) {
            Ok(answer) => self.note_answer(now, &answer),
            Err(_) => self.counts.unreadable += 1,
        }
        self.events.push_back(Event::Heard { message });
    }

    /// A message arrived on a registration channel.
    pub fn handle_registration(&mut self, channel: RegistrationChannel, message: String) {
        if self.registry.handle_event(channel, &message).is_err() {
            self.counts.unreadable += 1;
        }
        self.events.push_back(Event::Registration { channel, message });
    }

    /// Repeats what was not heard of, and gives up what should have ended.
    pub fn handle_timeout(&mut self, now: Time) {
        self.echo(now);
        while self.probe_times.first().is_some_and(|(at, _)| *at <= now) {
            let (_, endpoint) = self.probe_times.pop_first().expect("there is a first");
            self.make_probe(now, endpoint);
        }
        while let Some(&(at, serial)) = self.wakes.first() {
            if at > now {
                return;
            }
            let open = &self.open[&serial];
            if now >= open.give_up {
                self.counts.abandoned += 1;
                self.probe_later(now, serial);
                self.close(serial);
            } else if self.connected && open.repeat && !open.acked && now < self.last_repeat(open) {
                self.publish(now, serial);
            } else {
                let give_up = open.give_up;
                self.set_wake(serial, give_up);
            }
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        let first = |times: &BTreeSet<(Time, u64)>| times.first().map(|&(at, _)| at);
        let probe = self.probe_times.first().map(|&(at, _)| at);
        let deadlines = [first(&self.wakes), first(&self.echo_times), probe];
        deadlines.into_iter().flatten().min()
    }

    /// The next message to publish on the request channel.
    pub fn poll_publication(&mut self) -> Option<Publication> {
        self.publications.pop_front()
    }

    /// The next event for the history.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the back end knows of the devices.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registered endpoint with the most open tickets; the first by name among equals, so that a run can be repeated.
    pub fn busiest_endpoint(&self) -> Option<Arc<str>> {
        let mut open: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        self.open
            .values()
            .for_each(|one| *open.entry(&one.endpoint).or_default() += 1);
        let count = |endpoint: &Arc<str>| open.get(endpoint).copied().unwrap_or(0);
        let endpoints = self.registry.endpoints().iter();
        endpoints
            .max_by_key(|it| (count(it), std::cmp::Reverse(Arc::clone(it))))
            .cloned()
    }

    /// True if it is connected, as far as it knows.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// How many tickets have not ended.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// How many tickets the instance with this id ended, in all its incarnations.
    pub fn ended_by(&self, instance: &str) -> u64 {
        self.ended_by.get(instance).copied().unwrap_or(0)
    }

    /// How many tickets got how far.
    pub fn counts(&self) -> TicketCounts {
        self.counts
    }

    fn make(&mut self, now: Time, arrival: Arrival, probe: bool) {
        if self.open.len() >= self.options.max_open {
            self.counts.refused += 1;
            return;
        }
        let ticket = self.draw_ticket(&arrival);
        let Arrival {
            intended,
            endpoint,
            operation,
            timeout,
            repeat,
            impatience,
            ..
        } = arrival;
        let envelope = Envelope::new(&endpoint, &ticket, &operation, millis(timeout));
        let open = Open {
            ticket: Arc::clone(&ticket),
            endpoint,
            operation,
            argument: envelope.argument,
            payload: envelope.payload.into(),
            timeout,
            intended,
            first_sent: now,
            attempts: 0,
            acked: false,
            repeat,
            probe,
            wake: now,
            give_up: now,
        };
        let serial = self.next_serial;
        self.next_serial += 1;
        self.serials.entry(ticket).or_default().push(serial);
        self.wakes.insert((now, serial));
        self.open.insert(serial, open);
        self.counts.sent += 1;
        self.publish(now, serial);
        if impatience > 0.0 && self.random.random_bool(impatience) {
            self.repeat_some_time(now, serial);
        }
    }

    /// A fresh ticket, or that of the last request if this one is to share it.
    fn draw_ticket(&mut self, arrival: &Arrival) -> Arc<str> {
        let endpoint = &arrival.endpoint;
        if arrival.shared_tickets > 0.0
            && self.random.random_bool(arrival.shared_tickets)
            && let Some((ticket, sharers)) = &mut self.newest
            && sharers.len() < MAX_SHARERS
            && !sharers.contains(endpoint)
        {
            sharers.push(Arc::clone(endpoint));
            return Arc::clone(ticket);
        }
        let ticket: Arc<str> = format!("{:032x}", self.random.random::<u128>()).into();
        self.newest = Some((Arc::clone(&ticket), vec![Arc::clone(endpoint)]));
        ticket
    }

    /// Remembers to publish a ticket once more, even if it has ended by then.
    fn repeat_some_time(&mut self, now: Time, serial: u64) {
        let at = now + IMPATIENCE.mul_f64(self.random.random_range(0.0..1.0));
        let open = &self.open[&serial];
        let echo = Echo {
            payload: Arc::clone(&open.payload),
            sent: sent(open, true),
            attempts: open.attempts,
        };
        self.echoes.insert(serial, echo);
        self.echo_times.insert((at, serial));
    }

    fn echo(&mut self, now: Time) {
        while let Some(&(at, serial)) = self.echo_times.first().filter(|(at, _)| *at <= now) {
            self.echo_times.remove(&(at, serial));
            let echo = self.echoes.remove(&serial).expect("each has its time");
            if !self.connected {
                continue;
            }
            if self.open.contains_key(&serial) {
                self.publish(now, serial);
                continue;
            }
            self.counts.repeats += 1;
            let payload = echo.payload;
            self.publications.push_back(Publication { payload });
            let mut again = echo.sent;
            if let Event::Sent { attempt, .. } = &mut again {
                *attempt = echo.attempts + 1;
            }
            self.events.push_back(again);
        }
    }

    /// Publishes a ticket, for the first time or again. Without a connection the attempt is noted and fails.
    fn publish(&mut self, now: Time, serial: u64) {
        let connected = self.connected;
        let open = self
            .open
            .get_mut(&serial)
            .expect("only open tickets are published");
        open.attempts += 1;
        open.give_up = now + open.timeout + self.options.patience;
        let wake = if open.acked {
            open.give_up
        } else {
            now + self.options.repeat_after
        };
        if open.attempts > 1 {
            self.counts.repeats += 1;
        }
        if connected {
            self.publications.push_back(Publication {
                payload: Arc::clone(&open.payload),
            });
        }
        self.events.push_back(sent(open, connected));
        self.set_wake(serial, wake);
    }

    /// From when on a ticket is not repeated any more, so that waiting ends: after one more timeout it is given up.
    fn last_repeat(&self, open: &Open) -> Time {
        open.first_sent + open.timeout + self.options.repeat_after
    }

    /// The open ticket that an answer is about. The `leshan` dialect does not name the endpoint.
    fn serial_of(&self, answer: &Answer) -> Option<u64> {
        let sharers = self.serials.get(answer.ticket.as_ref())?;
        let is_meant = |serial: &&u64| {
            let endpoint = answer.ep.as_deref();
            endpoint.is_none_or(|endpoint| endpoint == &*self.open[*serial].endpoint)
        };
        sharers.iter().find(is_meant).copied()
    }

    fn note_answer(&mut self, now: Time, answer: &Answer) {
        let Some(serial) = self.serial_of(answer) else {
            return;
        };
        let open = self.open.get_mut(&serial).expect("a known ticket is open");
        if answer.ack && !open.acked {
            open.acked = true;
            self.counts.acked += 1;
            let give_up = open.give_up;
            self.set_wake(serial, give_up);
        }
        if let Some(by) = answer
            .by
            .as_deref()
            .filter(|_| answer.err.is_some() || answer.resp.is_some())
        {
            self.note_speaker(by);
        }
        if answer.err.is_some() {
            self.counts.failed += 1;
            self.probe_later(now, serial);
            self.close(serial);
        } else if answer.resp.is_some() {
            self.counts.answered += 1;
            self.probed.remove(&self.open[&serial].endpoint);
            self.close(serial);
        }
    }

    /// If it is a probe, its device is asked again: this one brought no answer.
    fn probe_later(&mut self, now: Time, serial: u64) {
        let Open { endpoint, probe, .. } = &self.open[&serial];
        if let Some(since) = self.probed.get(endpoint).filter(|_| *probe) {
            let pause = ((now - *since) / 4).clamp(PROBE_PAUSE.0, PROBE_PAUSE.1);
            self.probe_times.insert((now + pause, Arc::clone(endpoint)));
        }
    }

    /// Counts an ended ticket for the instance that ended it, without its incarnation.
    fn note_speaker(&mut self, by: &str) {
        let id = by.split_once('#').map_or(by, |(id, _)| id);
        if let Some(count) = self.ended_by.get_mut(id) {
            *count += 1;
        } else if self.ended_by.len() < MAX_SPEAKERS {
            self.ended_by.insert(id.to_owned(), 1);
        }
    }

    fn set_wake(&mut self, serial: u64, wake: Time) {
        let open = self.open.get_mut(&serial).expect("only open tickets are woken");
        self.wakes.remove(&(open.wake, serial));
        open.wake = wake;
        self.wakes.insert((wake, serial));
    }

    fn close(&mut self, serial: u64) {
        let open = self.open.remove(&serial).expect("only open tickets end");
        if let Some(sharers) = self.serials.get_mut(&open.ticket) {
            sharers.retain(|other| *other != serial);
            if sharers.is_empty() {
                self.serials.remove(&open.ticket);
            }
        }
        if let Some(echo) = self.echoes.get_mut(&serial) {
            echo.attempts = open.attempts;
        }
        self.wakes.remove(&(open.wake, serial));
    }
}

fn sent(open: &Open, published: bool) -> Event {
    Event::Sent {
        ep: open.endpoint.to_string(),
        ticket: open.ticket.to_string(),
        kind: open.operation.kind,
        path: open.operation.path.to_string(),
        repeatable: open.operation.kind.declaration().repeatable,
        argument: open.argument.clone(),
        timeout_ms: millis(open.timeout),
        intended_us: open.intended.as_micros(),
        attempt: open.attempts,
        probe: open.probe,
        published,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
