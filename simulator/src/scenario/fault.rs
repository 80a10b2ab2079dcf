//! `[[fault]]`: what goes wrong, and when.
//!
//! In: the table. Out: a typed [`Fault`]. A key that means nothing for a kind of fault is an error.

use std::time::Duration;

use super::devices::network;
use super::document::Value;
use super::schema::FAULT;
use super::section::Section;
use super::units::parse_duration;
use super::*;
use crate::fault::{DeviceFault, DeviceMood, FaultKind, Keeps};
use crate::history::BACK_END;
use crate::targets::{Client, Connections, DeviceChoice, MAX_INSTANCES, instance_named};

/// What is lost is written down for as long.
const MAX_FORGOTTEN: Duration = Duration::from_secs(60);
/// A clock that jumps farther outruns the times for which the cluster remembers what it must not do again.
const MAX_JUMP: Duration = Duration::from_secs(60);
/// Broken clocks drift by far less.
const MAX_DRIFT: f64 = 0.1;

/// One `[[fault]]`; what its network does not say is as `devices` have it.
pub(super) fn fault(section: &Section<'_>, devices: &Devices) -> Fault {
    for key in ["at", "do"] {
        if section.get(key).is_none() {
            section.missing(key);
        }
    }
    // A name that is none has been complained of.
    let kind = FaultKind::named(section.choice("do", "kill")).unwrap_or(FaultKind::Kill);
    let action = action(kind, section, devices);
    check_keys_of_fault(section, &action);
    let target = if action.hits_instances() {
        target(section, &action)
    } else {
        Target::All
    };
    Fault {
        at: section.duration("at", Duration::ZERO),
        outputs: outputs(section),
        action,
        target,
    }
}

/// What a fault of this kind wants in detail.
fn action(kind: FaultKind, section: &Section<'_>, devices: &Devices) -> FaultAction {
    let off = || section.duration("off", Duration::from_secs(1));
    let duration = || section.positive("duration", Duration::from_secs(5));
    match kind {
        FaultKind::Kill => FaultAction::Kill,
        FaultKind::Stop => FaultAction::Stop,
        FaultKind::Restart => FaultAction::Restart,
        FaultKind::Pause => FaultAction::Pause,
        FaultKind::Resume => FaultAction::Resume,
        FaultKind::Network => FaultAction::Network(networks(section, devices)),
        FaultKind::FlowReset => FaultAction::FlowReset,
        FaultKind::Reboot => device_fault(section, DeviceMood::Reboot { off: off() }),
        FaultKind::Deregister => device_fault(section, DeviceMood::Deregister { off: off() }),
        FaultKind::Sleep => device_fault(section, DeviceMood::Sleep { duration: duration() }),
        FaultKind::NatRebind => device_fault(section, DeviceMood::NatRebind),
        FaultKind::RedisCut => FaultAction::RedisCut {
            connections: connections(section),
            half_open: section.duration("half_open", Duration::ZERO),
        },
        FaultKind::RedisSlow => FaultAction::RedisSlow {
            connections: ["instance", "connection"]
                .into_iter()
                .any(|key| section.get(key).is_some())
                .then(|| connections(section)),
            stall: section.duration("stall", Duration::ZERO),
            output_buffer: output_buffer(section),
        },
        FaultKind::RedisKill => FaultAction::RedisKill {
            keeps: keeps(section),
        },
        FaultKind::RedisRestart => FaultAction::RedisRestart,
        FaultKind::RedisFull => FaultAction::RedisFull { duration: duration() },
        FaultKind::RedisFlush => FaultAction::RedisFlush,
        FaultKind::RedisFailover => FaultAction::RedisFailover {
            lag: lag(section),
            old_master: section.duration("old_master", Duration::ZERO),
            clients: clients(section),
        },
        FaultKind::Partition => FaultAction::Partition,
        FaultKind::Heal => FaultAction::Heal,
        FaultKind::ClockJump => clock_jump(section),
        FaultKind::ClockDrift => FaultAction::ClockDrift {
            of: clock_owner(section),
            rate_ppm: drift(section),
        },
    }
}

/// One for each group of devices.
fn networks(section: &Section<'_>, devices: &Devices) -> Vec<Impairment> {
    let groups = devices.groups.iter();
    groups
        .map(|group| network(section, "network", &group.network))
        .collect()
}

/// After how many outputs a fault strikes that takes an instance away.
fn outputs(section: &Section<'_>) -> Option<u32> {
    section.get("outputs")?;
    u32::try_from(section.integer("outputs", 1)).ok()
}

/// What happens to which devices: `share` or `devices`.
fn device_fault(section: &Section<'_>, mood: DeviceMood) -> FaultAction {
    let devices = match section.integers("devices") {
        Some(devices) => DeviceChoice::These(devices),
        None => DeviceChoice::Share(section.share("share")),
    };
    if section.get("devices").is_some() == section.get("share").is_some() {
        section.problems.add(
            section.place("share"),
            "expected either `share` (such as 0.1) or `devices` (such as [3, 17]): whom the fault hits",
        );
    }
    FaultAction::Devices(DeviceFault { mood, devices })
}

