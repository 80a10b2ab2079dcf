//! What stands around the cluster, the same in both worlds: devices, their network, the balancer, the load and the back
//! end.
//!
//! In: a scenario and a seed; then the time, and what the world brings from the cluster. Out: events for the history,
//! and what a person is told. The world itself carries datagrams and messages between here and the cluster.

use std::sync::Arc;
use std::time::Duration;

use lwm2m::time::Time;
use rand::seq::SliceRandom;

use crate::backend::BackEnd;
use crate::balancer::Balancer;
use crate::facts::Unsent;
use crate::fault::FaultAction;
use crate::fault_schedule::FaultSchedule;
use crate::fleet::{Fleet, FleetConfig};
use crate::history::Event;
use crate::load::Load;
use crate::network::{Impairment, Network, Packet};
use crate::progress::seconds;
use crate::scenario::Scenario;
use crate::seed::{Purpose, generator};

/// Most devices that are probed after a fault.
const MOST_PROBED: usize = 400;
/// Most datagrams under way in one direction.
const MAX_IN_FLIGHT: usize = 1_000_000;

/// All that takes part in a run and is no part of the cluster.
pub struct Outside {
    /// The devices.
    pub fleet: Fleet,
    /// The network from the devices.
    pub uplink: Network<Packet>,
    /// The network to the devices.
    pub downlink: Network<Packet>,
    /// What stands before the cluster.
    pub balancer: Balancer,
    /// The requests to come.
    pub load: Load,
    /// Who makes them.
    pub back_end: BackEnd,
    /// What goes wrong.
    pub faults: FaultSchedule,
}

impl Outside {
    /// At the start of a run before a cluster of so many instances; no device has been switched on.
    pub fn new(scenario: &Scenario, fleet: FleetConfig, instances: usize, seed: u64) -> Self {
        let random = |purpose| generator(seed, purpose);
        let links = scenario.devices.groups.iter().map(|group| group.network);
        let links: Vec<Impairment> = links.collect();
        let network = |purpose| Network::new(links.clone(), random(purpose), MAX_IN_FLIGHT);
        let balancer = (&scenario.balancer).into();
        Outside {
            fleet: Fleet::new(fleet, Time::ZERO, random(Purpose::Fleet)),
            uplink: network(Purpose::Uplink),
            downlink: network(Purpose::Downlink),
            balancer: Balancer::new(Time::ZERO, balancer, instances, random(Purpose::Balancer)),
            load: Load::new(
                scenario.load.clone(),
                random(Purpose::Arrivals),
                random(Purpose::Choices),
            ),
            back_end: BackEnd::new(scenario.into(), random(Purpose::Tickets)),
            faults: FaultSchedule::new(&scenario.fault, random(Purpose::Faults)),
        }
    }

    /// A device sends a datagram.
    pub fn send_up(&mut self, now: Time, packet: Packet) {
        let (link, bytes) = (self.fleet.group_at(packet.device), packet.datagram.len());
        self.uplink.send(now, link, packet, bytes);
    }

    /// The cluster sends a datagram to whoever has this address.
    pub fn send_down(&mut self, now: Time, packet: Packet) {
        let (link, bytes) = (self.fleet.group_at(packet.device), packet.datagram.len());
        self.downlink.send(now, link, packet, bytes);
    }

    /// Makes the requests that are due. Returns by how much the latest of them was late.
    pub fn make_requests(&mut self, now: Time) -> Duration {
        let mut lateness = Duration::ZERO;
        while let Some(arrival) = self
            .load
            .poll(now, |group| self.back_end.registry().endpoints_of(group))
        {
            lateness = lateness.max(now - arrival.intended);
            self.back_end.request(now, arrival);
        }
        lateness
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.back_end.handle_timeout(now);
        self.balancer.handle_timeout(now);
        if self.fleet.next_deadline().is_some_and(|at| at <= now) {
            self.fleet.handle_timeout(now);
        }
    }

    /// Those of whom it is measured when they are served again after a harmful fault: the endpoints that it hit, or as many of
    /// them as the cluster hardly feels. The world notes the fault and then has them probed.
    pub fn sample(&mut self, mut hit: Vec<Arc<str>>) -> Vec<Arc<str>> {
        if hit.len() <= MOST_PROBED {
            return hit;
        }
        let (chosen, _) = hit.partial_shuffle(&mut self.faults.random, MOST_PROBED);
        let mut chosen = chosen.to_vec();
        chosen.sort_unstable();
        chosen
    }

    /// When something is due next: at the latest, a health check.
    pub fn next_deadline(&self) -> Time {
        let deadlines = [
            self.uplink.next_deadline(),
            self.downlink.next_deadline(),
            self.fleet.next_deadline(),
            self.load.next_deadline(),
            self.back_end.next_deadline(),
            self.faults.next_deadline(),
        ];
        let health_check = self.balancer.next_deadline();
        deadlines.into_iter().flatten().fold(health_check, Time::min)
    }

    /// The next event for the history; `id` is the name of an instance.
    pub fn poll_event(&mut self, id: impl Fn(usize) -> String) -> Option<Event> {
        if let Some(event) = self.back_end.poll_event().or_else(|| self.fleet.poll_event()) {
            return Some(event);
        }
        let change = self.balancer.poll_event()?;
        Some(Event::Health {
            id: id(change.instance),
            healthy: change.healthy,
        })
    }

    /// Does what a fault wants of what is here: the names of the devices that it hits, or why it has no effect. None if it is about something
    /// else, the cluster or its broker.
    pub fn inject(&mut self, now: Time, action: &FaultAction) -> Option<Result<Vec<String>, &'static str>> {
        match action {
            FaultAction::Network(links) => {
                self.uplink.set_impairments(links.clone());
                self.downlink.set_impairments(links.clone());
                Some(Ok(Vec::new()))
            }
            FaultAction::FlowReset if self.balancer.reset_flows() => Some(Ok(Vec::new())),
            FaultAction::FlowReset => Some(Err("the balancer's policy knows no flows")),
            FaultAction::Devices(what) => {
                let hit = self.fleet.inject(now, what, &mut self.faults.random);
                if hit.is_empty() {
                    return Some(Err("none of these devices is switched on"));
                }
                Some(Ok(hit.iter().map(|&device| self.fleet.name_of(device)).collect()))
            }
            _ => None,
        }
    }

    /// How far the run is, for a person.
    pub fn progress(&self, now: Time) -> String {
        let (counts, now) = (self.back_end.counts(), seconds(now));
        let (registered, open) = (self.fleet.registered(), self.back_end.open());
        format!(
            "{now:>7.1} s  registered {registered}  sent {}  acked {}  ended {} ({} errors)  open {open}",
            counts.sent,
            counts.acked,
            counts.answered + counts.failed,
            counts.failed
        )
    }

    /// The load that was not sent.
    pub fn unsent(&self) -> Unsent {
        Unsent {
            skipped: self.load.skipped(),
            refused: self.back_end.counts().refused,
        }
    }

    /// What a reader of the report should know: counts of what did not go as the scenario has it, some of them zero.
    pub fn warnings(&self) -> [(u64, &'static str); 4] {
        let (up, down, counts) = (self.uplink.stats(), self.downlink.stats(), self.back_end.counts());
        [
            (
                up.overflowed + down.overflowed,
                "datagrams were dropped because too many were under way",
            ),
            (
                up.too_large + down.too_large,
                "datagrams were larger than the network's MTU and vanished",
            ),
            (
                self.balancer.dropped(),
                "datagrams of devices were dropped because no instance was healthy",
            ),
            (counts.unreadable, "messages of the cluster could not be read"),
        ]
    }
}
