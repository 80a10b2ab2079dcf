//! The loop of a run: everything pure is driven from here, by one clock, on one thread.
//!
//! In: datagrams from the instances, messages from the broker, reports of the processes, the time. Out: the same in the
//! other direction, and the history. The way of a datagram: device → network → balancer → instance, and back: instance
//! → network → device.

use std::net::SocketAddrV4;
use std::time::Duration;

use lwm2m::time::Time;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::canary::{Canary, Report};
use super::child::ChildEvent;
use super::clock::RunClock;
use super::health_socket::HealthSocket;
use super::instances::{Instances, State};
use super::message_broker::BROKER_TAG;
use super::northbound::{Heard, Northbound};
use super::socket::FleetSocket;
use crate::backend::NorthboundEvent;
use crate::facts::{AddedDelay, Harness, UsageSample};
use crate::fault::FaultAction;
use crate::fault_driver::{FaultWorld, InstanceSeen};
use crate::history::Event;
use crate::network::Packet;
use crate::outside::Outside;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::run::EnvironmentError;

/// Batches that are read from the fleet's socket before everything else has its turn.
const BATCHES_PER_TURN: usize = 16;
/// Messages of the broker that are taken before everything else has its turn.
const MESSAGES_PER_TURN: usize = 1024;
/// Between two measurements of the processes.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the loop listens on when all tickets have ended: a second outcome that comes late is still heard.
const LINGER: Duration = Duration::from_millis(500);
/// An arrival that was sent later than this after its time is worth a warning about the harness.
const LATE_ARRIVAL: Duration = Duration::from_millis(250);

/// Everything that takes part in a run.
pub struct RunLoop {
    /// The time.
    pub clock: RunClock,
    /// What stands around the cluster.
    pub outside: Outside,
    /// The connections of the back end.
    pub northbound: Northbound,
    /// Sees when the broker forgets.
    pub canary: Canary,
    /// Rings when something is due.
    pub alarm: Alarm,
    /// The cluster.
    pub instances: Instances,
    /// Reports of the processes.
    pub children: mpsc::UnboundedReceiver<ChildEvent>,
    /// The devices' socket.
    pub socket: FleetSocket,
    /// The balancer's socket.
    pub health: HealthSocket,
    /// The history.
    pub recorder: Recorder,
    /// What a person sees.
    pub progress: Progress,
    /// Fleet, load and faults end here; what is open drains.
    pub duration: Time,
    /// How many devices there are.
    pub devices: usize,
    /// What the report should warn of.
    pub warnings: Vec<String>,
    /// When the processes are measured next.
    pub next_sample: Time,
    /// Resident memory before the devices came.
    pub idle: ResidentMemory,
    /// Resident memory when all devices were registered for the first time.
    pub at_full_fleet: Option<ResidentMemory>,
    /// Since when all tickets have ended.
    pub quiet_since: Option<Time>,
    /// What the instances had used at times.
    pub usage: Vec<UsageSample>,
    /// The longest time by which the load generator was late.
    pub lateness: Duration,
    /// What the null run says.
    pub added: Option<AddedDelay>,
    /// The longest time by which the loop came too late to what was due.
    pub lag: Duration,
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub struct ResidentMemory {
    /// Of the simulator.
    pub simulator: u64,
    /// Of all instances together.
    pub instances: u64,
}

/// Ctrl-C and SIGTERM.
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on these signals end the run in order, not the process at once.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Why the loop woke up.
enum Wake {
    Work,
    Northbound(Option<Heard>),
    Canary(Option<Report>),
    Child(Option<ChildEvent>),
    Interrupted,
}

impl RunLoop {
    /// Runs to the end of the drain. True if it was interrupted.
    pub async fn run(&mut self, interrupts: &mut Interrupts) -> Result<bool, EnvironmentError> {
        loop {
            self.turn()?;
            if self.is_over() {
                return Ok(false);
            }
            match self.wait(interrupts).await? {
                Wake::Work => {}
                Wake::Northbound(heard) => heard.into_iter().for_each(|heard| self.handle_northbound(heard)),
                Wake::Canary(report) => report.into_iter().for_each(|report| self.handle_canary(&report)),
                Wake::Child(report) => report.into_iter().for_each(|report| self.handle_child(report)),
                Wake::Interrupted => return Ok(true),
            }
            // Connections and processes live in tasks of their own: they get their turn however busy the loop is.
            tokio::task::yield_now().await;
        }
    }

    /// Hears what is on its way at the end: a device may know of what the back end has yet to hear.
    pub async fn listen_on(&mut self) {
        let end = tokio::time::Instant::now() + LINGER;
        while let Ok(Some(heard)) = tokio::time::timeout_at(end, self.northbound.recv()).await {
            self.handle_northbound(heard);
        }
    }

