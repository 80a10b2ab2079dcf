//! The loop of the virtual world: everything pure is driven from here, from one deadline to the next.
//!
//! In: a scenario and a seed. Out: the entries of the history. The way of a datagram: device → network → balancer →
//! instance, and back: instance → network → device. Time stands still while something happens and then jumps to
//! whatever happens next.

mod calm;
mod datagrams;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use lwm2m::time::Time;

use calm::Calm;

use super::cluster::{Cluster, ClusterEvent};
use super::message_broker::UNIX_ORIGIN_US;
use super::trace::Trace;
use super::watch::{Watching, tell};
use crate::backend::NorthboundEvent;
use crate::facts::Unsent;
use crate::fault::FaultAction;
use crate::fault_driver::{FaultWorld, InstanceSeen};
use crate::fleet::FleetConfig;
use crate::history::{Entry, Event, REDIS};
use crate::outside::Outside;
use crate::progress::Progress;
use crate::run::EnvironmentError;
use crate::scenario::Scenario;

/// How long the instances may take until all are ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long the loop listens on when all tickets have ended: a second outcome that comes late is still heard.
const LINGER: Duration = Duration::from_millis(500);
/// Defects that are kept; what is wrong more often is wrong in the same way.
const MAX_DEFECTS: usize = 100;
/// The port of all devices.
const DEVICE_PORT: u16 = 5683;
/// Where the balancer's health pings come from.
const BALANCER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5699);

/// Something that happened though no fault explains it, and that no rule of the checker is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Defect {
    /// An instance ended by itself.
    EndedByItself(String),
    /// The broker refused a script.
    RefusedScript(String),
}

/// As a person reads it.
impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Defect::EndedByItself(words) | Defect::RefusedScript(words) => f.write_str(words),
        }
    }
}

/// Everything that takes part in a run.
pub struct World {
    now: Time,
    /// What the cluster's clock shows at the start of the run.
    origin: Duration,
    cluster: Cluster,
    outside: Outside,
    /// Fleet, load and faults end here; what is open drains.
    duration: Time,
    load_stopped: bool,
    quiet_since: Option<Time>,
    /// How long a calm is to last after that; zero: none.
    calm_length: Duration,
    calm: Option<Calm>,
    entries: VecDeque<Entry>,
    warnings: Vec<String>,
    defects: Vec<Defect>,
    watching: Watching,
    progress: Progress,
}

impl World {
    /// The world of a scenario at the start of the run: all instances are ready, no device has been switched on.
    pub fn new(scenario: &Scenario, seed: u64, progress: Progress) -> Result<Self, EnvironmentError> {
        let wrong = |error: &dyn std::fmt::Display| EnvironmentError::new(format!("the cluster: {error}"));
        let cluster = Cluster::new(scenario, seed).map_err(|error| wrong(&error))?;
        let epoch_s = i64::try_from(UNIX_ORIGIN_US / 1_000_000).unwrap_or(i64::MAX);
        let fleet = FleetConfig {
            devices: scenario.devices.clone(),
            epoch_s,
            ..FleetConfig::default()
        };
        let mut world = World {
            now: Time::ZERO,
            origin: Duration::ZERO,
            outside: Outside::new(scenario, fleet, cluster.len(), seed),
            duration: Time::ZERO + scenario.duration,
            load_stopped: false,
            quiet_since: None,
            calm_length: scenario.calm,
            calm: None,
            entries: VecDeque::new(),
            warnings: Vec::new(),
            defects: Vec::new(),
            watching: None,
            progress,
            cluster,
        };
        world.start_cluster()?;
        let reason = "the run began".to_owned();
        world.record(Event::Era { reason });
        Ok(world)
    }

    /// From now on somebody looks at what happens inside.
    pub fn watch(&mut self, watching: Watching) {
        let origin = self.origin;
        tell(&watching, |watch| watch.trace(|trace| trace.origin = origin));
        self.cluster.watch(self.cluster_now(), &watching);
        self.watching = watching;
    }

    /// Goes on to the next moment at which something happens; false when the run is over.
    pub fn step(&mut self) -> bool {
        if self.is_over() {
            self.record(Event::Ended { interrupted: false });
            self.progress.finish();
            return false;
        }
        if self.cluster_speaks_first() {
            self.hear_cluster();
        } else {
            self.inject_faults(self.now);
            self.make_requests();
            self.outside.handle_timeout(self.now);
            self.move_datagrams();
            self.step_cluster();
        }
        self.flush_events();
        self.show_progress();
        true
    }

