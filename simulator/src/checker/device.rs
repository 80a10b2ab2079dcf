//! What devices were told of their registrations, held against what was announced to back ends.
//!
//! - A registration that a device was told of (2.01) was announced.
//! - A device was told of an Update (2.04) no oftener than one was announced.
//! - A registration is not replaced while its device has it and does not register again.
//! - It does not end as `deregistered` either, unless its device takes leave.
//!
//! All of it only as long as the broker is intact and the back end was there; the last only if no fault is about devices.

use rustc_hash::{FxHashMap, FxHashSet};

use super::timeline::Timeline;
use super::{Breach, Found};
use crate::history::{Entry, Event, RegistrationChannel};

/// A device gives a Register up after MAX_TRANSMIT_SPAN (RFC 7252, 4.8.2) at the earliest, 45 s. Whoever is registered
/// sooner may have made one attempt only.
const ONE_ATTEMPT_US: u64 = 45_000_000;

/// One device.
#[derive(Default)]
struct Device {
    /// The registration that it was told of last, until it loses it.
    registration: Option<String>,
    /// Before that it had none, since then.
    without_since_us: u64,
    /// It was told 5.03 or the like, and may have tried again while a copy of the first try was under way.
    refused: bool,
    /// How many Updates it was told of, and how many were announced.
    updates: (u64, u64),
    /// Its registrations that were replaced by others.
    replaced: FxHashSet<String>,
}

/// All devices.
#[derive(Default)]
pub(super) struct Devices {
    devices: FxHashMap<String, Device>,
    announced: FxHashSet<String>,
    /// Registrations that devices were told of.
    told: Vec<(u64, String, String)>,
    eras: u32,
    /// A fault may have made devices forget or repeat.
    disturbed: bool,
}

impl Devices {
    /// Takes what a device was told.
    pub(super) fn observe(&mut self, entry: &Entry, found: &mut Found) {
        match &entry.event {
            Event::Era { .. } => self.eras += 1,
            Event::Fault { action, .. } => self.disturbed |= !action.spares_devices(),
            Event::DeviceRegistered { ep, registration, .. } => {
                self.registered(entry.at_us, ep, registration, found);
            }
            Event::DeviceUpdated { ep, .. } => self.device(ep).updates.0 += 1,
            Event::DeviceLostRegistration { ep, .. } => {
                let device = self.device(ep);
                device.registration = None;
                device.without_since_us = entry.at_us;
            }
            Event::DeviceDeregistered { ep } => self.device(ep).registration = None,
            Event::DeviceRefused { ep, .. } => self.device(ep).refused = true,
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
            RegistrationChannel::New => drop(self.announced.insert(id.to_owned())),
            RegistrationChannel::Up => self.device(ep).updates.1 += 1,
            RegistrationChannel::Del if reason == Some("replaced") => {
                let device = self.device(ep);
                device.replaced.insert(id.to_owned());
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
        self.told.push((at_us, ep.to_owned(), id.to_owned()));
        let device = self.device(ep);
        device.registration = Some(id.to_owned());
        device.refused |= at_us.saturating_sub(device.without_since_us) > ONE_ATTEMPT_US;
        if device.replaced.contains(id) {
            self.accuse_replacement(at_us, ep, id, found);
        }
    }

    fn accuse_replacement(&mut self, at_us: u64, ep: &str, id: &str, found: &mut Found) {
        if self.eras <= 1 && !self.disturbed && !self.device(ep).refused {
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

    /// The end of the history.
    pub(super) fn finish(&self, timeline: &Timeline, found: &mut Found) {
        let end = timeline.end_us();
        if self.eras > 1 || timeline.may_have_missed(0, end) || !timeline.drained() {
            return;
        }
        for (at_us, ep, id) in self.told.iter().filter(|(_, _, id)| !self.announced.contains(id)) {
            found.add(Breach::Event, *at_us, ep, "", || {
                format!("the device was told of the registration {id}, which was never announced")
            });
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
