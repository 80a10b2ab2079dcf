//! The faults: the one table of all kinds, and what a fault of a kind wants in detail.
//!
//! What a kind is called, which keys it has in a scenario, whom it takes service from and until when, whether it leaves the
//! devices alone and which worlds can do it is declared once, in [`FAULTS`]. The reader of scenarios, their schema, both
//! worlds and the checker go by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::network::Impairment;
use crate::targets::{Client, ClockOwner, Connections, DeviceChoice, Target};

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
    /// Whom it takes service from; none: it gives service back, or nobody is harmed.
    pub harm: Option<Harm>,
    /// True if each device stays as it is, and so does what stands between it and the cluster.
    pub spares_devices: bool,
    /// Where it can be done.
    pub worlds: Worlds,
    /// Its keys in a scenario, beside `at` and `do`; those with `!` have to be there.
    pub keys: &'static [&'static str],
}

/// One table for the kinds and what is to be known of each: service of whom it takes until when, what becomes of the
/// devices, the worlds, the keys.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal:
       $($whom:ident until $until:expr)?, $devices:ident, $worlds:ident, [$($key:literal),*];)*) => {
        /// A kind of fault, named as in the scenario file and in the history.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum FaultKind {
            $($(#[doc = $doc])* $kind,)*
        }

        /// All kinds of faults, in the order of [`FaultKind`].
        pub const FAULTS: [Declaration; [$($name),*].len()] = [$(Declaration {
            kind: FaultKind::$kind,
            name: $name,
            harm: harm(&[$(Harm { whom: Victim::$whom, until: $until })?]),
            spares_devices: $devices,
            worlds: Worlds::$worlds,
            keys: &[$($key),*],
        }),*];
    };
}

const fn harm(declared: &[Harm]) -> Option<Harm> {
    match declared {
        [] => None,
        [harm, ..] => Some(*harm),
    }
}

/// Devices and their network stay as they are.
const SPARED: bool = true;
/// They do not, or may learn of it.
const TOUCHED: bool = false;

faults! {
    /// SIGKILL
    Kill = "kill": Instances until Until::TakenOver, SPARED, Both, ["instance!", "outputs"];
    /// SIGSTOP
    Pause = "pause": Instances until Until::TakenOver, SPARED, Both, ["instance!", "outputs"];
    /// SIGCONT
    Resume = "resume": , SPARED, Both, ["instance!"];
    /// SIGTERM
    Stop = "stop": Instances until Until::TakenOver, SPARED, Both, ["instance!", "outputs"];
    /// Start again what was killed or stopped, under the same id.
    Restart = "restart": , SPARED, Both, ["instance!"];
    /// From now on the devices' network does this.
    Network = "network": , SPARED, Both, ["network!"];
    /// The balancer forgets its flows and hashes anew.
    FlowReset = "flow-reset": , SPARED, Both, [];
    /// Devices de-register, and register again later.
    Deregister = "deregister": Devices until Until::Lasts, TOUCHED, Both, ["share", "devices", "off"];
    /// Devices get other source addresses.
    NatRebind = "nat-rebind": Devices until Until::TakenOver, TOUCHED, Both, ["share", "devices"];
    /// Devices are switched off and on, and lose their memory.
    Reboot = "reboot": Devices until Until::Lasts, TOUCHED, Both, ["share", "devices", "off"];
    /// Devices hear and say nothing for a while.
    Sleep = "sleep": Devices until Until::Lasts, TOUCHED, Both, ["share", "devices", "duration"];
    /// Connections to the broker break.
    RedisCut = "redis-cut": Broker until Until::Lasts, TOUCHED, Virtual, ["instance", "outputs", "connection", "half_open"];
    /// Nothing passes on connections to the broker for a while, then all of it.
    RedisSlow = "redis-slow": Broker until Until::Lasts, TOUCHED, Virtual,
        ["instance", "outputs", "connection", "stall!", "output_buffer"];
    /// Everything between an instance and the rest of the world vanishes, or waits in its TCP connections.
    Partition = "partition": Instances until Until::TakenOver, TOUCHED, Virtual, ["instance!", "outputs"];
    /// Ends a partition.
    Heal = "heal": , TOUCHED, Virtual, ["instance!"];
    /// The broker dies, and all connections to it with it.
    RedisKill = "redis-kill": Broker until Until::Undone(FaultKind::RedisRestart), TOUCHED, Virtual, ["keeps!"];
    /// The broker runs again.
    RedisRestart = "redis-restart": , TOUCHED, Virtual, [];
    /// A replica takes over from the broker's master.
    RedisFailover = "redis-failover": Broker until Until::Lasts, TOUCHED, Virtual, ["lag!", "old_master", "clients"];
    /// The broker has no memory left: it refuses what begins something.
    RedisFull = "redis-full": Broker until Until::Lasts, TOUCHED, Virtual, ["duration!"];
    /// The broker forgets everything, and all connections stand (FLUSHALL).
    RedisFlush = "redis-flush": Broker until Until::TakenOver, TOUCHED, Virtual, [];
    /// A clock is set.
    ClockJump = "clock-jump": Broker until Until::TakenOver, TOUCHED, Virtual, ["of", "instance", "by!"];
    /// A clock runs fast or slow from now on.
    ClockDrift = "clock-drift": , TOUCHED, Virtual, ["of", "instance", "rate!"];
}

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

    /// Whether it has this key in a scenario, and whether that has to be there.
    pub fn has_key(self, key: &str) -> Option<bool> {
        let mut keys = self.declaration().keys.iter();
        keys.find_map(|declared| match declared.strip_suffix('!') {
            Some(needed) => (needed == key).then_some(true),
            None => (*declared == key).then_some(false),
        })
    }

    /// Whom it takes service from, and until when; none: it gives service back, or nobody is harmed.
    pub fn harm(self) -> Option<Harm> {
        self.declaration().harm
    }

    /// True if it is meant for instances that run, false if for those that do not.
    pub fn wants_running(self) -> bool {
        self != FaultKind::Restart
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

/// One `[[fault]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When, from the start of the run.
    pub at: Duration,
    /// What.
    pub action: FaultAction,
    /// To which instances; [`Target::All`] for what hits something else ([`FaultAction::hits_instances`]).
    pub target: Target,
    /// Not at once, but when the instance is about to make its n-th output from now on: between two outputs. Only
    /// the virtual world can.
    pub outputs: Option<u32>,
}

