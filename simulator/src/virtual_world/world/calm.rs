//! The calm after a run (`calm`): whether everything becomes well again once all faults are over.
//!
//! First everybody is back: instances run, the broker runs, connections stand. Then every device begins anew; when all are
//! registered, each is read once. In the end the broker must keep nothing that nobody refers to. What is not well
//! when the time is over goes into the history.

use std::collections::BTreeMap;
use std::time::Duration;

use lwm2m::time::Time;
use serde::Deserialize;

use super::World;
use crate::fault::{DeviceFault, DeviceMood, Fault, FaultAction};
use crate::fault_driver::FaultWorld;
use crate::history::Event;
use crate::network::Impairment;
use crate::targets::{DeviceChoice, Target};
use crate::virtual_world::cluster::Remedy;

/// Between two looks at how it goes.
const PACE: Duration = Duration::from_millis(100);
/// Between two looks at all that the broker keeps, which costs more.
const SLOW_PACE: Duration = Duration::from_millis(500);
/// Each device is asked with this timeout.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most that is said to be unwell: more is unwell in the same way.
const MOST: usize = 20;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Instances, their broker and the connections are to come back.
    Returning,
    /// Devices are to register.
    Registering,
    /// Devices are to answer.
    Answering,
    /// Nothing is to be left over.
    Clearing,
}

/// A calm that has begun.
#[derive(Debug)]
pub struct Calm {
    until: Time,
    /// The next look.
    pub look: Time,
    stage: Stage,
    /// The endpoints that were asked, by ticket, and with what error each has ended, if it has.
    asked: BTreeMap<String, (String, Option<String>)>,
}

/// What matters of an answer here.
#[derive(Deserialize)]
struct Answer {
    ticket: String,
    resp: Option<serde::de::IgnoredAny>,
    err: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
}

impl Calm {
    /// Takes note of what is asked of devices, and of what comes back.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Sent { ep, ticket, .. } => {
                self.asked
                    .entry(ticket.clone())
                    .or_insert_with(|| (ep.clone(), None));
            }
            Event::Heard { message } => {
                let Ok(answer) = serde_json::from_str::<Answer>(message) else {
                    return;
                };
                if answer.resp.is_some() {
                    self.asked.remove(&answer.ticket);
                } else if let (Some(err), Some(asked)) = (answer.err, self.asked.get_mut(&answer.ticket)) {
                    asked.1 = Some(err.code);
                }
            }
            _ => {}
        }
    }
}

impl World {
    /// Goes on with the calm, which begins when this is first called; true when it is over.
    pub(super) fn is_calm_over(&mut self, length: Duration) -> bool {
        let now = self.now;
        let Some(calm) = &mut self.calm else {
            self.begin_calm(length);
            return false;
        };
        if now < calm.look {
            return false;
        }
        calm.look = now + PACE;
        let (late, stage) = (now >= calm.until, calm.stage);
        let next = match stage {
            Stage::Returning if self.is_everybody_back() => {
                self.begin_devices_anew();
                Stage::Registering
            }
            Stage::Registering if self.is_every_device_registered() => {
                self.ask_every_device();
                Stage::Answering
            }
            Stage::Answering if self.outside.back_end.is_finished() => Stage::Clearing,
            Stage::Clearing if self.is_nothing_left_over() => return true,
            _ if late => {
                self.say_what_is_not_well();
                return true;
            }
            _ => return false,
        };
        if let Some(calm) = &mut self.calm {
            if next == Stage::Clearing {
                calm.look = now + SLOW_PACE;
            }
            calm.stage = next;
        }
        false
    }

    fn begin_calm(&mut self, length: Duration) {
        self.calm = Some(Calm {
            until: self.now + length,
            look: self.now,
            stage: Stage::Returning,
            asked: BTreeMap::new(),
        });
        World::record(self, Event::Calm);
        let perfect = vec![Impairment::default(); self.outside.fleet.groups()];
        self.give(Target::All, FaultAction::Network(perfect));
    }

