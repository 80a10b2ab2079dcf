//! The cluster under test in the virtual world: instances as processes, their broker, and the back end's connections.
//!
//! In: datagrams, publications and faults, with the time at which they leave. Out: [`ClusterEvent`]s. The clock of the
//! cluster runs from the start of its first instance, as that of a machine does, not from the start of the run.

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
use server::partition::Partition;
use server::store::Value;

use super::message_broker::{Arrival, ConnectionId, MessageBroker};
use super::process::Process;
use super::queue::EventQueue;
use super::trace::Lane;
use super::watch::{Watching, tell};
use crate::history::RegistrationChannel;
use crate::scenario::{FaultAction, Scenario, instance_id};
use crate::seed::{Purpose, generator};

/// One way between the balancer and an instance.
const LOOPBACK: Duration = Duration::from_micros(30);
/// The CoAP port of the first instance; the others follow.
const FIRST_PORT: u16 = 5700;
/// A fault that waits for the moment before an output strikes after this time at the latest.
const AMBUSH_LIMIT: Duration = Duration::from_millis(50);

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
    /// The back end reads an answer.
    Response(String),
    /// The back end reads a registration event.
    Registration(RegistrationChannel, String),
    /// The back end's subscriptions are confirmed.
    BackEndConnected,
    /// An instance is a member and hears.
    Ready(usize),
    /// An instance ended by itself or because SIGTERM asked it to.
    Exited {
        /// Which one.
        instance: usize,
        /// As the operating system would say it.
        status: String,
        /// True if a fault asked for it.
        expected: bool,
        /// What it said last.
        words: Option<String>,
    },
    /// The moment for which a fault was waiting has come.
    Ambush(usize),
    /// The broker refused a script: with an intact broker that is a mistake in the script.
    Refused(String),
}

/// Something that is due at an instance.
enum Due {
    Step,
    Datagram(SocketAddr, Vec<u8>),
    AmbushOver,
}

struct Slot {
    id: String,
    config: Config,
    process: Option<Process>,
    /// Outputs that pass before a waiting fault strikes.
    ambush: Option<u32>,
}

/// The cluster.
pub struct Cluster {
    slots: Vec<Slot>,
    broker: MessageBroker,
    publisher: ConnectionId,
    listener: ConnectionId,
    prefix: String,
    due: EventQueue<(usize, Due)>,
    events: VecDeque<ClusterEvent>,
    watching: Watching,
    seeds: ChaCha8Rng,
    steps: ChaCha8Rng,
}

