//! What the checker remembers: one compact record per ticket, the ledgers of the devices, who spoke, who was up.
//!
//! In: the entries of a history, one after the other. The invariants look at the book before an entry is written into
//! it, and once more at the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::Rules;
use super::endpoint::{Endpoint, Registered};
pub use super::endpoint::{EndpointId, TicketId};
use super::message::{Body, Message};
use super::timeline::Timeline;
use crate::dialect::ErrorCode;
use crate::fault::FaultKind;
use crate::history::{CoapCode, Entry, Event, REDIS};
use crate::operation::{Method, RequestKind};

/// So long a refusal is remembered, by the broker's clock (rule 3).
const REFUSAL_US: i64 = 10_000_000;

/// How a ticket ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The device answered.
    Response {
        /// True if it did what was asked.
        success: bool,
    },
    /// An error, with its `sent` member.
    Error {
        /// Which.
        code: ErrorCode,
        /// `false` proves that no datagram left.
        sent: Option<bool>,
    },
}

/// A message about a ticket: where in the history, and when.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Mark {
    /// The number of the entry.
    pub index: u64,
    /// Microseconds since the start of the run.
    pub at_us: u64,
    /// The era it fell into: what an earlier era knew, a later one may have forgotten.
    pub era: u32,
}

/// The terminal of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminal {
    /// Where it was heard.
    pub mark: Mark,
    /// When it may have been said, at the earliest.
    pub said_since_us: u64,
    /// What it was.
    pub outcome: Outcome,
    /// Equal for copies of it.
    pub fingerprint: u64,
}

/// The executions of one changing request in the ledger of its device.
#[derive(Clone, Debug, PartialEq)]
pub struct Executions {
    /// How many.
    pub count: u32,
    /// The first one.
    pub first: Mark,
    /// Message ID and token of the first one.
    pub exchange: (u16, Box<str>),
    /// The number of the entry of the last one.
    pub last_index: u64,
    /// The different codes that the device answered.
    pub codes: Vec<CoapCode>,
    /// The instance that sent the first one, if that is known.
    pub sender: Option<Box<str>>,
    /// The process of that instance then: 1 for its first.
    pub sender_life: u32,
}

/// What the device answered to a read that this ticket may have asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The code.
    pub code: CoapCode,
    /// The value of one resource, as text.
    pub value: Option<Box<str>>,
    /// The values of several, by their path below that of the request.
    pub values: Option<BTreeMap<String, String>>,
    /// Nobody can read it.
    pub nonsense: bool,
}

/// Everything about one ticket.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub endpoint: EndpointId,
    pub name: Box<str>,
    pub kind: RequestKind,
    pub path: Box<str>,
    pub argument: Option<Box<str>>,
    pub repeatable: bool,
    pub timeout_us: u64,
    /// When the back end first tried to publish it.
    pub first_sent_us: u64,
    /// When it first succeeded.
    pub first_published_us: Option<u64>,
    /// When it last did before the cluster said anything: the arrival is not later than this and its way, see
    /// [`Book::arrived_by`].
    pub arrived_by_us: Option<u64>,
    /// The last publication.
    pub last_published_us: Option<u64>,
    pub attempts: u32,
    /// The first ack in this era.
    pub ack: Option<Mark>,
    /// The first ack was a copy: the original was missed.
    pub ack_is_copy: bool,
    /// The member that acked.
    pub acked_by: Option<Box<str>>,
    pub ack_copies: u32,
    /// The first terminal in this era.
    pub terminal: Option<Terminal>,
    pub terminal_copies: u32,
    pub executions: Option<Executions>,
    /// For a read that is open: the different answers to reads of its path since it was sent.
    pub answers: Vec<Answer>,
    /// The number of the era in which it was first sent.
    pub born_era: u32,
    /// The number of the era in which it was sent, acked or repeated last.
    pub era: u32,
    /// An era ended while it was open.
    pub crossed_eras: bool,
    /// It has had its time, and what it was owed was judged.
    pub settled: bool,
    next_of_same_name: Option<TicketId>,
}

