//! The phases of a run around its loop: what is started in which order, and how everything ends.

use std::io;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

use lwm2m::time::Time;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::alarm::Alarm;
use super::canary::Canary;
use super::child::ChildEvent;
use super::clock::{RunClock, unix_millis};
use super::floor;
use super::health_socket::HealthSocket;
use super::instances::{Instances, State};
use super::message_broker::MessageBroker;
use super::northbound::Northbound;
use super::null_run;
use super::run_loop::{Interrupts, ResidentMemory, RunLoop};
use super::socket::FleetSocket;
use super::usage::Usage;
use crate::backend::NorthboundEvent;
use crate::dialect::Channels;
use crate::facts::{AddedDelay, Floor, InstanceCost, ProcessCost, RunFacts};
use crate::fleet::FleetConfig;
use crate::history::{Event, HistoryWriter};
use crate::outside::Outside;
use crate::progress::Progress;
use crate::recorder::{Recorder, cannot_write};
use crate::run::{EnvironmentError, HISTORY_FILE, Outcome, RunOptions, header};
use crate::scenario::Scenario;

/// How long an instance may take until it says that it is ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long instances may take to end when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// So many devices take memory that stands out.
const MEASURABLE_DEVICES: usize = 1000;
/// How long the bare echo is measured.
const FLOOR_TIME: Duration = Duration::from_secs(1);

/// What stands before the loop starts.
struct Environment {
    broker: MessageBroker,
    floor: Option<Floor>,
    added: Option<AddedDelay>,
    instances: Instances,
    children: mpsc::UnboundedReceiver<ChildEvent>,
    northbound: Northbound,
    /// What the instances reported while they were started.
    events: Vec<Event>,
    /// Resident memory of all instances before any device came, in KiB.
    idle_kib: u64,
}

/// Carries out a run, from the broker to the end of the last process.
pub async fn carry_out(scenario: &Scenario, options: &RunOptions) -> Result<Outcome, EnvironmentError> {
    let began = Instant::now();
    let mut interrupts = Interrupts::listen()
        .map_err(|error| EnvironmentError::new(format!("signals cannot be caught: {error}")))?;
    let progress = Progress::new(options.quiet, scenario.duration);
    let environment = tokio::select! {
        environment = prepare(scenario, options, &progress) => environment?,
        () = interrupts.recv() => return interrupted_early(scenario, options, began),
    };
    let Environment {
        broker,
        floor,
        added,
        instances,
        children,
        northbound,
        events,
        idle_kib,
    } = environment;
    let parts = Parts {
        instances,
        children,
        northbound,
        canary: Canary::start(broker.client(), canary_key()),
        progress,
        idle_kib,
        added,
    };
    let mut world = build(scenario, options, parts).await?;
    world.recorder.record(
        Time::ZERO,
        Event::Era {
            reason: "the run began".to_owned(),
        },
    );
    events
        .into_iter()
        .for_each(|event| world.recorder.record(Time::ZERO, event));
    world.recorder.hold();
    let interrupted = world.run(&mut interrupts).await?;
    if !interrupted {
        world.listen_on().await;
    }
    world
        .recorder
        .record(world.clock.now(), Event::Ended { interrupted });
    world.progress.finish();
    world.instances.sample();
    let facts = facts(&world, &broker, floor, began);
    end(world, &broker).await?;
    Ok(Outcome {
        history: options.out.join(HISTORY_FILE),
        facts,
        interrupted,
    })
}

/// Ctrl-C before the run began: a history that says just that.
fn interrupted_early(
    scenario: &Scenario,
    options: &RunOptions,
    began: Instant,
) -> Result<Outcome, EnvironmentError> {
    let mut recorder = recorder(scenario, options)?;
    recorder.record(Time::ZERO, Event::Ended { interrupted: true });
    recorder.finish()?;
    let facts = RunFacts {
        wall_s: began.elapsed().as_secs_f64(),
        ..RunFacts::default()
    };
    Ok(Outcome {
        history: options.out.join(HISTORY_FILE),
        facts,
        interrupted: true,
    })
}

fn recorder(scenario: &Scenario, options: &RunOptions) -> Result<Recorder, EnvironmentError> {
    let header = header(scenario, options.seed, "real", unix_millis());
    let writer = HistoryWriter::create(&options.out.join(HISTORY_FILE), &header);
    Recorder::new(writer.map_err(|error| cannot_write(&error))?)
}