/// `fault.do`
#[derive(Clone, Debug, PartialEq)]
pub enum FaultAction {
    /// SIGKILL
    Kill,
    /// SIGTERM
    Stop,
    /// Start again what was killed or stopped, under the same id.
    Restart,
    /// SIGSTOP
    Pause,
    /// SIGCONT
    Resume,
    /// From now on the network does this to the devices of each group.
    Network(Vec<Impairment>),
    /// The balancer forgets its flows and hashes anew.
    FlowReset,
    /// Something happens to devices.
    Devices(DeviceFault),
    /// Connections to the broker break.
    RedisCut {
        /// Which.
        connections: Connections,
        /// So much later the client notices.
        half_open: Duration,
    },
    /// For a time nothing passes on connections to the broker, then all of it.
    RedisSlow {
        /// Which; none: the broker itself does nothing, for nobody.
        connections: Option<Connections>,
        /// How long.
        stall: Duration,
        /// Bytes that the broker holds for a subscriber meanwhile before it drops it; none: as many as Redis does.
        output_buffer: Option<usize>,
    },
    /// The broker dies, and all connections to it with it.
    RedisKill {
        /// What it will know when it runs again.
        keeps: Keeps,
    },
    /// The broker runs again.
    RedisRestart,
    /// The broker has no memory left: it refuses what begins something.
    RedisFull {
        /// How long.
        duration: Duration,
    },
    /// The broker forgets everything, and all connections stand (FLUSHALL).
    RedisFlush,
    /// A replica takes over from the broker's master.
    RedisFailover {
        /// What was executed in this last time is not in the replica.
        lag: Duration,
        /// So long the old master speaks on.
        old_master: Duration,
        /// To whom; none: to the first half of the instances.
        clients: Option<Vec<Client>>,
    },
    /// Everything between an instance and the rest of the world vanishes, or waits in its TCP connections.
    Partition,
    /// Ends a partition.
    Heal,
    /// A clock is set.
    ClockJump {
        /// Whose.
        of: ClockOwner,
        /// So many microseconds further on, or back.
        by_us: i64,
    },
    /// A clock runs fast or slow from now on.
    ClockDrift {
        /// Whose.
        of: ClockOwner,
        /// What it gains in a million microseconds.
        rate_ppm: i64,
    },
}

/// What happens to which devices.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceFault {
    /// What.
    pub mood: DeviceMood,
    /// To which of those that are switched on.
    pub devices: DeviceChoice,
}

