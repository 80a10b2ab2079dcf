//! Registration events: per endpoint gapless in `rev` as published, `REG_NEW` only after a `REG_DEL`, nothing between a
//! `REG_DEL` and the next `REG_NEW`, `REG_UP` and `REG_DEL` only for the registration in force, which does not expire
//! while it is refreshed. What devices were told is compared with them in [`super::device`].

use rustc_hash::FxHashMap;

use super::book::{Book, Change};
use super::device::Devices;
use super::expiry::Expiry;
use super::timeline::Timeline;
use super::{Breach, Found};
use crate::dialect::Registration;
use crate::history::{Entry, Event, RegistrationChannel};

/// EXCHANGE_LIFETIME (RFC 7252, 4.8.2): so long the tombstone of an endpoint keeps its `rev`.
const TOMBSTONE_US: u64 = 247_000_000;

/// What was last said about an endpoint.
struct Last {
    at_us: u64,
    rev: Option<u64>,
    /// The registration in force; none after `REG_DEL`.
    registration: Option<String>,
}

/// The registration events so far.
#[derive(Default)]
pub struct Registrations {
    last: FxHashMap<String, Last>,
    devices: Devices,
    expiry: Expiry,
    /// Events that were missed while the back end was disconnected.
    pub gaps: u64,
}

/// How a registration ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another one took its place.
    Replaced,
    /// For good.
    Over,
}

/// Of which endpoint an event says that a registration ended, and how.
pub fn ending_of(event: &Event) -> Option<(String, Ending)> {
    let Event::Registration {
        channel: RegistrationChannel::Del,
        message,
    } = event
    else {
        return None;
    };
    let registration = Registration::read(RegistrationChannel::Del, message).ok()?;
    let ending = match registration.reason.as_deref() {
        Some("replaced") => Ending::Replaced,
        _ => Ending::Over,
    };
    Some((registration.ep, ending))
}

impl Registrations {
    /// Judges the next entry; others than registration events and eras pass by.
    ///
    /// Says of which endpoint what became of a registration.
    pub fn observe(&mut self, entry: &Entry, book: &Book, found: &mut Found) -> Option<(String, Change)> {
        let timeline = &book.timeline;
        self.devices.observe(entry, timeline, found);
        let last = &self.last;
        let in_force = |ep: &str| {
            let last = last.get(ep)?;
            last.registration.as_ref().map(|_| last.at_us)
        };
        self.expiry.judge(entry.at_us, book, found, in_force);
        if let Event::DeviceDeregistered { ep } = &entry.event {
            self.expiry.takes_leave(entry.at_us, ep, book);
        }
        match &entry.event {
            Event::Era { .. } => self.last.clear(),
            Event::Registration { channel, message } => match Registration::read(*channel, message) {
                Ok(registration) => {
                    let change = match channel {
                        RegistrationChannel::Del if registration.reason.as_deref() == Some("replaced") => {
                            Change::Replaced
                        }
                        RegistrationChannel::Del => Change::Ended,
                        RegistrationChannel::New | RegistrationChannel::Up => Change::InForce,
                    };
                    let ep = registration.ep.clone();
                    if change == Change::InForce {
                        self.expiry.refreshed(entry.at_us, &ep, registration.lt, book);
                    }
                    self.judge(entry.at_us, *channel, registration, timeline, found);
                    return Some((ep, change));
                }
                Err(error) => found.add(Breach::Event, entry.at_us, "", "", || {
                    format!("unreadable: {error}")
                }),
            },
            _ => {}
        }
        None
    }

    /// The end of the history.
    pub fn finish(&mut self, timeline: &Timeline, found: &mut Found) {
        self.devices.finish(timeline, found);
    }

    fn judge(
        &mut self,
        at_us: u64,
        channel: RegistrationChannel,
        new: Registration,
        timeline: &Timeline,
        found: &mut Found,
    ) {
        found.judged(Breach::Event);
        let reason = new.reason.as_deref();
        self.devices
            .announced(at_us, channel, &new.ep, &new.reg_id, reason, found);
        if let Some(last) = self.last.get(&new.ep) {
            if timeline.may_have_missed(last.at_us, at_us) {
                if let (Some(before), Some(now)) = (last.rev, new.rev) {
                    self.gaps += now.saturating_sub(before + 1);
                }
            } else if let Some(wrong) = wrong_rev(last, new.rev, at_us)
                .or_else(|| wrong_sequence(last, channel, &new))
                .or_else(|| expired_early(last, at_us, &new))
            {
                found.add(Breach::Event, at_us, &new.ep, "", || wrong);
            }
        }
        let registration = (channel != RegistrationChannel::Del).then_some(new.reg_id);
        self.last.insert(
            new.ep,
            Last {
                at_us,
                rev: new.rev,
                registration,
            },
        );
    }
}

fn wrong_rev(last: &Last, rev: Option<u64>, at_us: u64) -> Option<String> {
    let (before, now) = (last.rev?, rev?);
    let forgotten = last.registration.is_none() && at_us.saturating_sub(last.at_us) >= TOMBSTONE_US;
    if now == before + 1 || (forgotten && now == 1) {
        return None;
    }
    Some(format!("rev {now} after rev {before}: expected {}", before + 1))
}

/// An expiry before half of the lifetime is over since the device was last heard of: clocks may jump, but the server
/// lets nothing expire for as long.
fn expired_early(last: &Last, at_us: u64, new: &Registration) -> Option<String> {
    let lifetime = new.lt.filter(|_| new.reason.as_deref() == Some("expired"))?;
    let age = at_us.saturating_sub(last.at_us);
    (age < lifetime.saturating_mul(500_000)).then(|| {
        format!(
            "expired {:.3} s after it began or was refreshed: expected {lifetime} s",
            age as f64 / 1e6
        )
    })
}

fn wrong_sequence(last: &Last, channel: RegistrationChannel, new: &Registration) -> Option<String> {
    let id = &new.reg_id;
    match (channel, &last.registration) {
        (RegistrationChannel::New, Some(old)) => Some(format!(
            "REG_NEW {id} while {old} is in force: expected REG_DEL (replaced) before it"
        )),
        (RegistrationChannel::Up, None) => Some(format!("REG_UP {id} after REG_DEL: expected REG_NEW")),
        (RegistrationChannel::Del, None) => Some(format!("REG_DEL {id} after REG_DEL: expected REG_NEW")),
        (RegistrationChannel::Up | RegistrationChannel::Del, Some(old)) if old != id => {
            Some(format!("an event for {id} while {old} is in force"))
        }
        (RegistrationChannel::Del, Some(_)) => {
            let known = ["deregistered", "replaced", "expired"];
            let reason = new.reason.as_deref()?;
            (!known.contains(&reason))
                .then(|| format!("REG_DEL with the reason \"{reason}\": expected one of {known:?}"))
        }
        _ => None,
    }
}