/// Broker, floor, instances, the back end's connections.
async fn prepare(
    scenario: &Scenario,
    options: &RunOptions,
    progress: &Progress,
) -> Result<Environment, EnvironmentError> {
    let (events, mut children) = mpsc::unbounded_channel();
    let broker = MessageBroker::start(
        &options.redis,
        &scenario.cluster.channel_prefix,
        &options.out,
        &events,
    )
    .await?;
    progress.note(&format!("broker: {}", broker.describe()));
    // Before the instances start, so that nothing else runs.
    let floor = floor::measure(FLOOR_TIME).ok().flatten().map(|echo| Floor {
        cpu_us_per_datagram: echo.cpu_us_per_datagram,
        datagrams_per_s: echo.datagrams_per_s,
    });
    let added = null_run::measure().await.ok().flatten();
    let mut instances = Instances::new(scenario, &broker.url, &options.out, events)
        .map_err(|error| EnvironmentError::new(format!("no free UDP ports on 127.0.0.1: {error}")))?;
    let channels = Channels::new(&scenario.cluster.channel_prefix);
    let mut northbound = Northbound::start(broker.client(), channels)
        .map_err(|error| EnvironmentError::new(format!("no thread for the back end: {error}")))?;
    let mut told = start_all(&mut instances)?;
    let ready = all_ready(&mut instances, &mut children, &mut told);
    if timeout(READY_LIMIT, ready)
        .await
        .map_err(|_| not_ready(&instances, &options.out))??
    {
        progress.note(&format!("instances: {} ready", instances.all().len()));
    }
    timeout(READY_LIMIT, connected(&mut northbound))
        .await
        .map_err(|_| {
            EnvironmentError::new(format!(
                "the back end's subscriptions at {} were not confirmed",
                broker.url
            ))
        })?;
    instances.sample();
    let idle_kib = instances.rss_kib();
    Ok(Environment {
        broker,
        floor,
        added,
        instances,
        children,
        northbound,
        events: told,
        idle_kib,
    })
}

fn start_all(instances: &mut Instances) -> Result<Vec<Event>, EnvironmentError> {
    let mut started = Vec::new();
    for index in 0..instances.all().len() {
        let event = instances.start(index).map_err(|error| {
            let id = &instances.all()[index].id;
            EnvironmentError::new(format!("instance {id} could not be started: {error}"))
        })?;
        started.push(event);
    }
    Ok(started)
}

/// Waits until every instance is ready; one that ends instead is an error with its last words.
async fn all_ready(
    instances: &mut Instances,
    children: &mut mpsc::UnboundedReceiver<ChildEvent>,
    events: &mut Vec<Event>,
) -> Result<bool, EnvironmentError> {
    while instances
        .all()
        .iter()
        .any(|instance| instance.state != State::Ready)
    {
        let Some(report) = children.recv().await else {
            return Ok(false);
        };
        let Some(change) = instances.handle(report) else {
            continue;
        };
        if let Some(message) = change.unexpected {
            return Err(EnvironmentError::new(message));
        }
        events.push(change.event);
    }
    Ok(true)
}

fn not_ready(instances: &Instances, out: &Path) -> EnvironmentError {
    let late = instances
        .all()
        .iter()
        .filter(|instance| instance.state != State::Ready);
    let ids: Vec<&str> = late.map(|instance| instance.id.as_str()).collect();
    EnvironmentError::new(format!(
        "not ready within {} s: instance {}; see {}/instance-*.log",
        READY_LIMIT.as_secs(),
        ids.join(", "),
        out.display()
    ))
}

/// Waits for the back end's connections; nothing but that can be heard before the first device.
async fn connected(northbound: &mut Northbound) {
    while let Some(heard) = northbound.recv().await {
        if matches!(heard.event, NorthboundEvent::Connected) {
            return;
        }
    }
}

struct Parts {
    instances: Instances,
    children: mpsc::UnboundedReceiver<ChildEvent>,
    northbound: Northbound,
    canary: Canary,
    progress: Progress,
    idle_kib: u64,
    added: Option<AddedDelay>,
}

/// Nobody else's, also if another run uses the same broker.
fn canary_key() -> String {
    format!("simulator:canary:{}:{}", std::process::id(), unix_millis())
}