    /// Most of what happens is the cluster's own: it works on until it has something to say, or until something else is
    /// due, which is first if both are at the same time.
    fn cluster_speaks_first(&mut self) -> bool {
        let other = self.other_deadline();
        loop {
            let cluster = self.cluster.next_deadline().map(|at| at - self.origin);
            self.now = self.now.max(cluster.map_or(other, |at| at.min(other)));
            if other <= self.now {
                return false;
            }
            self.cluster.step(self.cluster_now());
            if self.cluster.has_events() {
                return true;
            }
        }
    }

    /// Ends the run here, as somebody wants it; false, as [`World::step`] says at the end.
    pub fn interrupt(&mut self) -> bool {
        self.record(Event::Ended { interrupted: true });
        self.progress.finish();
        false
    }

    /// The next entry for the history.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// What a reader of the report should know.
    pub fn warnings(&self) -> Vec<String> {
        let told = self
            .outside
            .warnings()
            .into_iter()
            .filter(|(count, _)| *count > 0);
        let told = told.map(|(count, what)| format!("{count} {what}"));
        self.warnings.iter().cloned().chain(told).collect()
    }

    /// The load that was not sent.
    pub fn unsent(&self) -> Unsent {
        self.outside.unsent()
    }

    /// What happened that no fault explains and no rule of the checker is about.
    pub fn defects(&self) -> &[Defect] {
        &self.defects
    }

    /// Before the run: the instances join and the back end connects, and the cluster's clock goes on.
    fn start_cluster(&mut self) -> Result<(), EnvironmentError> {
        for instance in 0..self.cluster.len() {
            self.start(Time::ZERO, instance);
        }
        let mut waiting = self.cluster.len() + 1;
        let mut clock = Time::ZERO;
        while waiting > 0 {
            clock = self.cluster.next_deadline().unwrap_or(Time::MAX);
            if clock > Time::ZERO + READY_LIMIT {
                let message = format!(
                    "the instances were not ready within {} virtual seconds",
                    READY_LIMIT.as_secs()
                );
                return Err(EnvironmentError::new(message));
            }
            self.cluster.step(clock);
            while let Some(event) = self.cluster.poll_event() {
                match event {
                    ClusterEvent::Ready(_) | ClusterEvent::Northbound(NorthboundEvent::Connected) => {
                        waiting -= 1;
                    }
                    ClusterEvent::Exited { words, .. } => {
                        return Err(EnvironmentError::new(words.unwrap_or_default()));
                    }
                    _ => {}
                }
                self.handle_cluster(event);
            }
        }
        self.origin = clock - Time::ZERO;
        Ok(())
    }

    fn start(&mut self, at: Time, instance: usize) {
        self.cluster.start(at, instance);
        let id = self.cluster.id(instance).to_owned();
        self.record(Event::InstanceStarted { id, pid: 0 });
    }

    fn record(&mut self, event: Event) {
        if let Some(calm) = &mut self.calm {
            calm.observe(&event);
        }
        let at_us = self.now.as_micros();
        self.entries.push_back(Entry { at_us, event });
    }

    fn trace(&self, see: impl FnOnce(&mut Trace)) {
        tell(&self.watching, |watch| watch.trace(see));
    }

    fn cluster_now(&self) -> Time {
        self.now + self.origin
    }

    /// When something is due that is not the cluster's.
    fn other_deadline(&self) -> Time {
        let calm = self.calm.as_ref().map(|calm| calm.look);
        let deadlines = [
            calm,
            (!self.load_stopped).then_some(self.duration),
            self.quiet_since
                .filter(|_| self.calm.is_none())
                .map(|since| since + LINGER),
        ];
        let next = self.outside.next_deadline();
        deadlines.into_iter().flatten().fold(next, Time::min)
    }

    fn is_over(&mut self) -> bool {
        if self.calm.is_none() {
            if !self.outside.back_end.is_finished() {
                return false;
            }
            if self.now < *self.quiet_since.get_or_insert(self.now) + LINGER {
                return false;
            }
        }
        self.calm_length.is_zero() || self.is_calm_over(self.calm_length)
    }

    fn make_requests(&mut self) {
        self.outside.make_requests(self.now);
        if self.now >= self.duration && !self.load_stopped {
            self.load_stopped = true;
            self.outside.back_end.stop_load();
        }
    }

    fn step_cluster(&mut self) {
        let now = self.cluster_now();
        if self.cluster.next_deadline().is_some_and(|at| at <= now) {
            self.cluster.step(now);
        }
        self.hear_cluster();
    }

    fn hear_cluster(&mut self) {
        while let Some(event) = self.cluster.poll_event() {
            self.handle_cluster(event);
        }
    }