impl Ticket {
    /// True once nothing more is owed.
    pub fn ended(&self) -> bool {
        self.terminal.is_some()
    }

    /// The error that ended it, if it was never stored.
    fn refusal(&self) -> Option<&Terminal> {
        let refused = |it: &&Terminal| matches!(it.outcome, Outcome::Error { .. });
        self.terminal
            .as_ref()
            .filter(refused)
            .filter(|_| self.ack.is_none())
    }

    /// A request that was refused so long ago is a new one when it is published again. True if it is open again.
    fn forget_refusal(&mut self, timeline: &Timeline, at_us: u64) -> bool {
        let Some(refusal) = self.refusal() else {
            return false;
        };
        let refused_at = refusal.mark.at_us;
        if timeline.broker_time_between(refused_at, at_us) < REFUSAL_US {
            return false;
        }
        let since = self.last_published_us.filter(|at| *at > refused_at);
        self.ask_anew(since);
        true
    }

    /// As [`Ticket::forget_refusal`] where the refusal was heard late, or the repeat arrived late: when the cluster speaks of
    /// the request as of a new one. True if it is open again.
    fn forget_late_refusal(&mut self, timeline: &Timeline, at_us: u64) -> bool {
        let (Some(refusal), Some(last)) = (self.refusal(), self.last_published_us) else {
            return false;
        };
        let since = refusal.said_since_us.max(self.first_published_us.unwrap_or(0));
        let arrived = timeline.reached_by(last).unwrap_or(at_us).min(at_us);
        if timeline.broker_time_between(since, arrived) < REFUSAL_US {
            return false;
        }
        self.ask_anew(Some(last));
        true
    }

    /// What was said does not count: the request is as new as if it had first been published then.
    fn ask_anew(&mut self, published_us: Option<u64>) {
        self.terminal = None;
        (self.first_published_us, self.arrived_by_us) = (published_us, published_us);
    }
}

/// What became of a registration.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began or was refreshed.
    InForce,
    /// It made way for another one.
    Replaced,
    /// It ended.
    Ended,
}

/// All that is known so far.
pub struct Book {
    pub rules: Rules,
    pub timeline: Timeline,
    /// Those that something may still be owed to or said of, by their numbers; the first has the number `first_ticket`.
    tickets: VecDeque<Option<Box<Ticket>>>,
    first_ticket: TicketId,
    /// When a ticket is to be looked at: it has had its time, or nothing can come of it any more.
    looks: BTreeSet<(u64, TicketId)>,
    endpoints: Vec<Endpoint>,
    /// How many tickets have no outcome.
    pub open_tickets: usize,
    /// The number of the entry that is looked at.
    pub index: u64,
    /// The device executed a read and said so: the ledger covers reads.
    pub ledger_has_reads: bool,
    /// The device executed a changing request and said so.
    pub ledger_has_changes: bool,
    by_name: FxHashMap<Box<str>, TicketId>,
    by_endpoint_name: FxHashMap<Box<str>, EndpointId>,
    by_argument: FxHashMap<(EndpointId, Box<str>), TicketId>,
    /// The entry at which a device last lost its memory.
    rebooted: FxHashMap<EndpointId, u64>,
    /// Devices that do not recognise copies.
    forgetful: rustc_hash::FxHashSet<EndpointId>,
    /// How often each instance was started, and when last.
    lives: FxHashMap<Box<str>, (u32, u64)>,
}

impl Book {
    pub fn new(rules: Rules) -> Self {
        Book {
            timeline: Timeline::new(&rules),
            rules,
            tickets: VecDeque::new(),
            first_ticket: 0,
            looks: BTreeSet::new(),
            endpoints: Vec::new(),
            index: 0,
            ledger_has_reads: false,
            ledger_has_changes: false,
            open_tickets: 0,
            by_name: Default::default(),
            by_endpoint_name: Default::default(),
            by_argument: Default::default(),
            rebooted: Default::default(),
            forgetful: Default::default(),
            lives: Default::default(),
        }
    }