/// Puts the loop together. Its clock starts here.
async fn build(scenario: &Scenario, options: &RunOptions, parts: Parts) -> Result<RunLoop, EnvironmentError> {
    let seed = options.seed;
    let addresses = parts.instances.addresses();
    let (socket, health) = sockets(addresses).await.map_err(|error| {
        EnvironmentError::new(format!("the devices' UDP socket could not be opened: {error}"))
    })?;
    let recorder = recorder(scenario, options)?;
    let alarm = Alarm::new()
        .map_err(|error| EnvironmentError::new(format!("the run's timer could not be made: {error}")))?;
    let fleet = fleet_config(scenario);
    let clock = RunClock::start();
    let instances = parts.instances.all().len();
    // Last of all before the devices, so that it is their memory which comes on top.
    let idle = ResidentMemory {
        simulator: Usage::own().map_or(0, |usage| usage.rss_kib),
        instances: parts.idle_kib,
    };
    let mut outside = Outside::new(scenario, fleet, instances, seed);
    outside.back_end.handle_connection(Time::ZERO, true);
    Ok(RunLoop {
        clock,
        idle,
        outside,
        northbound: parts.northbound,
        canary: parts.canary,
        alarm,
        added: parts.added,
        instances: parts.instances,
        children: parts.children,
        socket,
        health,
        recorder,
        progress: parts.progress,
        duration: Time::ZERO + scenario.duration,
        devices: scenario.devices.count() as usize,
        warnings: Vec::new(),
        next_sample: Time::ZERO,
        at_full_fleet: None,
        quiet_since: None,
        usage: Vec::new(),
        lateness: Duration::ZERO,
        lag: Duration::ZERO,
    })
}

async fn sockets(instances: Vec<SocketAddrV4>) -> io::Result<(FleetSocket, HealthSocket)> {
    let health = HealthSocket::bind(instances.clone()).await?;
    Ok((FleetSocket::bind(instances)?, health))
}

fn fleet_config(scenario: &Scenario) -> FleetConfig {
    FleetConfig {
        devices: scenario.devices.clone(),
        epoch_s: i64::try_from(unix_millis() / 1000).unwrap_or(i64::MAX),
        ..FleetConfig::default()
    }
}

fn facts(world: &RunLoop, broker: &MessageBroker, floor: Option<Floor>, began: Instant) -> RunFacts {
    // Of few devices it would be what a process takes anyway, divided by few.
    let per_device = |full: u64, idle: u64| {
        let measurable = full > idle && world.devices >= MEASURABLE_DEVICES;
        measurable.then(|| (full - idle) as f64 * 1024.0 / world.devices as f64)
    };
    let registry = world.outside.back_end.registry();
    let instances: Vec<InstanceCost> = world.instances.costs(|instance| {
        registry.served_by(instance.address.port()) + world.outside.back_end.ended_by(&instance.id)
    });
    let full = world.at_full_fleet;
    let mut warnings = world.warnings.clone();
    warnings.extend(world.harness_warnings());
    RunFacts {
        // The caller knows the scenario as it was run.
        provenance: None,
        broker: broker.facts.clone(),
        wall_s: began.elapsed().as_secs_f64(),
        instances,
        usage: world.usage.clone(),
        broker_cost: broker
            .child
            .as_ref()
            .and_then(|child| Usage::of(child.pid()))
            .map(cost),
        simulator: Usage::own().map(cost),
        bytes_per_device: full.and_then(|full| per_device(full.simulator, world.idle.simulator)),
        server_bytes_per_device: full.and_then(|full| per_device(full.instances, world.idle.instances)),
        broker_bytes_per_device: None,
        floor,
        harness: Some(world.harness()),
        unsent: world.outside.unsent(),
        warnings,
        // Instances that ended by themselves are in the history, and counted from there.
        defects: Vec::new(),
    }
}

fn cost(usage: Usage) -> ProcessCost {
    ProcessCost {
        cpu_s: usage.cpu.as_secs_f64(),
        rss_peak_kib: usage.rss_peak_kib,
    }
}

/// Ends everything: first the history, then the instances, then what they left in the broker, then the broker.
async fn end(world: RunLoop, broker: &MessageBroker) -> Result<(), EnvironmentError> {
    let RunLoop {
        recorder,
        mut instances,
        mut children,
        northbound,
        canary,
        ..
    } = world;
    recorder.finish()?;
    drop(northbound);
    instances.terminate();
    if timeout(STOP_LIMIT, all_down(&mut instances, &mut children))
        .await
        .is_err()
    {
        instances.kill();
        // SIGKILL cannot be refused, so this ends.
        all_down(&mut instances, &mut children).await;
    }
    canary.remove().await;
    let cleared = broker.clear().await;
    cleared.map_err(|error| EnvironmentError::new(format!("the run's keys could not be removed: {error}")))
}

async fn all_down(instances: &mut Instances, children: &mut mpsc::UnboundedReceiver<ChildEvent>) {
    while !instances.all_down() {
        let Some(report) = children.recv().await else {
            return;
        };
        instances.handle(report);
    }
}