    fn handle_cluster(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Datagram { instance, to, data } if to == BALANCER => {
                self.outside.balancer.handle_datagram(instance, &data);
            }
            ClusterEvent::Datagram { instance, to, data } => {
                if to.port() == DEVICE_PORT {
                    self.send_to_device(instance, *to.ip(), data);
                }
            }
            ClusterEvent::Northbound(event) => {
                self.outside.back_end.handle(self.now, event);
                self.flush_back_end();
            }
            ClusterEvent::Era(reason) => self.record(Event::Era { reason }),
            ClusterEvent::BrokerFull(full) => self.record(Event::BrokerFull { full }),
            ClusterEvent::Clock {
                instance,
                ahead_us,
                rate_ppm,
            } => {
                let of = instance.map_or(REDIS, |it| self.cluster.id(it)).to_owned();
                self.record(Event::Clock {
                    of,
                    ahead_us,
                    rate_ppm,
                });
            }
            ClusterEvent::Linked { party, up } => {
                let id = self.cluster.party_name(party).to_owned();
                self.record(Event::Link { id, up });
            }
            ClusterEvent::Ready(instance) => {
                let id = self.cluster.id(instance).to_owned();
                self.record(Event::InstanceReady { id });
            }
            ClusterEvent::Exited {
                instance,
                status,
                expected,
                words,
            } => {
                let id = self.cluster.id(instance).to_owned();
                if !expected {
                    let words = words.unwrap_or_default();
                    let words = format!("instance {id} ended by itself ({status}): {words}");
                    self.note_defect(Defect::EndedByItself(words));
                }
                self.record(Event::InstanceExited { id, status, expected });
            }
            ClusterEvent::OutputsMade(instance) => {
                self.strike_between_outputs(self.now, instance);
            }
            ClusterEvent::Refused(error) => {
                let words = format!("the broker refused a script: {error}");
                self.note_defect(Defect::RefusedScript(words));
            }
        }
    }

    fn flush_back_end(&mut self) {
        while let Some(event) = self.outside.back_end.poll_event() {
            self.record(event);
        }
    }

    /// Hands on what the state machines have to say.
    fn flush_events(&mut self) {
        while let Some(event) = self
            .outside
            .poll_event(|instance| self.cluster.id(instance).to_owned())
        {
            self.record(event);
        }
        let now = self.cluster_now();
        while let Some(publication) = self.outside.back_end.poll_publication() {
            self.trace(|trace| trace.publishes(self.now, &publication.payload));
            self.cluster.publish(now, publication.payload);
        }
    }

    fn note_defect(&mut self, defect: Defect) {
        if self.defects.len() < MAX_DEFECTS {
            self.progress.note(&defect.to_string());
            self.defects.push(defect);
        }
    }

    fn show_progress(&mut self) {
        let (outside, now) = (&self.outside, self.now);
        self.progress.update(now, || outside.progress(now));
    }
}

impl FaultWorld for World {
    fn outside(&mut self) -> &mut Outside {
        &mut self.outside
    }

    fn instances(&self) -> Vec<InstanceSeen> {
        let seen = |index| InstanceSeen {
            id: self.cluster.id(index).to_owned(),
            port: self.cluster.port(index),
            running: self.cluster.is_running(index),
        };
        (0..self.cluster.len()).map(seen).collect()
    }

    fn steward_of(&mut self, _now: Time, endpoint: &str) -> Option<usize> {
        self.cluster.steward_of(self.cluster_now(), endpoint)
    }

    fn apply(&mut self, _now: Time, instance: usize, action: &FaultAction) -> Result<(), String> {
        let now = self.cluster_now();
        if *action != FaultAction::Restart {
            return self.cluster.signal(now, instance, action);
        }
        if self.cluster.is_running(instance) {
            return Err(format!("{} runs already", self.cluster.id(instance)));
        }
        self.start(now, instance);
        Ok(())
    }

    fn apply_to_broker(&mut self, _now: Time, action: &FaultAction) -> Result<(), String> {
        self.cluster.signal_broker(self.cluster_now(), action)
    }

    fn apply_to_back_end(&mut self, _now: Time, action: &FaultAction) -> Result<(), String> {
        self.cluster.signal_back_end(self.cluster_now(), action)
    }

    fn count_outputs(&mut self, _now: Time, instance: usize, outputs: u32) -> bool {
        let runs = self.cluster.is_running(instance);
        if runs {
            self.cluster.count_outputs(self.cluster_now(), instance, outputs);
        }
        runs
    }

    fn record(&mut self, _now: Time, event: Event) {
        if let Event::Fault {
            action, instances, ..
        } = &event
        {
            let hit: Vec<usize> = (0..self.cluster.len())
                .filter(|&index| instances.iter().any(|id| id == self.cluster.id(index)))
                .collect();
            self.trace(|trace| trace.fault(self.now, &hit, *action));
        }
        World::record(self, event);
    }

    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }

    fn warn(&mut self, text: String) {
        self.progress.note(&text);
        self.warnings.push(text);
    }
}
