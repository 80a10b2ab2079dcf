//! Counts and rates: what happened how often, and how fast.

use rustc_hash::FxHashMap;

use super::{Devices, Era, Events, Throughput, Tickets};
use crate::checker::{Body, Breach, Judgement, Message, Outcome, Ticket};
use crate::history::{Entry, Event, RegistrationChannel};

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
#[derive(Default)]
pub struct Tally {
    devices: Devices,
    registered: FxHashMap<String, bool>,
    events: Events,
    eras: Vec<Era>,
    notifications: u64,
    first_registrations: Pace,
    updates: Pace,
    load_stopped_us: Option<u64>,
    last_us: u64,
    pub interrupted: bool,
    unexpected_exits: Vec<String>,
}

impl Tally {
    /// Takes the next entry.
    pub fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>) {
        self.last_us = self.last_us.max(entry.at_us);
        match &entry.event {
            Event::DeviceRegistered { ep, again, .. } => {
                self.devices.registrations += 1;
                self.registered.insert(ep.clone(), true);
                match again {
                    true => self.devices.reregistrations += 1,
                    false => self.first_registrations.note(entry.at_us),
                }
            }
            Event::DeviceUpdated { .. } => {
                self.devices.updates += 1;
                self.updates.note(entry.at_us);
            }
            Event::DeviceLostRegistration { ep, .. } => {
                self.devices.lost_registrations += 1;
                self.registered.insert(ep.clone(), false);
            }
            Event::DeviceDeregistered { ep } | Event::DeviceRebooted { ep } => {
                self.registered.insert(ep.clone(), false);
            }
            Event::DeviceRefused { .. } => self.devices.refused += 1,
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
            _ => {}
        }
        if message.is_some_and(|message| message.body == Body::Notification) {
            self.notifications += 1;
        }
    }

    /// The length of the run on its own clock.
    pub fn duration_s(&self) -> f64 {
        self.last_us as f64 / 1e6
    }

    /// Instances that ended by themselves, as warnings.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unexpected_exits)
    }

    pub fn eras(&self) -> Vec<Era> {
        self.eras.clone()
    }

    pub fn devices(&self, count: u32) -> Devices {
        let registered = self.registered.values().filter(|registered| **registered).count() as u64;
        Devices {
            count: u64::from(count),
            registered,
            ..self.devices.clone()
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
    pub fn operations(&self, tickets: &Tickets) -> u64 {
        self.devices.registrations + self.devices.updates + tickets.responses
    }

    pub fn throughput(&self, tickets: &[Ticket]) -> Throughput {
        let until = self.load_stopped_us.unwrap_or(self.last_us);
        let answered = |ticket: &&Ticket| {
            let terminal = ticket.terminal.as_ref();
            terminal
                .is_some_and(|end| matches!(end.outcome, Outcome::Response { .. }) && end.mark.at_us <= until)
        };
        let first = tickets.first().map_or(until, |ticket| ticket.first_sent_us);
        Throughput {
            registrations_per_s: self.first_registrations.per_second(),
            updates_per_s: self.updates.per_second(),
            tickets_per_s: rate(
                tickets.iter().filter(answered).count() as u64,
                until.saturating_sub(first),
            ),
        }
    }

    pub fn tickets(&self, tickets: &[Ticket], judgement: &Judgement) -> Tickets {
        let broken = judgement.tickets();
        let mut counts = Tickets {
            sent: tickets.len() as u64,
            notifications: self.notifications,
            violations: broken.values().sum(),
            broken,
            repeat_copies: judgement.repeat_copies,
            lost_with_broker: judgement.lost_with_broker,
            open: judgement.open,
            ..Tickets::default()
        };
        for ticket in tickets {
            counts.probes += u64::from(ticket.probe);
            counts.acked += u64::from(ticket.ack.is_some());
            counts.repeats += u64::from(ticket.attempts.saturating_sub(1));
            match ticket.terminal.as_ref().map(|terminal| &terminal.outcome) {
                Some(Outcome::Response { .. }) => counts.responses += 1,
                Some(Outcome::Error { code, .. }) => {
                    counts.errors += 1;
                    *counts.errors_by_code.entry(code.to_string()).or_default() += 1;
                }
                None => {}
            }
        }
        counts
    }
}
