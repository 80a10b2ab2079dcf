//! `[[fault]]`: what goes wrong, and when.
//!
//! In: the table. Out: a typed [`Fault`]. A key that means nothing for a kind of fault is an error.

use std::time::Duration;

use super::decode::{MAX_INSTANCES, network, positive};
use super::document::Value;
use super::section::Section;
use super::units::parse_duration;
use super::*;

/// What is lost is written down for as long.
const MAX_FORGOTTEN: Duration = Duration::from_secs(60);
/// An instance makes far fewer outputs in the time for which a fault waits for them.
const MAX_OUTPUTS: i64 = 10_000;

/// `fault.connection`
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Connections {
    /// The one for calls; of the back end, the one that publishes.
    Command,
    /// The one that listens.
    Subscriber,
    /// Both.
    Both,
}

impl Connections {
    /// True if a connection that listens, or one that does not, is among them.
    pub fn include(self, listens: bool) -> bool {
        match self {
            Connections::Command => !listens,
            Connections::Subscriber => listens,
            Connections::Both => true,
        }
    }
}

/// `fault.keeps`
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Everything that was executed.
    All,
    /// Nothing.
    Nothing,
    /// Everything but what was executed in this last time.
    AllBut(Duration),
}

/// One `[[fault]]`; what its network does not say is as in `base`.
pub(super) fn fault(section: &Section<'_>, base: &Network) -> Fault {
    for key in ["at", "do"] {
        if section.get(key).is_none() {
            section.missing(key);
        }
    }
    let name = section.choice("do", "kill");
    let action = match name {
        "stop" => FaultAction::Stop,
        "restart" => FaultAction::Restart,
        "pause" => FaultAction::Pause,
        "resume" => FaultAction::Resume,
        "network" => FaultAction::Network(network(section, "network", base)),
        "flow-reset" => FaultAction::FlowReset,
        "reboot" => device_fault(
            section,
            DeviceMood::Reboot {
                off: section.duration("off", Duration::from_secs(1)),
            },
        ),
        "deregister" => device_fault(
            section,
            DeviceMood::Deregister {
                off: section.duration("off", Duration::from_secs(1)),
            },
        ),
        "sleep" => device_fault(
            section,
            DeviceMood::Sleep {
                duration: positive(section, "duration", Duration::from_secs(5)),
            },
        ),
        "nat-rebind" => device_fault(section, DeviceMood::NatRebind),
        _ => broker_fault(name, section).unwrap_or(FaultAction::Kill),
    };
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

/// After how many outputs a fault strikes that takes an instance away.
fn outputs(section: &Section<'_>) -> Option<u32> {
    section.get("outputs")?;
    u32::try_from(section.integer("outputs", 1, 1..=MAX_OUTPUTS)).ok()
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
    let is_network = matches!(action, FaultAction::Network(_));
    let on_devices = matches!(action, FaultAction::Devices(_));
    let on_links = matches!(
        action,
        FaultAction::RedisCut { .. } | FaultAction::RedisSlow { .. }
    );
    let name = action.as_str();
    let keys = [
        ("network", is_network, is_network),
        (
            "instance",
            action.hits_instances(),
            action.hits_instances() && !on_links,
        ),
        ("outputs", action.harmful() && !action.hits_broker(), false),
        ("share", on_devices, false),
        ("devices", on_devices, false),
        ("off", matches!(name, "reboot" | "deregister"), false),
        ("duration", name == "sleep", false),
        ("connection", on_links, false),
        ("half_open", name == "redis-cut", false),
        ("stall", name == "redis-slow", name == "redis-slow"),
        ("keeps", name == "redis-kill", name == "redis-kill"),
        ("output_buffer", name == "redis-slow", false),
    ];
    for (key, belongs, needed) in keys {
        match section.get(key) {
            None if needed => section.missing(key),
            Some(node) if !belongs => {
                let message = format!("`{}` means nothing for do = \"{name}\"", section.path(key));
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
        Value::Integer(index @ 0..MAX_INSTANCES) => Target::Instance(*index as u32),
        Value::Text(text) => match text.as_str() {
            "busiest" => Target::Busiest,
            "random" => Target::Random,
            "steward" => Target::Steward,
            "owner" => Target::Owner,
            "last-faulted" => Target::LastFaulted,
            "all" => Target::All,
            "back-end" if action.can_hit_back_end() => Target::BackEnd,
            id => match (0..MAX_INSTANCES as u32).find(|index| instance_id(*index) == id) {
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

/// The action of a fault of the broker; `None` for the name of another fault.
fn broker_fault(name: &str, section: &Section<'_>) -> Option<FaultAction> {
    match name {
        "redis-cut" => Some(FaultAction::RedisCut {
            connections: connections(section),
            half_open: section.duration("half_open", Duration::ZERO),
        }),
        "redis-slow" => Some(FaultAction::RedisSlow {
            connections: ["instance", "connection"]
                .into_iter()
                .any(|key| section.get(key).is_some())
                .then(|| connections(section)),
            stall: section.duration("stall", Duration::ZERO),
            output_buffer: output_buffer(section),
        }),
        "redis-kill" => Some(FaultAction::RedisKill {
            keeps: keeps(section),
        }),
        "redis-restart" => Some(FaultAction::RedisRestart),
        "partition" => Some(FaultAction::Partition),
        "heal" => Some(FaultAction::Heal),
        _ => None,
    }
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

fn output_buffer(section: &Section<'_>) -> Option<usize> {
    section.get("output_buffer")?;
    usize::try_from(section.integer("output_buffer", 0, 1..=i64::from(u32::MAX))).ok()
}

fn connections(section: &Section<'_>) -> Connections {
    match section.choice("connection", "both") {
        "command" => Connections::Command,
        "subscriber" => Connections::Subscriber,
        _ => Connections::Both,
    }
}
