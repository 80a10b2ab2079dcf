//! Counts and rates: what happened how often, and how fast.

use rustc_hash::FxHashMap;

use super::durations::Durations;
use super::lives::{Change, Ending};
use super::{Devices, Era, Events, Throughput, Tickets, Uplink};
use crate::checker::{Body, Breach, Judgement, Message};
use crate::history::{Entry, Event, LossReason, RegistrationChannel};

/// The first and the last time of something, and how often it happened.
#[derive(Default)]
struct Pace {
    count: u64,
    first_us: u64,
    last_us: u64,
}

impl Pace {
    fn note(&mut self, at_us: u64) {
        if self.count == 0 {
            self.first_us = at_us;
        }
        self.count += 1;
        self.last_us = at_us;
    }

    fn per_second(&self) -> Option<f64> {
        rate(self.count, self.last_us.checked_sub(self.first_us)?)
    }
}

/// Two decimals say all that such a figure can.
fn rate(count: u64, micros: u64) -> Option<f64> {
    (count > 1 && micros > 0).then(|| (count as f64 * 1e8 / micros as f64).round() / 100.0)
}

/// Counts while a history is read.
pub struct Tally {
    devices: Devices,
    registered: FxHashMap<String, bool>,
    events: Events,
    eras: Vec<Era>,
    tickets: Tickets,
    first_sent_us: Option<u64>,
    answered_under_load: u64,
    first_registrations: Pace,
    updates: Pace,
    register_took: Durations,
    update_took: Durations,
    load_stopped_us: Option<u64>,
    last_us: u64,
    pub interrupted: bool,
    unexpected_exits: Vec<String>,
}

impl Tally {
    pub fn new() -> Self {
        Tally {
            devices: Devices::default(),
            registered: FxHashMap::default(),
            events: Events::default(),
            eras: Vec::new(),
            tickets: Tickets::default(),
            first_sent_us: None,
            answered_under_load: 0,
            first_registrations: Pace::default(),
            updates: Pace::default(),
            register_took: Durations::new(),
            update_took: Durations::new(),
            load_stopped_us: None,
            last_us: 0,
            interrupted: false,
            unexpected_exits: Vec::new(),
        }
    }

    /// Takes the next entry.
    pub fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>) {
        self.last_us = self.last_us.max(entry.at_us);
        match &entry.event {
            Event::Registration { channel, .. } => match channel {
                RegistrationChannel::New => self.events.new += 1,
                RegistrationChannel::Up => self.events.up += 1,
                RegistrationChannel::Del => self.events.del += 1,
            },
            Event::Era { reason } => {
                self.eras.push(Era {
                    start_s: entry.at_us as f64 / 1e6,
                    reason: reason.clone(),
                });
            }
            Event::InstanceExited {
                id,
                status,
                expected: false,
            } => {
                let at = entry.at_us as f64 / 1e6;
                self.unexpected_exits.push(format!(
                    "instance {id} ended at {at:.3} s without being asked to: {status}"
                ));
            }
            Event::LoadStopped => self.load_stopped_us = Some(entry.at_us),
            Event::Ended { interrupted } => self.interrupted = *interrupted,
            _ => self.observe_device(entry),
        }
        if message.is_some_and(|message| message.body == Body::Notification) {
            self.tickets.notifications += 1;
        }
    }

    /// What a device was told about its registration.
    fn observe_device(&mut self, entry: &Entry) {
        match &entry.event {
            Event::DeviceRegistered {
                ep, again, after_us, ..
            } => {
                self.devices.registrations += 1;
                self.register_took.note(*after_us, true);
                self.set_registered(ep, true);
                match again {
                    true => self.devices.reregistrations += 1,
                    false => self.first_registrations.note(entry.at_us),
                }
            }
            Event::DeviceUpdated { after_us, .. } => {
                self.devices.updates += 1;
                self.update_took.note(*after_us, true);
                self.updates.note(entry.at_us);
            }
            Event::DeviceLostRegistration { ep, after_us, reason } => {
                self.devices.lost_registrations += 1;
                // That there is no such registration is an answer to the Update, and may come as fast as any.
                self.update_took.note(*after_us, *reason == LossReason::NotFound);
                self.set_registered(ep, false);
            }
            Event::DeviceUnanswered { after_us, .. } => self.register_took.note(*after_us, false),
            Event::DeviceRefused { update, after_us, .. } => {
                self.devices.refused += 1;
                let took = if *update {
                    &mut self.update_took
                } else {
                    &mut self.register_took
                };
                took.note(*after_us, false);
            }
            Event::DeviceDeregistered { ep } | Event::DeviceRebooted { ep } => self.set_registered(ep, false),
            _ => {}
        }
    }

    fn set_registered(&mut self, ep: &str, registered: bool) {
        let was = match self.registered.get_mut(ep) {
            Some(was) => std::mem::replace(was, registered),
            None => self.registered.insert(ep.to_owned(), registered).unwrap_or(false),
        };
        self.devices.registered = self.devices.registered + u64::from(registered) - u64::from(was);
    }

    /// Takes what an entry did to a ticket.
    pub fn observe_ticket(&mut self, at_us: u64, change: &Change<'_>) {
        let tickets = &mut self.tickets;
        match change {
            Change::Sent(life) => {
                tickets.sent += 1;
                tickets.probes += u64::from(life.probe);
                self.first_sent_us.get_or_insert(at_us);
            }
            Change::Repeated => tickets.repeats += 1,
            Change::Acked => tickets.acked += 1,
            Change::Ended(_, Ending::Answered) => {
                tickets.responses += 1;
                self.answered_under_load += u64::from(self.load_stopped_us.is_none());
            }
            Change::Ended(_, Ending::Failed(code)) => {
                tickets.errors += 1;
                *tickets.errors_by_code.entry(code.to_string()).or_default() += 1;
            }
        }
    }

    /// The time of the last entry.
    pub fn last_us(&self) -> u64 {
        self.last_us
    }

    /// How many devices believe to be registered.
    pub fn registered(&self) -> u64 {
        self.devices.registered
    }

    /// Instances that ended by themselves, as warnings.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unexpected_exits)
    }

    pub fn eras(&self) -> Vec<Era> {
        self.eras.clone()
    }

    pub fn devices(&self, count: u32) -> Devices {
        Devices {
            count: u64::from(count),
            ..self.devices.clone()
        }
    }

    pub fn uplink(&self) -> Uplink {
        Uplink {
            register: self.register_took.percentiles(),
            update: self.update_took.percentiles(),
        }
    }

    pub fn events(&self, judgement: &Judgement) -> Events {
        Events {
            violations: judgement.count(Breach::Event),
            gaps: judgement.event_gaps,
            ..self.events.clone()
        }
    }

    /// The operations of the run: registrations, Updates and answered tickets.
    pub fn operations(&self) -> u64 {
        self.devices.registrations + self.devices.updates + self.tickets.responses
    }

    pub fn throughput(&self) -> Throughput {
        let until = self.load_stopped_us.unwrap_or(self.last_us);
        let since = self.first_sent_us.unwrap_or(until);
        Throughput {
            registrations_per_s: self.first_registrations.per_second(),
            updates_per_s: self.updates.per_second(),
            tickets_per_s: rate(self.answered_under_load, until.saturating_sub(since)),
        }
    }

    pub fn tickets(&self, judgement: &Judgement) -> Tickets {
        let broken = judgement.tickets();
        Tickets {
            violations: broken.values().sum(),
            broken,
            repeat_copies: judgement.repeat_copies,
            lost_with_broker: judgement.lost_with_broker,
            open: judgement.open,
            ..self.tickets.clone()
        }
    }
}
