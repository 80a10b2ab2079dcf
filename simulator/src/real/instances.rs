//! The instances of the cluster under test, as processes: started, signalled, watched and measured.
//!
//! In: what faults ask for, and what the processes report. Out: history events, and at the end what each one cost. An
//! instance keeps its id and its port over restarts.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lwm2m::time::Time;
use tokio::sync::mpsc;

use super::child::{Child, ChildEvent, Program, tail};
use super::usage::Usage;
use crate::facts::{InstanceCost, UsageSample};
use crate::fault::FaultAction;
use crate::history::Event;
use crate::scenario::Scenario;

/// How many lines of a log are shown when an instance dies unasked.
const TAIL_LINES: usize = 5;

/// Where an instance stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No process.
    Down,
    /// Started, not ready yet.
    Starting,
    /// Serving.
    Ready,
    /// Stopped by SIGSTOP.
    Paused,
}

/// One instance.
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Where it serves CoAP.
    pub address: SocketAddrV4,
    /// Where it stands.
    pub state: State,
    log: PathBuf,
    child: Option<Child>,
    tag: u64,
    /// A fault, or the end of the run, asked for its end.
    ending: bool,
    /// CPU time of the incarnations that have ended.
    cpu_before: Duration,
    last: Usage,
    peak_kib: u64,
}

/// All instances.
pub struct Instances {
    all: Vec<Instance>,
    arguments: Vec<String>,
    broker_url: String,
    events: mpsc::UnboundedSender<ChildEvent>,
    next_tag: u64,
}

/// What a report of a child means.
pub struct Change {
    /// For the history.
    pub event: Event,
    /// For a person, if the instance died unasked: what it said last.
    pub unexpected: Option<String>,
}

impl Instances {
    /// The instances of a scenario, none of them started. Their logs go to `out`.
    pub fn new(
        scenario: &Scenario,
        broker_url: &str,
        out: &Path,
        events: mpsc::UnboundedSender<ChildEvent>,
    ) -> io::Result<Self> {
        let cluster = &scenario.cluster;
        let ids = cluster.instance_ids();
        let addresses = free_udp_addresses(ids.len())?;
        let instance = |(id, address): (String, SocketAddrV4)| Instance {
            log: out.join(format!("instance-{id}.log")),
            id,
            address,
            state: State::Down,
            child: None,
            tag: 0,
            ending: false,
            cpu_before: Duration::ZERO,
            last: Usage::default(),
            peak_kib: 0,
        };
        let lease = format!("{}ms", cluster.lease.as_millis());
        let mut arguments: Vec<String> = ["--lease", &lease, "--log", &cluster.log]
            .map(str::to_owned)
            .to_vec();
        if !cluster.channel_prefix.is_empty() {
            arguments.extend(["--channel-prefix".to_owned(), cluster.channel_prefix.clone()]);
        }
        arguments.extend(cluster.arguments.iter().cloned());
        let all = ids.into_iter().zip(addresses).map(instance).collect();
        Ok(Instances {
            all,
            arguments,
            broker_url: broker_url.to_owned(),
            events,
            next_tag: 0,
        })
    }

    /// All of them, in the order of their indices.
    pub fn all(&self) -> &[Instance] {
        &self.all
    }

    /// Where they serve CoAP.
    pub fn addresses(&self) -> Vec<SocketAddrV4> {
        self.all.iter().map(|instance| instance.address).collect()
    }

