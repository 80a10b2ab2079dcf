//! What a device can be like, and what can happen to it besides the network's doings: it reboots, falls asleep,
//! de-registers, or its NAT gives it another source address.
//!
//! In: a [`DeviceFault`] of the scenario. Out: which devices it hit. All of it is the same in both worlds, because a
//! device has no socket of its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use lwm2m::time::Time;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::device::{Device, Phase, Traits};
use super::{DeviceGroup, Devices, Fleet, MAX_DEVICES, address_of, device_at};
use crate::fault::{DeviceFault, DeviceMood};
use crate::history::Event;
use crate::targets::DeviceChoice;

/// Decides what each device is like. A fleet of equals takes nothing from the generator.
pub(super) fn draw_traits(all: &Devices, devices: &mut [Device], rng: &mut ChaCha8Rng) {
    let plain = |group: &DeviceGroup| group.deduplicate >= 1.0 && group.separate <= 0.0;
    if all.groups.iter().all(plain) {
        return;
    }
    // For each device the same number of draws, so that it is the same one in a smaller fleet.
    let mut rng = ChaCha8Rng::from_rng(rng);
    for (device, one) in (0..).zip(devices) {
        let group = all.group_of(device);
        one.traits = Traits {
            deduplicates: rng.random_bool(group.deduplicate.clamp(0.0, 1.0)),
            separate: rng.random_bool(group.separate.clamp(0.0, 1.0)),
        };
    }
}

impl Fleet {
    /// Does to devices what a fault wants, and returns those it hit, ascending. Who is not switched on is not hit.
    pub fn inject(&mut self, now: Time, fault: &DeviceFault, random: &mut ChaCha8Rng) -> Vec<u32> {
        let hit = self.choose(&fault.devices, random);
        for &device in &hit {
            match fault.mood {
                DeviceMood::Reboot { off } => self.reboot(now, device, off),
                DeviceMood::Sleep { duration } => self.sleep(now, device, duration),
                DeviceMood::NatRebind => self.rebind(device),
                DeviceMood::Deregister { off } => self.deregister(now, device, off),
            }
        }
        hit
    }

    /// Switches a device off, and on again after `off`: it forgets exchanges, registration and what it would recognise
    /// as a copy, and registers. What was written to it stays.
    pub fn reboot(&mut self, now: Time, device: u32, off: Duration) {
        let Some(one) = self.devices.get_mut(device as usize) else {
            return;
        };
        one.message_id = self.rng.random();
        one.attempts = 0;
        self.messages.forget(device);
        self.delayed.retain(|_, (id, _)| id.peer != device);
        self.asleep.remove(&device);
        self.enter(device, Phase::Off);
        self.set_deadline(device, now + off);
        let ep = self.name_of(device);
        self.events.push_back(Event::DeviceRebooted { ep });
    }

    /// No device has a mood any more; all are switched on now, and begin anew.
    pub fn begin_anew(&mut self, now: Time) {
        for group in &mut self.config.devices.groups {
            (group.reject, group.nonsense) = (0.0, 0.0);
        }
        (0..self.count()).for_each(|device| self.reboot(now, device, Duration::ZERO));
    }

    /// For so long a device neither hears nor says anything; its timers run on.
    pub fn sleep(&mut self, now: Time, device: u32, duration: Duration) {
        let until = now + duration;
        if (device as usize) < self.devices.len() {
            let known = self.asleep.entry(device).or_insert(until);
            *known = until.max(*known);
            let until_us = known.as_micros();
            let ep = self.name_of(device);
            self.events.push_back(Event::DeviceAsleep { ep, until_us });
            // Too early if it was this one's old time: then nobody wakes, and the next time is looked up.
            self.next_waking = Some(self.next_waking.map_or(until, |at| at.min(until)));
        }
    }

    /// Gives a device another source address: one that no device has had, as long as there are any.
    pub fn rebind(&mut self, device: u32) {
        let generations = MAX_DEVICES / self.config.devices.count().max(1);
        if let Some(one) = self.devices.get_mut(device as usize) {
            let next = u32::from(one.address_generation) + 1;
            one.address_generation = u16::try_from(next % generations.max(1)).unwrap_or(0);
        }
    }

    /// The source address of a device now.
    pub fn address(&self, device: u32) -> Option<Ipv4Addr> {
        let generation = self.devices.get(device as usize)?.address_generation;
        address_of(self.config.devices.count() * u32::from(generation) + device)
    }

    /// The device that has this address now.
    pub fn device_at(&self, address: Ipv4Addr) -> Option<u32> {
        let device = device_at(address)? % self.config.devices.count().max(1);
        (self.address(device) == Some(address)).then_some(device)
    }

    pub(super) fn is_asleep(&self, device: u32) -> bool {
        self.asleep.contains_key(&device)
    }

    /// Wakes those whose sleep is over.
    pub(super) fn wake_up(&mut self, now: Time) {
        if self.next_waking.is_some_and(|at| at <= now) {
            self.asleep.retain(|_, until| *until > now);
            self.next_waking = self.asleep.values().copied().min();
        }
    }

    /// A device that is registered takes leave, and registers again after `off` at the earliest.
    pub fn deregister(&mut self, now: Time, device: u32, off: Duration) {
        let location = self
            .devices
            .get_mut(device as usize)
            .and_then(|one| one.location.take());
        let Some(location) = location else { return };
        self.send_deregister(now, device, &location);
        self.set_deadline(device, now + off);
        let ep = self.name_of(device);
        self.events.push_back(Event::DeviceDeregistered { ep });
    }

    fn choose(&self, choice: &DeviceChoice, random: &mut ChaCha8Rng) -> Vec<u32> {
        let is_on = |device: &u32| {
            let device = self.devices.get(*device as usize);
            device.is_some_and(|one| one.phase != Phase::Off)
        };
        match choice {
            DeviceChoice::These(devices) => {
                let mut devices: Vec<u32> = devices.iter().copied().filter(is_on).collect();
                devices.sort_unstable();
                devices.dedup();
                devices
            }
            DeviceChoice::Share(share) => {
                let on: Vec<u32> = (0..self.config.devices.count()).filter(is_on).collect();
                let wanted = (share * on.len() as f64).round() as usize;
                let amount = wanted.max(1).min(on.len());
                let mut drawn = rand::seq::index::sample(random, on.len(), amount).into_vec();
                drawn.sort_unstable();
                drawn.into_iter().map(|index| on[index]).collect()
            }
        }
    }
}