    /// A fault happens that gives something back.
    fn give(&mut self, target: Target, action: FaultAction) {
        let now = self.now;
        let fault = Fault {
            at: now - Time::ZERO,
            action,
            target,
            outputs: None,
        };
        match self.outside.inject(now, &fault.action) {
            Some(done) => self.note_fault(now, &fault, &[], done.unwrap_or_default()),
            None => self.aim(now, fault),
        }
    }

    /// Whoever is missing is given back; true if nobody is.
    fn is_everybody_back(&mut self) -> bool {
        let remedies = self.cluster.remedies();
        let none = remedies.is_empty();
        for remedy in remedies {
            match remedy {
                Remedy::Broker(action) => self.give(Target::All, action),
                Remedy::Instance(index, action) => {
                    self.give(Target::Instance(u32::try_from(index).unwrap_or(u32::MAX)), action);
                }
            }
        }
        none && self.not_back().is_empty()
    }

    fn not_back(&self) -> Vec<String> {
        let instances = (0..self.cluster.len()).filter(|index| !self.cluster.is_ready(*index));
        let instances = instances.map(|index| format!("the instance {}", self.cluster.id(index)));
        let back_end = (!self.outside.back_end.is_connected()).then(|| "the back end".to_owned());
        instances.chain(back_end).collect()
    }

    fn begin_devices_anew(&mut self) {
        self.outside.fleet.begin_anew(self.now);
        let action = FaultAction::Devices(DeviceFault {
            devices: DeviceChoice::Share(1.0),
            mood: DeviceMood::Reboot { off: Duration::ZERO },
        });
        let fault = Fault {
            at: self.now - Time::ZERO,
            action,
            target: Target::All,
            outputs: None,
        };
        let names = (0..self.outside.fleet.count()).map(|device| self.outside.fleet.name_of(device));
        let names = names.collect();
        self.note_fault(self.now, &fault, &[], names);
    }

    fn is_every_device_registered(&self) -> bool {
        self.outside.fleet.registered() == self.outside.fleet.count()
    }

    fn ask_every_device(&mut self) {
        for device in 0..self.outside.fleet.count() {
            let endpoint = self.outside.fleet.name_of(device).into();
            self.outside.back_end.probe_within(self.now, endpoint, TIMEOUT);
        }
    }

    fn is_nothing_left_over(&mut self) -> bool {
        let failed = self.calm.as_ref().is_some_and(|calm| !calm.asked.is_empty());
        let now = self.cluster_now();
        if let Some(calm) = &mut self.calm {
            calm.look = self.now + SLOW_PACE;
            // Who has not answered will not any more.
            if failed {
                calm.until = calm.until.min(self.now + SLOW_PACE);
            }
        }
        !failed && self.cluster.left_over(now).is_empty()
    }

    fn say_what_is_not_well(&mut self) {
        let Some(calm) = self.calm.take() else { return };
        let mut all: Vec<(String, String, String)> = Vec::new();
        let mut say = |ep: &str, ticket: &str, what: String| {
            all.push((ep.to_owned(), ticket.to_owned(), what));
        };
        match calm.stage {
            Stage::Returning => {
                for who in self.not_back() {
                    let what = format!("all faults are over, and {who} has not come back");
                    say("", "", what);
                }
            }
            Stage::Registering => {
                let fleet = &self.outside.fleet;
                for device in (0..fleet.count()).filter(|device| !fleet.is_registered(*device)) {
                    let what = "all faults are over, and the device could not register";
                    say(&fleet.name_of(device), "", what.to_owned());
                }
            }
            Stage::Answering | Stage::Clearing => {
                for (ticket, (ep, failure)) in &calm.asked {
                    let how = match failure {
                        Some(code) => format!("ended with {code}"),
                        None => "had no outcome".to_owned(),
                    };
                    let what =
                        format!("all faults are over and the device is registered, and a read of it {how}");
                    say(ep, ticket, what);
                }
                for left in self.cluster.left_over(self.now + self.origin) {
                    say(&left.ep, &left.ticket, left.what);
                }
            }
        }
        for (ep, ticket, what) in all.into_iter().take(MOST) {
            World::record(self, Event::NotRecovered { ep, ticket, what });
        }
    }
}
