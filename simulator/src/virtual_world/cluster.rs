//! The cluster under test in the virtual world: instances as processes, their broker, and the back end's connections.
//!
//! In: datagrams, publications and faults, with the time at which they leave. Out: [`ClusterEvent`]s. The clock of the
//! cluster runs from the start of its first instance, as that of a machine does, not from the start of the run.

mod health;
mod links;

pub use health::Remedy;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::Push;
use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use server::instance::{Config, Output};
use server::mutant::Saboteur;
use server::partition::Partition;
use server::store::Value;

use super::clock::Clock;
use super::connection::{Arrival, Party};
use super::message_broker::MessageBroker;
use super::northbound::Northbound;
use super::process::Process;
use super::queue::EventQueue;
use super::trace::Lane;
use super::watch::{Watching, tell};
use crate::backend::NorthboundEvent;
use crate::fault::{FaultAction, Keeps};
use crate::history::{ExitStatus, instance_id};
use crate::scenario::Scenario;
use crate::seed::{Purpose, generator};
use crate::targets::Connections;

/// One way between the balancer and an instance.
const LOOPBACK: Duration = Duration::from_micros(30);
/// The CoAP port of the first instance; the others follow.
const FIRST_PORT: u16 = 5700;
/// A fault that waits for the moment before an output strikes after this time at the latest.
const OUTPUTS_LIMIT: Duration = Duration::from_millis(50);

/// What the cluster does.
#[derive(Debug)]
pub enum ClusterEvent {
    /// A datagram leaves an instance.
    Datagram {
        /// Which instance.
        instance: usize,
        /// Its destination.
        to: SocketAddrV4,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// Something came to the back end, or happened to its connections as far as it knows.
    Northbound(NorthboundEvent),
    /// Somebody lost a connection to the broker, knowing it or not, or has both again.
    Linked {
        /// Who.
        party: Party,
        /// True: both stand.
        up: bool,
    },
    /// The broker runs again and has forgotten something.
    Era(String),
    /// The broker has no memory left, or has some again.
    BrokerFull(bool),
    /// A clock was touched.
    Clock {
        /// Of which instance; none: the broker's.
        instance: Option<usize>,
        /// How far ahead it is now, in microseconds.
        ahead_us: i64,
        /// What it gains in a million.
        rate_ppm: i64,
    },
    /// An instance is a member and hears.
    Ready(usize),
    /// An instance ended by itself or because SIGTERM asked it to.
    Exited {
        /// Which one.
        instance: usize,
        /// As the operating system would say it.
        status: ExitStatus,
        /// True if a fault asked for it.
        expected: bool,
        /// What it said last.
        words: Option<String>,
    },
    /// The moment for which a fault was waiting has come.
    OutputsMade(usize),
    /// The broker refused a script, and not for want of memory: that is a mistake in the script.
    Refused(String),
}

/// Something that is due at an instance.
enum Due {
    Step,
    Datagram(SocketAddr, Vec<u8>),
    OutputsOverdue,
    /// The back end's next attempt to connect.
    Connect,
    /// A stall is over; none: that of the broker itself.
    Release(Option<Connections>),
    /// There is memory again.
    Room,
    /// The old master is gone; what is to be said of the era that begins, if one does.
    OldMasterEnds(Option<String>),
    /// Nothing that was under way from an old master is heard any more: an era begins.
    Era(String),
}

struct Slot {
    id: String,
    config: Config,
    process: Option<Process>,
    /// The clock of its machine.
    clock: Clock,
    /// Outputs that pass before a waiting fault strikes.
    outputs_left: Option<u32>,
    /// What was last said of its connections to the broker.
    linked: bool,
    /// Nothing passes between it and the rest of the world.
    partitioned: bool,
}

/// The cluster.
pub struct Cluster {
    slots: Vec<Slot>,
    broker: MessageBroker,
    northbound: Northbound,
    /// What was last said of the back end's connections.
    back_end_linked: bool,
    due: EventQueue<(usize, Due)>,
    events: VecDeque<ClusterEvent>,
    watching: Watching,
    seeds: ChaCha8Rng,
    steps: ChaCha8Rng,
    saboteur: Saboteur,
}

impl Cluster {
    /// The instances of a scenario, none of them started, and a back end that begins to connect.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, clap::Error> {
        let prefix = &scenario.cluster.channel_prefix;
        let slots = (0..scenario.cluster.instances).map(|index| slot(scenario, index));
        let slots: Vec<Slot> = slots.collect::<Result<_, _>>()?;
        // All instances have the same arguments.
        let planted = slots.first().map(|slot| slot.config.planted).unwrap_or_default();
        let mut broker = MessageBroker::new(generator(seed, Purpose::Broker));
        let forgotten = scenario.fault.iter().filter_map(|fault| match fault.action {
            FaultAction::RedisKill {
                keeps: Keeps::AllBut(last),
            }
            | FaultAction::RedisFailover { lag: last, .. } => Some(last),
            _ => None,
        });
        if let Some(reach) = forgotten.max() {
            broker.remember(Time::ZERO, reach);
        }
        Ok(Cluster {
            northbound: Northbound::new(Time::ZERO, slots.len(), prefix, &mut broker),
            back_end_linked: true,
            slots,
            broker,
            due: EventQueue::new(),
            events: VecDeque::new(),
            watching: None,
            seeds: generator(seed, Purpose::Instances),
            steps: generator(seed, Purpose::Steps),
            saboteur: Saboteur::new(planted),
        })
    }