/// What can happen to a device.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DeviceMood {
    /// It loses its memory, what it would recognise as a copy too, and registers when it was off for so long.
    Reboot {
        /// How long.
        off: Duration,
    },
    /// It hears and says nothing for so long.
    Sleep {
        /// How long.
        duration: Duration,
    },
    /// It de-registers, and registers again after so long.
    Deregister {
        /// How long.
        off: Duration,
    },
    /// It gets another source address, and nothing that is sent to the old one reaches it.
    NatRebind,
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

impl FaultAction {
    /// Of which kind it is.
    pub fn kind(&self) -> FaultKind {
        match self {
            FaultAction::Kill => FaultKind::Kill,
            FaultAction::Stop => FaultKind::Stop,
            FaultAction::Restart => FaultKind::Restart,
            FaultAction::Pause => FaultKind::Pause,
            FaultAction::Resume => FaultKind::Resume,
            FaultAction::Network(_) => FaultKind::Network,
            FaultAction::FlowReset => FaultKind::FlowReset,
            FaultAction::Devices(fault) => match fault.mood {
                DeviceMood::Reboot { .. } => FaultKind::Reboot,
                DeviceMood::Sleep { .. } => FaultKind::Sleep,
                DeviceMood::NatRebind => FaultKind::NatRebind,
                DeviceMood::Deregister { .. } => FaultKind::Deregister,
            },
            FaultAction::RedisCut { .. } => FaultKind::RedisCut,
            FaultAction::RedisSlow { .. } => FaultKind::RedisSlow,
            FaultAction::RedisKill { .. } => FaultKind::RedisKill,
            FaultAction::RedisRestart => FaultKind::RedisRestart,
            FaultAction::RedisFull { .. } => FaultKind::RedisFull,
            FaultAction::RedisFlush => FaultKind::RedisFlush,
            FaultAction::RedisFailover { .. } => FaultKind::RedisFailover,
            FaultAction::Partition => FaultKind::Partition,
            FaultAction::Heal => FaultKind::Heal,
            FaultAction::ClockJump { .. } => FaultKind::ClockJump,
            FaultAction::ClockDrift { .. } => FaultKind::ClockDrift,
        }
    }

    /// How many microseconds it lasts by itself; none: to the end, until another fault undoes it, or no time at all.
    pub fn lasts_us(&self) -> Option<u64> {
        let time = match self {
            FaultAction::RedisCut { half_open: time, .. }
            | FaultAction::RedisSlow { stall: time, .. }
            | FaultAction::RedisFull { duration: time }
            | FaultAction::RedisFailover { old_master: time, .. } => *time,
            FaultAction::Devices(DeviceFault { mood, .. }) => match mood {
                DeviceMood::Reboot { off: time }
                | DeviceMood::Deregister { off: time }
                | DeviceMood::Sleep { duration: time } => *time,
                DeviceMood::NatRebind => return None,
            },
            _ => return None,
        };
        u64::try_from(time.as_micros()).ok().filter(|time| *time > 0)
    }

    /// True if it hits instances, so that `fault.instance` says which.
    pub fn hits_instances(&self) -> bool {
        !matches!(
            self,
            FaultAction::Network(_) | FaultAction::FlowReset | FaultAction::Devices(_)
        ) && !self.hits_broker()
    }

    /// True if it takes service away, false if it gives it back (as in `Event::Fault`).
    pub fn harmful(&self) -> bool {
        self.kind().harms_cluster()
    }

    /// True if processes and sockets of a real machine are not enough to do it.
    pub fn needs_virtual_world(&self) -> bool {
        self.kind().declaration().worlds == Worlds::Virtual
    }

    /// True if the back end's own connections can be its target.
    pub fn can_hit_back_end(&self) -> bool {
        matches!(self, FaultAction::RedisCut { .. } | FaultAction::RedisSlow { .. })
    }

    /// True if it happens to the broker itself, whoever is connected.
    pub fn hits_broker(&self) -> bool {
        matches!(
            self,
            FaultAction::RedisSlow {
                connections: None,
                ..
            } | FaultAction::RedisKill { .. }
                | FaultAction::RedisRestart
                | FaultAction::RedisFull { .. }
                | FaultAction::RedisFlush
                | FaultAction::RedisFailover { .. }
                | FaultAction::ClockJump {
                    of: ClockOwner::Broker,
                    ..
                }
                | FaultAction::ClockDrift {
                    of: ClockOwner::Broker,
                    ..
                }
        )
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
