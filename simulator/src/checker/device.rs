//! What devices were told of their registrations, held against what was announced to back ends.
//!
//! - A registration that a device was told of (2.01) was announced.
//! - A device was told of an Update (2.04) no oftener than one was announced.
//! - A registration is not replaced while its device has it and does not register again.
//! - It does not end as `deregistered` either, unless its device takes leave.
//!
//! All of it only where the broker is intact and the back end was there: what was announced before is told for
//! [`TOLD_AGAIN_US`] at most. The last only if nothing was done to the device for as long.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::timeline::Timeline;
use super::{Breach, Excuse, Found};
use crate::fault::Victim;
use crate::history::{BACK_END, Entry, Event, RegistrationChannel};

/// A device gives a Register up after MAX_TRANSMIT_SPAN (RFC 7252, 4.8.2) at the earliest, 45 s. Whoever is registered
/// sooner may have made one attempt only.
const ONE_ATTEMPT_US: u64 = 45_000_000;

/// For so long a copy of a Register or an Update gets the answer that the first got: a device sends copies for
/// MAX_TRANSMIT_SPAN, and each may be under way for EXCHANGE_LIFETIME (RFC 7252, 4.8.2).
const TOLD_AGAIN_US: u64 = 292_000_000;

/// Registrations of a device that were replaced last are kept, so many.
const REPLACED: usize = 8;

/// One device.
#[derive(Default)]
struct Device {
    /// The registration that it was told of last, until it loses it.
    registration: Option<String>,
    /// Before that it had none, since then.
    without_since_us: u64,
    /// Until then it may have tried again while a copy of the first try was under way: it was told 5.03 or the like, or
    /// something was done to it.
    repeats_until_us: u64,
    /// How many Updates it was told of, and how many were announced.
    updates: (u64, u64),
    /// Its registrations that were replaced by others.
    replaced: VecDeque<String>,
}

/// All devices.
#[derive(Default)]
pub(super) struct Devices {
    devices: FxHashMap<String, Device>,
    /// What was announced, as long as devices may be told of it.
    announced: FxHashSet<String>,
    announced_at: VecDeque<(u64, String)>,
    /// Registrations that devices were told of, which are to be announced.
    told: VecDeque<(u64, String, String)>,
    eras: u32,
    /// The back end has been connected.
    hears: bool,
    /// Until then a fault may have made any device forget or repeat.
    disturbed_until_us: u64,
    /// Announcements of Updates have been counted since, if they are.
    counts_since_us: Option<u64>,
}

impl Devices {
    /// Takes what a device was told.
    pub(super) fn observe(&mut self, entry: &Entry, timeline: &Timeline, found: &mut Found) {
        self.judge_told(entry.at_us.saturating_sub(timeline.bound_us()), timeline, found);
        let until = entry.at_us.saturating_add(TOLD_AGAIN_US);
        match &entry.event {
            Event::Era { .. } => {
                self.eras += 1;
            }
            Event::BackEnd { .. } if self.hears => self.count_anew(entry.at_us),
            Event::BackEnd { connected } => self.hears = *connected,
            Event::Link { id, .. } if id == BACK_END => self.count_anew(entry.at_us),
            Event::Fault { action, affected, .. } if !action.spares_devices() => {
                match action.harm().map(|harm| harm.whom) {
                    Some(Victim::Devices) => {
                        affected
                            .iter()
                            .for_each(|ep| self.device(ep).repeats_until_us = until);
                    }
                    _ => self.disturbed_until_us = until,
                }
            }
            Event::DeviceRegistered { ep, registration, .. } => {
                self.registered(entry.at_us, ep, registration, found);
            }
            Event::DeviceUpdated { ep, .. } => self.device(ep).updates.0 += 1,
            Event::DeviceLostRegistration { ep, .. } => {
                let device = self.device(ep);
                device.registration = None;
                device.without_since_us = entry.at_us;
            }
            // Who is switched off has forgotten its registration.
            Event::DeviceDeregistered { ep } | Event::DeviceRebooted { ep } => {
                self.device(ep).registration = None;
            }
            Event::DeviceRefused { ep, .. } => self.device(ep).repeats_until_us = until,
            _ => {}
        }
    }