impl Cluster {
    /// The instances of a scenario, none of them started, and a back end that begins to connect.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, clap::Error> {
        let prefix = scenario.cluster.channel_prefix.clone();
        let heard = ["RESP", "REG_NEW", "REG_UP", "REG_DEL"];
        let heard = heard.map(|name| format!("{prefix}LESHAN_{name}"));
        let slots = (0..scenario.cluster.instances).map(|index| slot(scenario, index));
        let slots = slots.collect::<Result<Vec<_>, _>>()?;
        // All instances have the same arguments.
        let planted = slots
            .first()
            .map(|slot: &Slot| slot.config.planted)
            .unwrap_or_default();
        let mut broker = MessageBroker::new(generator(seed, Purpose::Broker), planted);
        Ok(Cluster {
            slots,
            publisher: broker.connect(Time::ZERO, Vec::new()),
            listener: broker.connect(Time::ZERO, heard.to_vec()),
            broker,
            prefix,
            due: EventQueue::new(),
            events: VecDeque::new(),
            watching: None,
            seeds: generator(seed, Purpose::Instances),
            steps: generator(seed, Purpose::Steps),
        })
    }

    /// From now on somebody looks at what happens inside.
    pub fn watch(&mut self, watching: &Watching) {
        self.watching.clone_from(watching);
        self.broker.watch(watching.clone());
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
        let mut process = Process::start(now, slot.config.clone(), self.seeds.random());
        process.command = Some(self.broker.connect(now, Vec::new()));
        slot.process = Some(process);
        self.wake(now, instance);
    }

    /// Does to an instance what a fault wants. An error says why that makes no sense now.
    pub fn signal(&mut self, now: Time, instance: usize, action: &FaultAction) -> Result<(), String> {
        let slot = &mut self.slots[instance];
        slot.ambush = None;
        let id = &slot.id;
        let Some(process) = &mut slot.process else {
            return Err(format!("{id} does not run"));
        };
        match action {
            FaultAction::Kill => {
                process.ending = true;
                self.end(now, instance, "signal 9", None);
            }
            FaultAction::Stop => process.terminate(),
            FaultAction::Pause => process.paused = true,
            FaultAction::Resume if !process.paused => return Err(format!("{id} is not paused")),
            FaultAction::Resume => process.paused = false,
            FaultAction::Restart
            | FaultAction::Network(_)
            | FaultAction::FlowReset
            | FaultAction::Devices(_) => {}
        }
        self.wake(now, instance);
        Ok(())
    }

    /// The instance that is steward of the endpoint's partition, dead or alive, if there is one.
    pub fn steward_of(&mut self, now: Time, endpoint: &str) -> Option<usize> {
        let key = Partition::of(endpoint).key(&self.prefix);
        let member = self.broker.look_up(now, &key, "st")?;
        let (id, _) = member.rsplit_once('#')?;
        self.slots.iter().position(|slot| slot.id == id)
    }

    /// Waits until the instance is about to make its so-manieth output, then says [`ClusterEvent::Ambush`]; soon,
    /// whatever happens.
    pub fn lie_in_wait(&mut self, now: Time, instance: usize, outputs: u32) {
        self.slots[instance].ambush = Some(outputs);
        self.due.push(now + AMBUSH_LIMIT, (instance, Due::AmbushOver));
    }

    /// A datagram leaves the balancer for an instance.
    pub fn send_datagram(&mut self, now: Time, instance: usize, from: SocketAddrV4, data: Vec<u8>) {
        let from = SocketAddr::V4(from);
        self.due
            .push(now + LOOPBACK, (instance, Due::Datagram(from, data)));
    }

    /// The back end publishes a request.
    pub fn publish(&mut self, now: Time, payload: Arc<str>) {
        let channel: Rc<str> = format!("{}LESHAN_REQ", self.prefix).into();
        self.broker.publish(now, self.publisher, channel, payload);
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
            Due::Datagram(from, data) => {
                if let Some(process) = &mut self.slots[instance].process {
                    process.arrive_datagram(from, data);
                    self.wake(now, instance);
                }
            }
            Due::AmbushOver => {
                if self.slots[instance].ambush.take().is_some() {
                    self.events.push_back(ClusterEvent::Ambush(instance));
                }
            }
        }
        true
    }

    /// The next thing that the cluster did.
    pub fn poll_event(&mut self) -> Option<ClusterEvent> {
        self.events.pop_front()
    }

    fn deliver(&mut self, now: Time) {
        while let Some((connection, arrival)) = self.broker.poll_arrival() {
            if connection == self.listener {
                self.show(now, Lane::BackEnd, &arrival);
                self.hear(arrival);
                continue;
            }
            if let Arrival::Reply(_, Err(error)) = &arrival {
                self.events.push_back(ClusterEvent::Refused(error.clone()));
            }
            let owner = self.slots.iter_mut().position(|slot| {
                let process = slot.process.as_ref();
                process.is_some_and(|it| it.command == Some(connection) || it.subscriber == Some(connection))
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
                Arrival::Reply(_, Ok(reply)) => {
                    let texts = (0..).map_while(|n| reply.get(n)).filter_map(Value::text);
                    trace.arrives(now, to, texts.collect::<Vec<_>>().join(" ").as_bytes());
                }
                _ => {}
            });
        });
    }

    /// The back end's side of its subscriptions.
    fn hear(&mut self, arrival: Arrival) {
        let event = match arrival {
            Arrival::SubscriberConnected => ClusterEvent::BackEndConnected,
            Arrival::Message(Push::Message { channel, payload }) => {
                let payload = String::from_utf8_lossy(&payload).into_owned();
                let name = channel.get(self.prefix.len()..).unwrap_or_default();
                match name {
                    b"LESHAN_RESP" => ClusterEvent::Response(payload),
                    b"LESHAN_REG_NEW" => ClusterEvent::Registration(RegistrationChannel::New, payload),
                    b"LESHAN_REG_UP" => ClusterEvent::Registration(RegistrationChannel::Up, payload),
                    _ => ClusterEvent::Registration(RegistrationChannel::Del, payload),
                }
            }
            _ => return,
        };
        self.events.push_back(event);
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
            let output = process.step(now, &mut self.steps);
            if let Some(output) = output {
                self.carry_out(now, instance, output);
            }
            self.spring_ambush(instance);
        }
        self.wake(now, instance);
    }

    fn spring_ambush(&mut self, instance: usize) {
        let slot = &mut self.slots[instance];
        let intends = slot.process.as_ref().is_some_and(Process::has_output);
        let (Some(left), true) = (&mut slot.ambush, intends) else {
            return;
        };
        *left -= 1;
        if *left == 0 {
            slot.ambush = None;
            self.events.push_back(ClusterEvent::Ambush(instance));
        }
    }

    fn carry_out(&mut self, now: Time, instance: usize, output: Output) {
        let Some(process) = &mut self.slots[instance].process else {
            return;
        };
        match output {
            Output::Datagram { to, data } => {
                if let SocketAddr::V4(to) = to {
                    self.events
                        .push_back(ClusterEvent::Datagram { instance, to, data });
                }
            }
            Output::Call(call) => {
                if let Some(connection) = process.command {
                    self.broker.call(now, connection, call);
                }
            }
            Output::Subscribe(channels) => {
                let connection = self.broker.connect(now, channels);
                if let Some(old) = process.resubscribe(connection) {
                    self.broker.close(now, old);
                }
            }
            Output::Reset => {
                let dropped = process.reset();
                process.command = Some(self.broker.connect(now, Vec::new()));
                let dropped = dropped.into_iter().flatten();
                dropped.for_each(|connection| self.broker.close(now, connection));
            }
            Output::Ready(_) => {
                process.ready = true;
                self.events.push_back(ClusterEvent::Ready(instance));
            }
            Output::Left => self.end(now, instance, "exit 0", None),
            Output::Fatal(message) => self.end(now, instance, "exit 3", Some(message)),
        }
    }

    fn end(&mut self, now: Time, instance: usize, status: &str, words: Option<String>) {
        let Some(mut process) = self.slots[instance].process.take() else {
            return;
        };
        let connections = process.reset();
        connections
            .into_iter()
            .flatten()
            .for_each(|connection| self.broker.close(now, connection));
        self.events.push_back(ClusterEvent::Exited {
            instance,
            status: status.to_owned(),
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
        ambush: None,
    })
}