    /// From now on somebody looks at what happens inside.
    pub fn watch(&mut self, now: Time, watching: &Watching) {
        self.watching.clone_from(watching);
        self.broker.watch(now, watching.clone());
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The id of an instance.
    pub fn id(&self, instance: usize) -> &str {
        &self.slots[instance].id
    }

    /// The CoAP port of an instance.
    pub fn port(&self, instance: usize) -> u16 {
        self.slots[instance].config.address.port()
    }

    /// True if the instance has a process.
    pub fn is_running(&self, instance: usize) -> bool {
        self.slots[instance].process.is_some()
    }

    /// Starts the process of an instance that has none.
    pub fn start(&mut self, now: Time, instance: usize) {
        let slot = &mut self.slots[instance];
        slot.config.nonce = format!("{:016x}", self.seeds.random::<u64>());
        slot.process = Some(Process::start(
            now,
            slot.clock,
            slot.config.clone(),
            self.seeds.random(),
        ));
        slot.linked = true;
        self.carry_out_link(now, instance);
        self.wake(now, instance);
    }

    /// Does to an instance what a fault wants. An error says why that makes no sense now.
    pub fn signal(&mut self, now: Time, instance: usize, action: &FaultAction) -> Result<(), String> {
        if *action == FaultAction::Heal {
            return self.partition(now, instance, false);
        }
        let slot = &mut self.slots[instance];
        slot.outputs_left = None;
        let id = &slot.id;
        let Some(process) = &mut slot.process else {
            return Err(format!("{id} does not run"));
        };
        match action {
            FaultAction::Kill => {
                process.ending = true;
                self.end(now, instance, ExitStatus::Signal(9), None);
            }
            FaultAction::Stop => process.terminate(),
            FaultAction::Pause => process.paused = true,
            FaultAction::Resume if !process.paused => return Err(format!("{id} is not paused")),
            FaultAction::Resume => process.paused = false,
            FaultAction::RedisCut {
                connections,
                half_open,
            } => return self.cut(now, instance, *connections, *half_open),
            FaultAction::RedisSlow {
                connections,
                stall,
                output_buffer,
            } => self.slow(now, instance, *connections, *stall, *output_buffer),
            FaultAction::Partition => return self.partition(now, instance, true),
            FaultAction::ClockJump { .. } | FaultAction::ClockDrift { .. } => {
                self.touch_clock(now, Some(instance), action);
            }
            FaultAction::Restart
            | FaultAction::Heal
            | FaultAction::RedisKill { .. }
            | FaultAction::RedisRestart
            | FaultAction::RedisFull { .. }
            | FaultAction::RedisFlush
            | FaultAction::RedisFailover { .. }
            | FaultAction::Network(_)
            | FaultAction::FlowReset
            | FaultAction::Devices(_) => {}
        }
        self.wake(now, instance);
        Ok(())
    }

    /// The instance that is steward of the endpoint's partition, dead or alive, if there is one.
    pub fn steward_of(&mut self, now: Time, endpoint: &str) -> Option<usize> {
        let key = Partition::of(endpoint).key(self.northbound.prefix());
        let member = self.broker.look_up(now, &key, "st")?;
        let (id, _) = member.rsplit_once('#')?;
        self.slots.iter().position(|slot| slot.id == id)
    }

    /// Waits until the instance is about to make its n-th output, then says [`ClusterEvent::OutputsMade`]; soon,
    /// whatever happens.
    pub fn count_outputs(&mut self, now: Time, instance: usize, outputs: u32) {
        self.slots[instance].outputs_left = Some(outputs);
        self.due
            .push(now + OUTPUTS_LIMIT, (instance, Due::OutputsOverdue));
    }

    /// A datagram leaves the balancer for an instance.
    pub fn send_datagram(&mut self, now: Time, instance: usize, from: SocketAddrV4, data: Vec<u8>) {
        let from = SocketAddr::V4(from);
        self.due
            .push(now + LOOPBACK, (instance, Due::Datagram(from, data)));
    }

    /// The back end publishes a request.
    pub fn publish(&mut self, now: Time, payload: Arc<str>) {
        self.northbound.publish(now, payload, &mut self.broker);
    }

    /// When the next thing happens.
    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = [self.due.next_deadline(), self.broker.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Lets one thing happen that is due; false if there is none.
    pub fn step(&mut self, now: Time) -> bool {
        if self.broker.next_deadline().is_some_and(|at| at <= now) {
            self.broker.step(now);
            self.deliver(now);
            return true;
        }
        let Some((at, (instance, due))) = self.due.pop(now) else {
            return false;
        };
        match due {
            Due::Step => self.step_process(at, instance),
            Due::Datagram(..) if self.slots[instance].partitioned => {}
            Due::Datagram(from, data) => {
                if let Some(process) = &mut self.slots[instance].process {
                    process.arrive_datagram(from, data);
                    self.wake(now, instance);
                }
            }
            Due::OutputsOverdue => {
                if self.slots[instance].outputs_left.take().is_some() {
                    self.events.push_back(ClusterEvent::OutputsMade(instance));
                }
            }
            Due::Connect => self.northbound.try_again(now, &mut self.broker),
            Due::Release(connections) => self.release(now, instance, connections),
            Due::Room => self.make_room(now),
            Due::OldMasterEnds(era) => self.end_old_master(now, era),
            Due::Era(reason) => {
                self.broker.settle();
                self.events.push_back(ClusterEvent::Era(reason));
            }
        }
        true
    }

    /// True if [`Self::poll_event`] has something to say.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing that the cluster did.
    pub fn poll_event(&mut self) -> Option<ClusterEvent> {
        self.events.pop_front()
    }

    fn deliver(&mut self, now: Time) {
        while let Some((connection, arrival)) = self.broker.poll_arrival() {
            if self.northbound.connections().contains(&Some(connection)) {
                self.show(now, Lane::BackEnd, &arrival);
                self.deliver_north(now, connection, arrival);
                continue;
            }
            let owner = self.slots.iter_mut().position(|slot| {
                let connections = slot.process.as_ref().map(Process::connections);
                connections.is_some_and(|connections| connections.contains(&Some(connection)))
            });
            if let Some(owner) = owner {
                self.show(now, Lane::Instance(owner), &arrival);
                if let Some(process) = &mut self.slots[owner].process {
                    process.arrive(connection, arrival);
                }
                self.wake(now, owner);
            }
        }
    }

    fn show(&self, now: Time, to: Lane, arrival: &Arrival) {
        tell(&self.watching, |watch| {
            watch.trace(|trace| match arrival {
                Arrival::Message(Push::Message { payload, .. }) => trace.arrives(now, to, payload),
                Arrival::Answer(Ok(Value::Array(reply))) => {
                    let texts = reply.iter().filter_map(Value::text);
                    trace.arrives(now, to, texts.collect::<Vec<_>>().join(" ").as_bytes());
                }
                _ => {}
            });
        });
    }

    /// Schedules the next step of a process, unless an earlier one is scheduled already.
    fn wake(&mut self, now: Time, instance: usize) {
        let Some(process) = &mut self.slots[instance].process else {
            return;
        };
        if let Some(at) = process
            .next_step()
            .map(|at| at.max(now))
            .filter(|at| *at < process.wake)
        {
            process.wake = at;
            self.due.push(at, (instance, Due::Step));
        }
    }

    fn step_process(&mut self, now: Time, instance: usize) {
        let slot = &mut self.slots[instance];
        let Some(process) = &mut slot.process else {
            return;
        };
        if process.wake != now {
            return; // replaced by an earlier one
        }
        process.wake = Time::MAX;
        if process.next_step().is_some_and(|at| at <= now) {
            let was_up = process.is_up();
            let output = process.step(now, &mut self.steps);
            let refusal = process.take_refusal().map(ClusterEvent::Refused);
            self.events.extend(refusal);
            if let Some(reason) = process.take_resignation() {
                tell(&self.watching, |watch| watch.transitions.resigned(reason));
            }
            let changed = was_up != process.is_up();
            if let Some(output) = output {
                self.carry_out(now, instance, output);
            }
            self.carry_out_link(now, instance);
            if changed {
                self.check_links(instance);
            }
            self.count_output(instance);
        }
        self.wake(now, instance);
    }

    fn count_output(&mut self, instance: usize) {
        let slot = &mut self.slots[instance];
        let intends = slot.process.as_ref().is_some_and(Process::has_output);
        let (Some(left), true) = (&mut slot.outputs_left, intends) else {
            return;
        };
        *left -= 1;
        if *left == 0 {
            slot.outputs_left = None;
            self.events.push_back(ClusterEvent::OutputsMade(instance));
        }
    }

    fn carry_out(&mut self, now: Time, instance: usize, output: Output) {
        let Some(process) = &mut self.slots[instance].process else {
            return;
        };
        match output {
            Output::Datagram { to, data } => {
                if let SocketAddr::V4(to) = to
                    && !self.slots[instance].partitioned
                {
                    self.events
                        .push_back(ClusterEvent::Datagram { instance, to, data });
                }
            }
            Output::Call(call) => {
                let call = self.saboteur.change(&call).map_or(call, Rc::new);
                process.call(now, call);
            }
            Output::Subscribe(channels) => process.subscribe(now, channels),
            Output::Reset => {
                process.reset(now);
                self.check_links(instance);
            }
            Output::Ready(_) => {
                process.ready = true;
                self.events.push_back(ClusterEvent::Ready(instance));
                self.check_links(instance);
            }
            Output::Left => self.end(now, instance, ExitStatus::Code(0), None),
            Output::Fatal(message) => self.end(now, instance, ExitStatus::Code(3), Some(message)),
        }
    }

    fn end(&mut self, now: Time, instance: usize, status: ExitStatus, words: Option<String>) {
        let Some(process) = self.slots[instance].process.take() else {
            return;
        };
        let connections = process.connections();
        connections
            .into_iter()
            .flatten()
            .for_each(|connection| self.broker.close(now, connection));
        self.events.push_back(ClusterEvent::Exited {
            instance,
            status,
            expected: process.ending,
            words,
        });
    }
}

/// An instance as the real world would start it: the same arguments, so the same defaults.
fn slot(scenario: &Scenario, index: u32) -> Result<Slot, clap::Error> {
    let cluster = &scenario.cluster;
    let id = instance_id(index);
    let port = FIRST_PORT.saturating_add(u16::try_from(index).unwrap_or(u16::MAX));
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).to_string();
    let lease = format!("{}ms", cluster.lease.as_millis());
    let mut arguments: Vec<&str> = vec!["server", "-n", &id, "--coap", &address, "--lease", &lease];
    if !cluster.channel_prefix.is_empty() {
        arguments.extend(["--channel-prefix", &cluster.channel_prefix]);
    }
    arguments.extend(cluster.arguments.iter().map(String::as_str));
    Ok(Slot {
        config: server::cli::configuration(arguments, String::new())?,
        id,
        process: None,
        clock: Clock::right(),
        outputs_left: None,
        linked: true,
        partitioned: false,
    })
}