    /// Takes what was announced.
    pub(super) fn announced(
        &mut self,
        at_us: u64,
        channel: RegistrationChannel,
        ep: &str,
        id: &str,
        reason: Option<&str>,
        found: &mut Found,
    ) {
        match channel {
            RegistrationChannel::New => {
                self.announced.insert(id.to_owned());
                self.announced_at.push_back((at_us, id.to_owned()));
            }
            RegistrationChannel::Up => self.device(ep).updates.1 += 1,
            RegistrationChannel::Del if reason == Some("replaced") => {
                let device = self.device(ep);
                device.replaced.push_back(id.to_owned());
                if device.replaced.len() > REPLACED {
                    device.replaced.pop_front();
                }
                if device.registration.as_deref() == Some(id) {
                    self.accuse_replacement(at_us, ep, id, found);
                }
            }
            RegistrationChannel::Del if reason == Some("deregistered") && self.eras <= 1 => {
                if self.device(ep).registration.as_deref() == Some(id) {
                    found.add(Breach::Event, at_us, ep, "", || {
                        format!(
                            "{id} ended as deregistered, though the device that has it did not take leave"
                        )
                    });
                }
            }
            RegistrationChannel::Del => {}
        }
    }

    fn registered(&mut self, at_us: u64, ep: &str, id: &str, found: &mut Found) {
        self.told.push_back((at_us, ep.to_owned(), id.to_owned()));
        let device = self.device(ep);
        device.registration = Some(id.to_owned());
        if at_us.saturating_sub(device.without_since_us) > ONE_ATTEMPT_US {
            device.repeats_until_us = at_us.saturating_add(TOLD_AGAIN_US);
        }
        if device.replaced.iter().any(|replaced| replaced == id) {
            self.accuse_replacement(at_us, ep, id, found);
        }
    }

    fn accuse_replacement(&mut self, at_us: u64, ep: &str, id: &str, found: &mut Found) {
        let repeats_until = self.device(ep).repeats_until_us.max(self.disturbed_until_us);
        if self.eras <= 1 && at_us >= repeats_until {
            found.add(Breach::Event, at_us, ep, "", || {
                format!("{id} was replaced, though the device that has it did not register again")
            });
        }
    }

    fn device(&mut self, ep: &str) -> &mut Device {
        if !self.devices.contains_key(ep) {
            self.devices.insert(ep.to_owned(), Device::default());
        }
        self.devices
            .get_mut(ep)
            .expect("it was inserted if it was not there")
    }

    /// From now on the Updates that devices are told of are to be announced again. One that was announced before may be told
    /// of after it.
    fn count_anew(&mut self, at_us: u64) {
        self.counts_since_us = Some(at_us);
        self.devices
            .values_mut()
            .for_each(|device| device.updates = (0, 1));
    }

    /// What devices were told of before then has been announced by now.
    fn judge_told(&mut self, before_us: u64, timeline: &Timeline, found: &mut Found) {
        while self.told.front().is_some_and(|(at_us, ..)| *at_us < before_us) {
            let Some((at_us, ep, id)) = self.told.pop_front() else {
                return;
            };
            self.judge_one_told(at_us, &ep, &id, timeline, found);
        }
        let forgotten = before_us.saturating_sub(2 * TOLD_AGAIN_US);
        while self
            .announced_at
            .front()
            .is_some_and(|(at_us, _)| *at_us < forgotten)
        {
            if let Some((_, id)) = self.announced_at.pop_front() {
                self.announced.remove(&id);
            }
        }
    }

    fn judge_one_told(&self, at_us: u64, ep: &str, id: &str, timeline: &Timeline, found: &mut Found) {
        if self.announced.contains(id) {
            return found.judged(Breach::Event);
        }
        let before = at_us.saturating_sub(TOLD_AGAIN_US);
        if timeline.forgot_at().is_some_and(|forgot| forgot >= before) {
            return found.excused(Breach::Event, Excuse::Era);
        }
        if timeline.may_have_missed(before, at_us.saturating_add(timeline.bound_us())) {
            return found.excused(Breach::Event, Excuse::Missed);
        }
        found.judged(Breach::Event);
        found.add(Breach::Event, at_us, ep, "", || {
            format!("the device was told of the registration {id}, which was never announced")
        });
    }

    /// The end of the history.
    pub(super) fn finish(&mut self, timeline: &Timeline, found: &mut Found) {
        if !timeline.drained() {
            return;
        }
        self.judge_told(u64::MAX, timeline, found);
        let end = timeline.end_us();
        let missed = |since: u64| timeline.may_have_missed(since.saturating_add(1), end);
        // While there are two masters, who speaks to the one is not heard at the other.
        if self.eras > 1 || self.counts_since_us.is_some_and(missed) {
            return;
        }
        let mut names: Vec<_> = self
            .devices
            .iter()
            .filter(|(_, it)| it.updates.0 > it.updates.1)
            .collect();
        names.sort_by_key(|(ep, _)| *ep);
        for (ep, device) in names {
            let (told, announced) = device.updates;
            found.add(Breach::Event, end, ep, "", || {
                format!("the device was told of {told} Updates, but {announced} were announced")
            });
        }
    }
}