    /// Does all that can be done now.
    fn turn(&mut self) -> Result<(), EnvironmentError> {
        let now = self.clock.now();
        self.lag = self.lag.max(now - self.next_deadline());
        self.receive_datagrams()?;
        for _ in 0..MESSAGES_PER_TURN {
            let Some(event) = self.northbound.try_recv() else {
                break;
            };
            self.handle_northbound(event);
        }
        while let Some(report) = self.canary.try_recv() {
            self.handle_canary(&report);
        }
        while let Ok(report) = self.children.try_recv() {
            self.handle_child(report);
        }
        let now = self.clock.now();
        self.inject_faults(now);
        self.make_requests(now);
        self.outside.handle_timeout(now);
        self.move_datagrams(now);
        self.flush_events(now);
        self.measure(now);
        self.recorder.check()
    }

    fn receive_datagrams(&mut self) -> Result<(), EnvironmentError> {
        let (clock, outside) = (self.clock, &mut self.outside);
        for _ in 0..BATCHES_PER_TURN {
            let mut came = None;
            let more = self.socket.receive(|received| {
                let now = *came.get_or_insert_with(|| clock.now());
                let packet = Packet {
                    device: received.device,
                    sender: u32::try_from(received.server).ok(),
                    datagram: received.datagram.to_vec(),
                };
                outside.send_down(now, packet);
            });
            let more =
                more.map_err(|error| EnvironmentError::new(format!("the devices' socket failed: {error}")))?;
            if !more {
                break;
            }
        }
        let balancer = &mut self.outside.balancer;
        self.health
            .receive(|instance, datagram| balancer.handle_datagram(instance, datagram));
        Ok(())
    }

    /// Brings datagrams to where they are due, until nothing moves any more.
    fn move_datagrams(&mut self, now: Time) {
        while let Some(packet) = self.outside.downlink.poll(now) {
            self.outside.fleet.receive(now, &packet);
        }
        while let Some(packet) = self.outside.fleet.poll_packet() {
            self.outside.send_up(now, packet);
        }
        while let Some(Packet { device, datagram, .. }) = self.outside.uplink.poll(now) {
            let source = SocketAddrV4::new(device, self.socket.port());
            if let Some(instance) = self.outside.balancer.route(now, source) {
                let server = self.instances.all()[instance].address;
                self.socket.send(device, server, &datagram);
            }
            self.outside.fleet.recycle(datagram);
        }
        while let Some(ping) = self.outside.balancer.poll_transmit() {
            self.health.send(ping.instance, &ping.datagram);
        }
    }

    fn make_requests(&mut self, now: Time) {
        self.lateness = self.lateness.max(self.outside.make_requests(now));
        if now >= self.duration {
            self.outside.back_end.stop_load();
        }
    }

    /// Hands on what the state machines have to say.
    fn flush_events(&mut self, now: Time) {
        let instances = self.instances.all();
        while let Some(event) = self.outside.poll_event(|instance| instances[instance].id.clone()) {
            self.recorder.record(now, event);
        }
        while let Some(publication) = self.outside.back_end.poll_publication() {
            self.northbound.publish(publication.payload);
        }
    }

    /// The broker still knew everything then, so what was seen until then belongs to its era; or it does not any more. What
    /// was seen in between may belong to either, so that one begins at both ends.
    fn handle_canary(&mut self, report: &Report) {
        match report {
            Report::Remembers(moment) => self.recorder.release(self.clock.time_at(*moment)),
            Report::Forgot(reason) => {
                let now = self.clock.now();
                self.warn(format!("{reason}, a little before {now}: a new era begins"));
                self.recorder.record_before_held(Event::Era {
                    reason: format!("since here it is not known what the broker remembers, until {now}"),
                });
                let reason = (*reason).to_owned();
                self.recorder.record(now, Event::Era { reason });
            }
        }
    }

    fn handle_northbound(&mut self, heard: Heard) {
        let (now, event) = (self.clock.time_at(heard.at), heard.event);
        if let NorthboundEvent::Disconnected { reason } = &event {
            self.warn(format!("the back end lost its broker connection: {reason}"));
        }
        self.outside.back_end.handle(now, event);
        while let Some(event) = self.outside.back_end.poll_event() {
            self.recorder.record(now, event);
        }
    }

    fn handle_child(&mut self, report: ChildEvent) {
        let now = self.clock.now();
        if let ChildEvent::Exited {
            tag: BROKER_TAG,
            status,
        } = &report
        {
            self.warn(format!("the broker ended by itself ({status})"));
        }
        let Some(change) = self.instances.handle(report) else {
            return;
        };
        self.recorder.record(now, change.event);
        if let Some(message) = change.unexpected {
            self.warn(message);
        }
    }