/// Some keys are meant for some faults only, and some faults mean nothing without them.
fn check_keys_of_fault(section: &Section<'_>, action: &FaultAction) {
    let kind = action.kind();
    for key in FAULT.iter().map(|key| key.name) {
        // What is done to the broker itself, or to its clock, is done to no instance and waits for none.
        let declared = match key {
            "instance" | "outputs" if action.hits_broker() => None,
            "instance" if kind.has_key("of").is_some() => Some(true),
            "at" | "do" | "every" => continue,
            key => kind.has_key(key),
        };
        match (section.get(key), declared) {
            (None, Some(true)) => section.missing(key),
            (Some(node), None) => {
                let message = format!("`{}` means nothing for do = \"{kind}\"", section.path(key));
                section.problems.add(&node.origin, message);
            }
            _ => {}
        }
    }
}

fn target(section: &Section<'_>, action: &FaultAction) -> Target {
    let Some(node) = section.get("instance") else {
        return Target::All;
    };
    match &node.value {
        Value::Integer(index) if (0..MAX_INSTANCES.into()).contains(index) => Target::Instance(*index as u32),
        Value::Text(text) => match text.as_str() {
            "busiest" => Target::Busiest,
            "random" => Target::Random,
            "steward" => Target::Steward,
            "owner" => Target::Owner,
            "last-faulted" => Target::LastFaulted,
            "all" => Target::All,
            BACK_END if action.can_hit_back_end() => Target::BackEnd,
            id => match instance_named(id) {
                Some(index) => Target::Instance(index),
                None => {
                    section.wrong(
                        "instance",
                        node,
                        "an id (A, B …), an index, busiest, random, steward, owner, last-faulted or all",
                    );
                    Target::Busiest
                }
            },
        },
        _ => {
            section.wrong(
                "instance",
                node,
                "an id (A, B …), an index from 0, busiest, random, steward, owner, last-faulted or all",
            );
            Target::Busiest
        }
    }
}

/// Whose clock: the broker's unless instances are named.
fn clock_owner(section: &Section<'_>) -> ClockOwner {
    let default = match section.get("instance") {
        Some(_) => "instance",
        None => "redis",
    };
    match section.choice("of", default) {
        "redis" => ClockOwner::Broker,
        _ => ClockOwner::Instances,
    }
}

fn clock_jump(section: &Section<'_>) -> FaultAction {
    let of = clock_owner(section);
    let text = section.text("by", "0s");
    let (back, length) = match text.strip_prefix('-') {
        Some(length) => (true, length),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let length = parse_duration(length).ok().filter(|it| *it <= MAX_JUMP);
    let lawful = length.is_some() && !(back && of == ClockOwner::Instances);
    if let (false, Some(node)) = (lawful, section.get("by")) {
        let expected = match of {
            ClockOwner::Broker => "how far the clock goes on or back, at most 1m: \"10s\" or \"-3s\"",
            ClockOwner::Instances => {
                "how far the clock of an instance goes on (it is CLOCK_BOOTTIME, which never goes back), at most 1m: \"10s\""
            }
        };
        section.wrong("by", node, expected);
    }
    let by_us = length.map_or(0, |it| i64::try_from(it.as_micros()).unwrap_or(0));
    FaultAction::ClockJump {
        of,
        by_us: if back { -by_us } else { by_us },
    }
}

/// `rate` in millionths.
fn drift(section: &Section<'_>) -> i64 {
    let Some(node) = section.get("rate") else { return 0 };
    let rate = match &node.value {
        Value::Integer(number) => *number as f64,
        Value::Number(number) => *number,
        _ => f64::NAN,
    };
    if (-MAX_DRIFT..=MAX_DRIFT).contains(&rate) {
        return (rate * 1e6).round() as i64;
    }
    section.wrong("rate", node, "what the clock gains, as a share from -0.1 to 0.1");
    0
}

fn keeps(section: &Section<'_>) -> Keeps {
    match section.text("keeps", "all").as_str() {
        "all" => Keeps::All,
        "nothing" => Keeps::Nothing,
        text => {
            let last = parse_duration(text).ok().filter(|last| *last <= MAX_FORGOTTEN);
            if let (None, Some(node)) = (last, section.get("keeps")) {
                let expected = "\"all\", \"nothing\" or how much of the end is lost, at most 1m: \"150ms\"";
                section.wrong("keeps", node, expected);
            }
            last.map_or(Keeps::All, Keeps::AllBut)
        }
    }
}

fn lag(section: &Section<'_>) -> Duration {
    let lag = section.duration("lag", Duration::ZERO);
    if let (true, Some(node)) = (lag > MAX_FORGOTTEN, section.get("lag")) {
        section.wrong(
            "lag",
            node,
            "how far the replica is behind, at most 1m: \"200ms\"",
        );
    }
    lag.min(MAX_FORGOTTEN)
}

/// Who stays with the old master, if that is said.
fn clients(section: &Section<'_>) -> Option<Vec<Client>> {
    let node = section.get("clients")?;
    let names = section.texts("clients");
    let clients: Option<Vec<Client>> = names.iter().map(|name| Client::parse(name)).collect();
    if clients.is_none() {
        let expected = "who stays with the old master: ids and back-end, each with both connections or with one of them, such \
                        as [\"A\", \"B command\", \"back-end subscriber\"]";
        section.wrong("clients", node, expected);
    }
    clients
}

fn output_buffer(section: &Section<'_>) -> Option<usize> {
    section.get("output_buffer")?;
    usize::try_from(section.integer("output_buffer", 0)).ok()
}

fn connections(section: &Section<'_>) -> Connections {
    match section.choice("connection", "both") {
        "command" => Connections::Command,
        "subscriber" => Connections::Subscriber,
        _ => Connections::Both,
    }
}