    pub fn endpoint(&self, name: &str) -> Option<EndpointId> {
        self.by_endpoint_name.get(name).copied()
    }

    pub fn endpoint_name(&self, id: EndpointId) -> &str {
        &self.endpoints[id as usize].name
    }

    /// What is known of an endpoint.
    pub fn of_endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[id as usize]
    }

    /// How many endpoints were ever heard of.
    pub fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// When the first of the open tickets of an endpoint was acked, if one was.
    pub fn oldest_ack(&self, id: EndpointId) -> Option<u64> {
        let open = self.endpoints[id as usize].open.iter();
        let acked = open.filter_map(|open| Some(self.ticket(*open).ack?.at_us));
        acked.min()
    }

    /// It was announced what became of a registration.
    pub fn registration_announced(&mut self, at_us: u64, ep: &str, change: Change) {
        let id = self.intern(ep);
        let endpoint = &mut self.endpoints[id as usize];
        match change {
            Change::InForce => endpoint.announced(at_us),
            // The next one follows in the same step.
            Change::Replaced => {}
            Change::Ended => endpoint.registered = Registered::Ended,
        }
    }

    /// The ticket that a message is about, if it was ever sent.
    pub fn find(&self, message: &Message<'_>) -> Option<TicketId> {
        self.lookup(message.ep.as_deref(), &message.ticket)
    }

    /// The ticket of a device whose changing request carried this argument.
    pub fn find_argument(&self, ep: &str, argument: &str) -> Option<TicketId> {
        // A borrowed pair cannot be looked up in a map of owned ones.
        self.by_argument
            .get(&(self.endpoint(ep)?, argument.into()))
            .copied()
    }

    /// True if the device cannot recognise a copy of what it heard at the entry with this number: it never can, or has
    /// lost its memory since.
    pub fn has_forgotten(&self, endpoint: EndpointId, index: u64) -> bool {
        let rebooted = self.rebooted.get(&endpoint).is_some_and(|at| *at > index);
        rebooted || self.forgetful.contains(&endpoint)
    }

    /// Which process of an instance, counted from 1, is the last that can have sent what arrives now, and when it was
    /// started.
    pub fn life_of(&self, instance: &str) -> (u32, u64) {
        self.lives.get(instance).copied().unwrap_or_default()
    }

    fn lookup(&self, ep: Option<&str>, ticket: &str) -> Option<TicketId> {
        let mut candidate = self.by_name.get(ticket).copied();
        while let Some(id) = candidate {
            let known = self.ticket(id);
            if ep.is_none_or(|ep| ep == self.endpoint_name(known.endpoint)) {
                return Some(id);
            }
            candidate = known.next_of_same_name;
        }
        None
    }

    /// A ticket that is in the book.
    pub fn ticket(&self, id: TicketId) -> &Ticket {
        self.get(id)
            .expect("a ticket is found as long as it is in the book")
    }

    /// A ticket, if it is still in the book.
    pub fn get(&self, id: TicketId) -> Option<&Ticket> {
        let place = id.checked_sub(self.first_ticket)?;
        self.tickets.get(place as usize)?.as_deref()
    }

    fn ticket_mut(&mut self, id: TicketId) -> &mut Ticket {
        let place = (id - self.first_ticket) as usize;
        let ticket = self.tickets[place].as_deref_mut();
        ticket.expect("a ticket is found as long as it is in the book")
    }

    /// How many tickets are in the book.
    pub fn len(&self) -> usize {
        self.tickets.iter().flatten().count()
    }

    /// The ticket that is to be looked at next, if it is time.
    pub fn next_look(&mut self, now_us: u64) -> Option<TicketId> {
        while let Some(&(at, id)) = self.looks.first().filter(|(at, _)| *at <= now_us) {
            self.looks.remove(&(at, id));
            if self.get(id).is_some() {
                return Some(id);
            }
        }
        None
    }

    /// A ticket is to be looked at then.
    pub fn look_at(&mut self, at_us: u64, id: TicketId) {
        self.looks.insert((at_us, id));
    }

    /// When a ticket has had its time: its timeout, and as long for repeats and faults.
    pub fn time_over(&self, ticket: &Ticket) -> u64 {
        let asked = ticket.first_sent_us.saturating_add(ticket.timeout_us);
        let asked = asked.max(ticket.last_published_us.unwrap_or(0));
        asked.saturating_add(2 * self.rules.bound_us + 2 * self.rules.lease_us + 1_000_000)
    }

    /// When nothing can come of a ticket any more that is not wrong by itself.
    pub fn forgotten_at(&self, ticket: &Ticket) -> u64 {
        let ended = ticket.terminal.as_ref().map_or(0, |terminal| terminal.mark.at_us);
        let last = ended.max(ticket.last_published_us.unwrap_or(ticket.first_sent_us));
        last.max(self.time_over(ticket))
            .saturating_add(self.rules.remembered_us)
    }

    /// What it was owed was judged.
    pub fn settle(&mut self, id: TicketId) {
        self.ticket_mut(id).settled = true;
    }

    /// Takes a ticket out of the book.
    pub fn evict(&mut self, id: TicketId) -> Option<Ticket> {
        let place = id.checked_sub(self.first_ticket)?;
        let ticket = *self.tickets.get_mut(place as usize)?.take()?;
        while let Some(None) = self.tickets.front() {
            self.tickets.pop_front();
            self.first_ticket += 1;
        }
        let endpoint = &mut self.endpoints[ticket.endpoint as usize];
        let before = endpoint.open.len();
        endpoint.open.retain(|open| *open != id);
        self.open_tickets -= before - endpoint.open.len();
        if let Some(argument) = &ticket.argument {
            self.by_argument.remove(&(ticket.endpoint, argument.clone()));
        }
        self.unlink(id, &ticket);
        Some(ticket)
    }

    fn unlink(&mut self, id: TicketId, ticket: &Ticket) {
        let mut newer = self.by_name.get(&ticket.name).copied();
        if newer == Some(id) {
            match ticket.next_of_same_name {
                Some(next) => drop(self.by_name.insert(ticket.name.clone(), next)),
                None => drop(self.by_name.remove(&ticket.name)),
            }
            return;
        }
        while let Some(other) = newer {
            newer = self.ticket(other).next_of_same_name;
            if newer == Some(id) {
                self.ticket_mut(other).next_of_same_name = ticket.next_of_same_name;
                return;
            }
        }
    }

    /// All that are left, in the order in which they were first sent.
    pub fn take_all(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets)
            .into_iter()
            .flatten()
            .map(|ticket| *ticket)
            .collect()
    }

    /// The numbers of all that are in the book.
    pub fn ids(&self) -> Vec<TicketId> {
        let places = (self.first_ticket..).zip(&self.tickets);
        places
            .filter(|(_, ticket)| ticket.is_some())
            .map(|(id, _)| id)
            .collect()
    }

    /// The latest time at which a request can have arrived: when its last publication had come through, and not after its
    /// ack.
    pub fn arrived_by(&self, ticket: &Ticket) -> Option<u64> {
        let came_through = self.timeline.reached_by(ticket.arrived_by_us?);
        let acked = ticket.ack.map(|mark| mark.at_us);
        came_through.into_iter().chain(acked).min()
    }

    /// Writes an entry into the book.
    pub fn record(&mut self, entry: &Entry, message: Option<&Message<'_>>) {
        let mark = Mark {
            index: self.index,
            at_us: entry.at_us,
            era: self.timeline.era(),
        };
        self.timeline.record(entry);
        match &entry.event {
            Event::Sent { .. } => self.record_sent(entry),
            Event::Heard { .. } => {
                if let Some(message) = message {
                    self.record_heard(mark, message);
                }
            }
            Event::DeviceExecuted { .. } => self.record_executed(mark, &entry.event),
            Event::DeviceRebooted { ep } => {
                let endpoint = self.intern(ep);
                self.rebooted.insert(endpoint, self.index);
                self.device(ep).goes_away(entry.at_us);
            }
            Event::DeviceDeregistered { ep } => self.device(ep).goes_away(entry.at_us),
            Event::DeviceRegistered { ep, .. } | Event::DeviceUpdated { ep, .. } => {
                self.device_heard(ep, entry)
            }
            Event::DeviceLostRegistration { ep, .. } | Event::DeviceRefused { ep, .. } => {
                self.device(ep).is_hindered(entry.at_us);
            }
            Event::DeviceAsleep { ep, until_us } => self.device(ep).is_hindered(*until_us),
            Event::DeviceRejected { ep, .. } => self.device(ep).rejected_us = Some(entry.at_us),
            // Nobody knows the new address until the device speaks from it.
            Event::Fault { action, affected, .. } if *action == FaultKind::NatRebind => {
                affected
                    .iter()
                    .for_each(|ep| self.device(ep).goes_away(entry.at_us));
            }
            Event::DeviceForgetful { ep } => {
                let endpoint = self.intern(ep);
                self.forgetful.insert(endpoint);
            }
            Event::InstanceStarted { id, .. } => {
                let lives = self.life_of(id).0 + 1;
                self.lives.insert(id.as_str().into(), (lives, entry.at_us));
            }
            Event::Era { .. } => self.record_era(),
            Event::Clock { of, .. } if of == REDIS => self.clock_touched(entry.at_us),
            _ => {}
        }
        self.index += 1;
    }

    /// Before the rules look at an ack or a refusal: the request may be a new one, because its refusal was heard so late.
    pub fn prepare(&mut self, entry: &Entry, message: Option<&Message<'_>>) {
        let first = message.filter(|it| matches!(it.body, Body::Ack | Body::Error(_)) && !it.again);
        let Some(id) = first.and_then(|message| self.find(message)) else {
            return;
        };
        let place = (id - self.first_ticket) as usize;
        let ticket = self.tickets[place].as_deref_mut();
        if ticket.is_some_and(|ticket| ticket.forget_late_refusal(&self.timeline, entry.at_us)) {
            self.opens(id);
        }
    }

    /// What was published and is under way while the clock is set comes to a cluster that may have forgotten a refusal.
    fn clock_touched(&mut self, at_us: u64) {
        let under_way = at_us.saturating_sub(self.rules.bound_us);
        let mut opened = Vec::new();
        for (id, ticket) in (self.first_ticket..).zip(&mut self.tickets) {
            let Some(ticket) = ticket else { continue };
            let refused_at = ticket.terminal.as_ref().map(|terminal| terminal.mark.at_us);
            let repeated =
                ticket.last_published_us > refused_at && ticket.last_published_us >= Some(under_way);
            if repeated && ticket.forget_refusal(&self.timeline, at_us) {
                opened.push(id);
            }
        }
        opened.into_iter().for_each(|id| self.opens(id));
    }

    fn opens(&mut self, id: TicketId) {
        self.ticket_mut(id).settled = false;
        let (endpoint, at) = (self.ticket(id).endpoint, self.time_over(self.ticket(id)));
        self.endpoints[endpoint as usize].open.push(id);
        self.open_tickets += 1;
        self.look_at(at, id);
    }

    fn closes(&mut self, id: TicketId, at_us: u64) {
        let ticket = self.ticket_mut(id);
        ticket.answers = Vec::new();
        let endpoint = ticket.endpoint;
        let endpoint = &mut self.endpoints[endpoint as usize];
        endpoint.ended_us = at_us;
        let before = endpoint.open.len();
        endpoint.open.retain(|open| *open != id);
        self.open_tickets -= before - endpoint.open.len();
    }

    fn device(&mut self, ep: &str) -> &mut Endpoint {
        let id = self.intern(ep);
        &mut self.endpoints[id as usize]
    }

    /// The device got an answer, so the cluster knows where it is. At a Register it begins its requests anew.
    fn device_heard(&mut self, ep: &str, entry: &Entry) {
        let registers = matches!(entry.event, Event::DeviceRegistered { .. });
        let device = self.device(ep);
        if registers || device.reachable_since(entry.at_us).is_none() {
            device.is_back(entry.at_us);
        }
    }

    fn intern(&mut self, ep: &str) -> EndpointId {
        if let Some(id) = self.by_endpoint_name.get(ep) {
            return *id;
        }
        let id = self.endpoints.len() as EndpointId;
        self.endpoints.push(Endpoint::named(ep));
        self.by_endpoint_name.insert(ep.into(), id);
        id
    }

    fn record_sent(&mut self, entry: &Entry) {
        let Event::Sent {
            ep,
            ticket,
            timeout_ms,
            published,
            ..
        } = &entry.event
        else {
            return;
        };
        let id = match self.lookup(Some(ep), ticket) {
            Some(id) => id,
            None => self.open_ticket(entry, ep, ticket, timeout_ms.saturating_mul(1000)),
        };
        let era = self.timeline.era();
        let place = (id - self.first_ticket) as usize;
        let known = self.tickets[place].as_deref_mut();
        if known.is_some_and(|known| known.forget_refusal(&self.timeline, entry.at_us)) {
            self.opens(id);
        }
        let known = self.ticket_mut(id);
        let (endpoint, deadline) = (known.endpoint, entry.at_us.saturating_add(known.timeout_us));
        known.attempts += 1;
        known.era = era;
        if *published {
            known.first_published_us.get_or_insert(entry.at_us);
            known.last_published_us = Some(entry.at_us);
            if known.ack.is_none() && known.terminal.is_none() {
                known.arrived_by_us = Some(entry.at_us);
            }
        }
        let endpoint = &mut self.endpoints[endpoint as usize];
        endpoint.deadline_us = endpoint.deadline_us.max(deadline);
    }

    fn open_ticket(&mut self, entry: &Entry, ep: &str, name: &str, timeout_us: u64) -> TicketId {
        let Event::Sent {
            kind,
            path,
            repeatable,
            argument,
            ..
        } = &entry.event
        else {
            unreachable!("only Sent opens a ticket")
        };
        let endpoint = self.intern(ep);
        let id = self.first_ticket + self.tickets.len() as TicketId;
        if let Some(argument) = argument {
            self.by_argument.insert((endpoint, argument.as_str().into()), id);
        }
        self.tickets.push_back(Some(Box::new(Ticket {
            endpoint,
            name: name.into(),
            kind: *kind,
            path: path.as_str().into(),
            argument: argument.as_deref().map(Into::into),
            repeatable: *repeatable,
            timeout_us,
            first_sent_us: entry.at_us,
            first_published_us: None,
            arrived_by_us: None,
            last_published_us: None,
            attempts: 0,
            ack: None,
            ack_is_copy: false,
            acked_by: None,
            ack_copies: 0,
            terminal: None,
            terminal_copies: 0,
            executions: None,
            answers: Vec::new(),
            born_era: self.timeline.era(),
            era: self.timeline.era(),
            crossed_eras: false,
            settled: false,
            next_of_same_name: self.by_name.get(name).copied(),
        })));
        self.by_name.insert(name.into(), id);
        self.opens(id);
        id
    }

    fn record_heard(&mut self, mark: Mark, message: &Message<'_>) {
        let Some(id) = self.find(message) else { return };
        let said_since_us = self.timeline.said_since(mark.at_us);
        let known = self.ticket_mut(id);
        let terminal = match &message.body {
            Body::Ack => {
                if message.again {
                    known.ack_copies += 1;
                }
                if known.ack.is_none() {
                    known.ack = Some(mark);
                    known.ack_is_copy = message.again;
                    known.acked_by = message.by.as_ref().map(|by| by.to_string().into());
                }
                return;
            }
            Body::Response(response) => (
                Outcome::Response {
                    success: response.success(),
                },
                response.fingerprint,
            ),
            Body::Error(error) => (
                Outcome::Error {
                    code: error.code.clone(),
                    sent: error.sent,
                },
                error.fingerprint(),
            ),
            Body::Notification | Body::End => return,
        };
        if message.again {
            known.terminal_copies += 1;
        }
        if known.terminal.is_none() {
            known.terminal = Some(Terminal {
                mark,
                said_since_us,
                outcome: terminal.0,
                fingerprint: terminal.1,
            });
            self.closes(id, mark.at_us);
        }
    }

    fn record_executed(&mut self, mark: Mark, event: &Event) {
        let Event::DeviceExecuted {
            ep,
            kind,
            message_id,
            token,
            argument,
            code,
            from,
            ..
        } = event
        else {
            return;
        };
        if *kind == Method::Read {
            self.ledger_has_reads = true;
            self.record_answer(event);
        }
        let Some(argument) = argument else { return };
        self.ledger_has_changes = true;
        let Some(id) = self.find_argument(ep, argument) else {
            return;
        };
        let sender_life = from.as_deref().map_or(0, |sender| self.life_of(sender).0);
        match &mut self.ticket_mut(id).executions {
            Some(executions) => {
                executions.count += 1;
                executions.last_index = mark.index;
                if !executions.codes.contains(code) {
                    executions.codes.push(*code);
                }
            }
            none => {
                let exchange = (*message_id, token.as_str().into());
                *none = Some(Executions {
                    count: 1,
                    first: mark,
                    exchange,
                    last_index: mark.index,
                    codes: vec![*code],
                    sender: from.as_deref().map(Into::into),
                    sender_life,
                });
            }
        }
    }

    /// The device answered a read: whoever waits for one of that path may get this.
    fn record_answer(&mut self, event: &Event) {
        let Event::DeviceExecuted {
            ep,
            path,
            code,
            value,
            values,
            nonsense,
            ..
        } = event
        else {
            return;
        };
        let Some(endpoint) = self.endpoint(ep) else { return };
        for id in &self.endpoints[endpoint as usize].open {
            let place = (*id - self.first_ticket) as usize;
            let Some(ticket) = self.tickets[place].as_deref_mut() else {
                continue;
            };
            if ticket.kind != RequestKind::Read || *ticket.path != **path {
                continue;
            }
            let answer = Answer {
                code: *code,
                value: value.as_deref().map(Into::into),
                values: values.clone(),
                nonsense: *nonsense,
            };
            if !ticket.answers.contains(&answer) {
                ticket.answers.push(answer);
            }
        }
    }

    /// The broker forgot: what was open then is owed nothing by the old era, and begins anew in the next.
    fn record_era(&mut self) {
        if self.timeline.era() <= 1 {
            return;
        }
        for endpoint in &mut self.endpoints {
            endpoint.registered = Registered::Never;
            endpoint.ghosts_until_us = endpoint.deadline_us;
        }
        let open = self.endpoints.iter().flat_map(|endpoint| &endpoint.open);
        for id in open {
            let place = (*id - self.first_ticket) as usize;
            let Some(known) = self.tickets[place].as_deref_mut() else {
                continue;
            };
            known.crossed_eras = true;
            known.ack = None;
            known.acked_by = None;
            known.ack_copies = 0;
        }
    }
}