    fn measure(&mut self, now: Time) {
        if self.at_full_fleet.is_none() && self.outside.back_end.registry().endpoints().len() >= self.devices
        {
            self.instances.sample();
            let simulator = super::usage::Usage::own().map_or(0, |usage| usage.rss_kib);
            self.at_full_fleet = Some(ResidentMemory {
                simulator,
                instances: self.instances.rss_kib(),
            });
        }
        if now >= self.next_sample {
            self.instances.sample();
            self.usage.extend(self.instances.usage(now));
            self.next_sample = now + SAMPLE_INTERVAL;
        }
        let outside = &self.outside;
        self.progress.update(now, || outside.progress(now));
    }

    fn is_over(&mut self) -> bool {
        if !self.outside.back_end.is_finished() {
            return false;
        }
        let now = self.clock.now();
        now >= *self.quiet_since.get_or_insert(now) + LINGER
    }

    fn next_deadline(&self) -> Time {
        let deadlines = [
            self.progress.next_deadline(),
            self.quiet_since.map(|since| since + LINGER),
        ];
        let next = self.outside.next_deadline().min(self.next_sample);
        deadlines.into_iter().flatten().fold(next, Time::min)
    }

    async fn wait(&mut self, interrupts: &mut Interrupts) -> Result<Wake, EnvironmentError> {
        let deadline = self.clock.instant(self.next_deadline());
        Ok(tokio::select! {
            biased;
            () = interrupts.recv() => Wake::Interrupted,
            _ = self.socket.readable() => Wake::Work,
            _ = self.health.readable() => Wake::Work,
            event = self.northbound.recv() => Wake::Northbound(event),
            report = self.children.recv() => Wake::Child(report),
            report = self.canary.recv() => Wake::Canary(report),
            rung = self.alarm.wait_until(deadline) => match rung {
                Ok(()) => Wake::Work,
                Err(error) => return Err(EnvironmentError::new(format!("the run's timer failed: {error}"))),
            },
        })
    }

    /// How late it was itself.
    pub fn harness(&self) -> Harness {
        let millis = |time: Duration| time.as_micros() as f64 / 1e3;
        Harness {
            added_ms: self.added.clone(),
            lag_ms: millis(self.lag),
            late_ms: millis(self.lateness),
            drops: self.socket.kernel_drops(),
        }
    }

    /// What a reader of the report should know about the harness itself.
    pub fn harness_warnings(&self) -> Vec<String> {
        let (foreign, unsent) = self.socket.foreign_and_unsent();
        let facts = [
            (unsent, "datagrams of devices were not taken by the kernel"),
            (
                foreign,
                "datagrams from strangers reached the devices' socket and were dropped",
            ),
        ];
        let facts = facts.into_iter().chain(self.outside.warnings());
        let told = facts.filter(|(count, _)| *count > 0);
        let mut warnings: Vec<String> = told.map(|(count, what)| format!("{count} {what}")).collect();
        if self.lateness > LATE_ARRIVAL {
            let late = self.lateness.as_millis();
            warnings.push(format!(
                "the load generator was up to {late} ms late; latencies count from the intended time"
            ));
        }
        warnings
    }
}

/// Why a fault that needs the virtual world does not happen here; such a scenario is refused before the start.
const CANNOT: &str = "only the virtual world can do that";

impl FaultWorld for RunLoop {
    fn outside(&mut self) -> &mut Outside {
        &mut self.outside
    }

    fn instances(&self) -> Vec<InstanceSeen> {
        let all = self.instances.all().iter();
        let seen = all.map(|instance| InstanceSeen {
            id: instance.id.clone(),
            port: instance.address.port(),
            running: instance.state != State::Down,
        });
        seen.collect()
    }

    fn apply(&mut self, now: Time, instance: usize, action: &FaultAction) -> Result<(), String> {
        if *action != FaultAction::Restart {
            return self.instances.signal(instance, action);
        }
        let known = &self.instances.all()[instance];
        if known.state != State::Down {
            return Err(format!("{} runs already", known.id));
        }
        let started = self
            .instances
            .start(instance)
            .map_err(|error| error.to_string())?;
        self.recorder.record(now, started);
        Ok(())
    }

    fn apply_to_broker(&mut self, _now: Time, _action: &FaultAction) -> Result<(), String> {
        Err(CANNOT.to_owned())
    }

    fn apply_to_back_end(&mut self, _now: Time, _action: &FaultAction) -> Result<(), String> {
        Err(CANNOT.to_owned())
    }

    fn time_after(&self, _now: Time) -> Time {
        self.clock.now()
    }

    fn record(&mut self, now: Time, event: Event) {
        self.recorder.record(now, event);
    }

    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }

    fn warn(&mut self, text: String) {
        self.progress.note(&text);
        self.warnings.push(text);
    }
}
