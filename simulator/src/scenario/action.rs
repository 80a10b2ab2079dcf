//! What can go wrong, one kind of fault each, and what is to be known of a kind: its name, whom it hits, whether it takes
//! service away, which world can do it.

use std::time::Duration;

use super::{Client, ClockOwner, Connections, Keeps};
use crate::fault::{FaultKind, Worlds};
use crate::network::Impairment;

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

/// Which devices a fault hits.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceChoice {
    /// A share of them, drawn by the seed; at least one.
    Share(f64),
    /// These, by number.
    These(Vec<u32>),
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
