//! The kinds of faults, and what is to be known of each: the one table that the reader of scenarios, the worlds and the
//! checker go by.
//!
//! What a fault of a scenario wants in detail (how long, whom) is a [`FaultAction`](crate::scenario::FaultAction).

use serde::{Deserialize, Serialize};

/// A kind of fault, named as in the scenario file and in the history.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL
    Kill,
    /// SIGSTOP
    Pause,
    /// SIGCONT
    Resume,
    /// SIGTERM
    Stop,
    /// Start again what was killed or stopped, under the same id.
    Restart,
    /// From now on the devices' network does this.
    Network,
    /// The balancer forgets its flows and hashes anew.
    FlowReset,
    /// Devices de-register, and register again later.
    Deregister,
    /// Devices get other source addresses.
    NatRebind,
    /// Devices are switched off and on, and lose their memory.
    Reboot,
    /// Devices hear and say nothing for a while.
    Sleep,
    /// Connections to the broker break.
    RedisCut,
    /// Nothing passes on connections to the broker for a while, then all of it.
    RedisSlow,
    /// Everything between an instance and the rest of the world vanishes, or waits in its TCP connections.
    Partition,
    /// Ends a partition.
    Heal,
    /// The broker dies, and all connections to it with it.
    RedisKill,
    /// The broker runs again.
    RedisRestart,
    /// A replica takes over from the broker's master.
    RedisFailover,
    /// The broker has no memory left: it refuses what begins something.
    RedisFull,
    /// The broker forgets everything, and all connections stand (FLUSHALL).
    RedisFlush,
    /// A clock is set.
    ClockJump,
    /// A clock runs fast or slow from now on.
    ClockDrift,
}

/// What a fault takes service away from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Instances, and with them those whom they serve.
    Instances,
    /// The broker, and with it everybody; or the way to it.
    Broker,
    /// Devices; the cluster is as it was.
    Devices,
}

/// When a fault is over, so that the cluster has F from then on to serve again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// At once: the others take over, or nothing stays broken.
    TakenOver,
    /// When the time is over that the fault itself names ([`Event::Fault`](crate::history::Event::Fault), `lasts_us`); at
    /// once if it names none.
    Lasts,
    /// When this fault undoes it.
    Undone(FaultKind),
}

/// Whom a fault takes service from, and until when.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// Whom.
    pub whom: Victim,
    /// Until when.
    pub until: Until,
}

/// Where a fault can be done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Worlds {
    /// Wherever there are processes and sockets.
    Both,
    /// It needs a broker, a network or a clock that can be told what to do.
    Virtual,
}

/// What is to be known of a kind of fault.
#[derive(Debug)]
pub struct Declaration {
    /// Of which kind.
    pub kind: FaultKind,
    /// As in the scenario file and in the history.
    pub name: &'static str,
    /// Whom it takes service from; none: it gives service back, or nobody suffers.
    pub harm: Option<Harm>,
    /// True if each device stays as it is, and so does what stands between it and the cluster.
    pub spares_devices: bool,
    /// Where it can be done.
    pub worlds: Worlds,
}

const fn harm(whom: Victim, until: Until) -> Option<Harm> {
    Some(Harm { whom, until })
}

const fn declare(
    kind: FaultKind,
    name: &'static str,
    harm: Option<Harm>,
    spares_devices: bool,
    worlds: Worlds,
) -> Declaration {
    Declaration {
        kind,
        name,
        harm,
        spares_devices,
        worlds,
    }
}

use FaultKind as F;
use Until::{Lasts, TakenOver, Undone};
use Victim::{Broker, Devices, Instances};
use Worlds::{Both, Virtual};

/// All kinds of faults, in the order of [`FaultKind`].
pub const FAULTS: [Declaration; 22] = [
    declare(F::Kill, "kill", harm(Instances, TakenOver), true, Both),
    declare(F::Pause, "pause", harm(Instances, TakenOver), true, Both),
    declare(F::Resume, "resume", None, true, Both),
    declare(F::Stop, "stop", harm(Instances, TakenOver), true, Both),
    declare(F::Restart, "restart", None, true, Both),
    declare(F::Network, "network", None, true, Both),
    declare(F::FlowReset, "flow-reset", None, true, Both),
    declare(F::Deregister, "deregister", harm(Devices, Lasts), false, Both),
    declare(F::NatRebind, "nat-rebind", harm(Devices, TakenOver), false, Both),
    declare(F::Reboot, "reboot", harm(Devices, Lasts), false, Both),
    declare(F::Sleep, "sleep", harm(Devices, Lasts), false, Both),
    declare(F::RedisCut, "redis-cut", harm(Broker, Lasts), false, Virtual),
    declare(F::RedisSlow, "redis-slow", harm(Broker, Lasts), false, Virtual),
    declare(
        F::Partition,
        "partition",
        harm(Instances, TakenOver),
        false,
        Virtual,
    ),
    declare(F::Heal, "heal", None, false, Virtual),
    declare(
        F::RedisKill,
        "redis-kill",
        harm(Broker, Undone(F::RedisRestart)),
        false,
        Virtual,
    ),
    declare(F::RedisRestart, "redis-restart", None, false, Virtual),
    declare(
        F::RedisFailover,
        "redis-failover",
        harm(Broker, Lasts),
        false,
        Virtual,
    ),
    declare(F::RedisFull, "redis-full", harm(Broker, Lasts), false, Virtual),
    declare(
        F::RedisFlush,
        "redis-flush",
        harm(Broker, TakenOver),
        false,
        Virtual,
    ),
    declare(
        F::ClockJump,
        "clock-jump",
        harm(Broker, TakenOver),
        false,
        Virtual,
    ),
    declare(F::ClockDrift, "clock-drift", None, false, Virtual),
];

/// The names of all kinds of faults, as in the scenario file.
pub const FAULT_NAMES: [&str; FAULTS.len()] = {
    let mut names = [""; FAULTS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = FAULTS[index].name;
        index += 1;
    }
    names
};

impl FaultKind {
    /// What is to be known of it.
    pub fn declaration(self) -> &'static Declaration {
        &FAULTS[self as usize]
    }

    /// As in the scenario file and in the history.
    pub fn as_str(self) -> &'static str {
        self.declaration().name
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<FaultKind> {
        let known = FAULTS.iter().find(|fault| fault.name == name);
        known.map(|fault| fault.kind)
    }

    /// Whom it takes service from, and until when; none: it gives service back, or nobody suffers.
    pub fn harm(self) -> Option<Harm> {
        self.declaration().harm
    }

    /// True if it takes service of the cluster away.
    pub fn harms_cluster(self) -> bool {
        self.harm().is_some_and(|harm| harm.whom != Victim::Devices)
    }

    /// True if each device stays as it is, and so does what stands between it and the cluster.
    pub fn spares_devices(self) -> bool {
        self.declaration().spares_devices
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_at_its_place_in_the_table_under_the_name_of_the_history() {
        for (index, fault) in FAULTS.iter().enumerate() {
            assert_eq!(fault.kind as usize, index, "{}", fault.name);
            let in_history = serde_json::to_value(fault.kind).unwrap();
            assert_eq!(in_history, fault.name);
            assert_eq!(FaultKind::named(fault.name), Some(fault.kind));
        }
    }
}