    /// Starts the process of an instance that has none.
    pub fn start(&mut self, index: usize) -> io::Result<Event> {
        self.next_tag += 1;
        let instance = &mut self.all[index];
        let mut arguments: Vec<String> = [
            "server",
            "-n",
            &instance.id,
            "--coap",
            &instance.address.to_string(),
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(self.arguments.iter().cloned());
        let mut program = Program::own(arguments, instance.log.clone());
        program.environment.push(("REDIS_URL", self.broker_url.clone()));
        let child = Child::start(&program, self.next_tag, self.events.clone())?;
        let event = Event::InstanceStarted {
            id: instance.id.clone(),
            pid: child.pid(),
        };
        instance.child = Some(child);
        instance.tag = self.next_tag;
        instance.state = State::Starting;
        instance.ending = false;
        instance.last = Usage::default();
        Ok(event)
    }

    /// Sends the signal of a fault. An error says why that makes no sense now.
    pub fn signal(&mut self, index: usize, action: &FaultAction) -> Result<(), String> {
        self.sample_one(index);
        let instance = &mut self.all[index];
        let Some(child) = &instance.child else {
            return Err(format!("{} does not run", instance.id));
        };
        match action {
            FaultAction::Kill => child.signal(libc::SIGKILL),
            FaultAction::Stop => child.signal(libc::SIGTERM),
            FaultAction::Pause => child.signal(libc::SIGSTOP),
            FaultAction::Resume if instance.state != State::Paused => {
                return Err(format!("{} is not paused", instance.id));
            }
            FaultAction::Resume => child.signal(libc::SIGCONT),
            _ => return Ok(()),
        }
        instance.ending |= matches!(action, FaultAction::Kill | FaultAction::Stop);
        match action {
            FaultAction::Pause => instance.state = State::Paused,
            FaultAction::Resume => instance.state = State::Ready,
            _ => {}
        }
        Ok(())
    }

    /// Takes the report of a child; none if it is not about an instance that still counts.
    pub fn handle(&mut self, report: ChildEvent) -> Option<Change> {
        let (tag, status) = match report {
            ChildEvent::Ready { tag } => (tag, None),
            ChildEvent::Exited { tag, status } => (tag, Some(status)),
        };
        let instance = self
            .all
            .iter_mut()
            .find(|instance| instance.tag == tag && instance.child.is_some())?;
        let id = instance.id.clone();
        let Some(status) = status else {
            if instance.state == State::Starting {
                instance.state = State::Ready;
            }
            return Some(Change {
                event: Event::InstanceReady { id },
                unexpected: None,
            });
        };
        instance.child = None;
        instance.state = State::Down;
        instance.cpu_before += instance.last.cpu;
        instance.last = Usage::default();
        let expected = instance.ending;
        let unexpected = (!expected).then(|| {
            let said = tail(&instance.log, TAIL_LINES);
            format!(
                "instance {id} ended by itself ({status}); the end of {}:\n{said}",
                instance.log.display()
            )
        });
        Some(Change {
            event: Event::InstanceExited { id, status, expected },
            unexpected,
        })
    }

    /// Measures every process. Called often enough that little is missed when one dies.
    pub fn sample(&mut self) {
        (0..self.all.len()).for_each(|index| self.sample_one(index));
    }

    /// The resident memory of all processes together, as sampled last, in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.all.iter().map(|instance| instance.last.rss_kib).sum()
    }

    /// What each one had used when it was sampled last, at `now`.
    pub fn usage(&self, now: Time) -> impl Iterator<Item = UsageSample> {
        self.all.iter().map(move |instance| UsageSample {
            at_us: now.as_micros(),
            id: instance.id.clone(),
            cpu_s: (instance.cpu_before + instance.last.cpu).as_secs_f64(),
            rss_kib: instance.last.rss_kib,
        })
    }

    /// What each one cost. `operations` says how many requests one with this address and id served.
    pub fn costs(&self, operations: impl Fn(&Instance) -> u64) -> Vec<InstanceCost> {
        let cost = |instance: &Instance| InstanceCost {
            id: instance.id.clone(),
            cpu_s: (instance.cpu_before + instance.last.cpu).as_secs_f64(),
            rss_peak_kib: instance.peak_kib,
            operations: Some(operations(instance)),
        };
        self.all.iter().map(cost).collect()
    }

    /// Asks every process to end, paused ones included.
    pub fn terminate(&mut self) {
        self.signal_all(&[libc::SIGTERM, libc::SIGCONT]);
    }

    /// Ends every process that is left.
    pub fn kill(&mut self) {
        self.signal_all(&[libc::SIGKILL]);
    }

    /// True if no process is left.
    pub fn all_down(&self) -> bool {
        self.all.iter().all(|instance| instance.child.is_none())
    }

    fn signal_all(&mut self, signals: &[i32]) {
        for instance in &mut self.all {
            instance.ending = true;
            if let Some(child) = &instance.child {
                signals.iter().for_each(|&signal| child.signal(signal));
            }
        }
    }

    fn sample_one(&mut self, index: usize) {
        let instance = &mut self.all[index];
        let sampled = instance.child.as_ref().and_then(|child| Usage::of(child.pid()));
        // A zombie has no memory any more, and its CPU time is complete.
        if let Some(usage) = sampled {
            instance.peak_kib = instance.peak_kib.max(usage.rss_peak_kib);
            instance.last = Usage {
                cpu: usage.cpu.max(instance.last.cpu),
                ..usage
            };
        }
    }
}

/// Addresses on 127.0.0.1 that are free now. They are held together until all are found, so that no two are the same.
fn free_udp_addresses(count: usize) -> io::Result<Vec<SocketAddrV4>> {
    let sockets: Vec<UdpSocket> = (0..count)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    let address = |socket: &UdpSocket| match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    };
    sockets.iter().map(address).collect()
}
