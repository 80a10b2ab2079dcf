//! What a run is asked to do: the scenario file, typed.
//!
//! In: the text of a TOML file and the `--set` options. Out: a [`Scenario`] in which everything is checked, or a
//! [`ScenarioError`] that names file, line and column, what was found, what was expected and the nearest known name.
//! Nothing that a scenario asks for is silently ignored: what this version cannot do yet is an error too.

mod check;
mod decode;
mod devices;
mod document;
mod draft;
mod error;
mod expectation;
mod fault;
mod load;
pub mod schema;
mod section;
mod units;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::fault::{Fault, FaultAction};
use crate::fleet::Devices;
use crate::history::instance_id;
use crate::load::LoadOptions;
use crate::network::Impairment;
use crate::targets::{ClockOwner, Target};

pub use draft::{Draft, millis, table};
pub use error::{Problem, ScenarioError};
pub use expectation::{
    COUNTS_BY_CODE, Expectation, Limit, Outcome as ExpectationOutcome, value_at as expectation_value,
};
pub use units::{parse_duration, parse_share};

/// What is wrong with the path of an expectation, if anything: said by who knows the report.
pub type WrongPath<'a> = &'a dyn Fn(&Expectation) -> Option<String>;

/// Added to the longer of lease and balancer detection: the failover bound F of the ticket contract.
pub const FAILOVER_MARGIN: Duration = Duration::from_millis(500);

/// One scenario: a question about a cluster, and what is done to answer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Names the report directory; letters, digits, `-` and `_`.
    pub name: String,
    /// The question in one sentence.
    pub question: String,
    /// Decides every random choice of the run.
    pub seed: u64,
    /// From the start of the fleet to the end of the load and fault schedule; the drain follows.
    pub duration: Duration,
    /// After the drain all faults are over, and within this time everything has to be well again; zero: nobody looks.
    pub calm: Duration,
    /// The servers under test.
    pub cluster: Cluster,
    /// The fleet.
    pub devices: Devices,
    /// What stands between fleet and cluster.
    pub balancer: Balancer,
    /// What the back end asks for.
    pub load: Vec<LoadOptions>,
    /// What goes wrong, in the order of time.
    pub fault: Vec<Fault>,
    /// The pass/fail line.
    pub expect: Vec<Expectation>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
    /// The file name, as in messages.
    pub file: String,
    /// The text of the file, as it goes into the history and the report directory.
    pub text: String,
    /// The `--set` options in force, `key=value`.
    pub overrides: Vec<String>,
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// How many instances; their ids are [`Cluster::instance_ids`].
    pub instances: u32,
    /// Which broker.
    pub redis: RedisChoice,
    /// How long a member lives without renewing.
    pub lease: Duration,
    /// Put before every channel name.
    pub channel_prefix: String,
    /// The log filter of the instances, as in `server --log`.
    pub log: String,
    /// Further arguments of every instance, passed on as they are.
    pub arguments: Vec<String>,
}

/// `cluster.redis`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisChoice {
    /// `valkey-server` or `redis-server` from PATH, else the embedded broker.
    Auto,
    /// The embedded broker.
    Embedded,
    /// A running one: `redis://host:port/db`.
    Url(String),
}

/// `[balancer]`
#[derive(Clone, Debug, PartialEq)]
pub struct Balancer {
    /// How an instance is chosen for a datagram.
    pub policy: BalancerPolicy,
    /// How long a silent flow stays with its instance.
    pub flow_timeout: Duration,
    /// The health check.
    pub health: HealthCheck,
    /// What happens when no instance is healthy.
    pub unhealthy: Unhealthy,
}

/// `balancer.unhealthy`
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Unhealthy {
    /// All instances get traffic: a check that finds everything dead is more likely wrong than right.
    FailOpen,
    /// None does: datagrams are dropped.
    FailClosed,
}

/// `balancer.policy`
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BalancerPolicy {
    /// A flow stays with the instance that the hash of its source address chose.
    SourceHash,
    /// Each datagram to the next instance.
    RoundRobin,
    /// Each datagram to an instance drawn at random.
    Random,
}

impl BalancerPolicy {
    const ALL: [BalancerPolicy; 3] = [
        BalancerPolicy::SourceHash,
        BalancerPolicy::RoundRobin,
        BalancerPolicy::Random,
    ];
    const NAMES: [&'static str; 3] = [
        Self::ALL[0].as_str(),
        Self::ALL[1].as_str(),
        Self::ALL[2].as_str(),
    ];

    /// As in the scenario file.
    pub const fn as_str(self) -> &'static str {
        match self {
            BalancerPolicy::SourceHash => "source-hash",
            BalancerPolicy::RoundRobin => "round-robin",
            BalancerPolicy::Random => "random",
        }
    }

    fn named(name: &str) -> BalancerPolicy {
        let known = Self::ALL.into_iter().find(|policy| policy.as_str() == name);
        known.expect("the schema has these names only")
    }
}

impl Unhealthy {
    const ALL: [Unhealthy; 2] = [Unhealthy::FailOpen, Unhealthy::FailClosed];
    const NAMES: [&'static str; 2] = [Self::ALL[0].as_str(), Self::ALL[1].as_str()];

    /// As in the scenario file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unhealthy::FailOpen => "fail-open",
            Unhealthy::FailClosed => "fail-closed",
        }
    }

    fn named(name: &str) -> Unhealthy {
        let known = Self::ALL.into_iter().find(|unhealthy| unhealthy.as_str() == name);
        known.expect("the schema has these names only")
    }
}

/// `balancer.health`
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// Between two probes of an instance.
    pub interval: Duration,
    /// So many failures in a row take it out.
    pub failures: u32,
}

impl Scenario {
    /// Reads a scenario; `file` is the name that messages carry.
    pub fn parse(text: &str, file: &str) -> Result<Scenario, ScenarioError> {
        Self::parse_with(text, file, &[])
    }

    /// Reads a scenario whose `[expect]` may name what `wrong_path` has nothing against: where a report's paths are known.
    pub fn parse_knowing(
        text: &str,
        file: &str,
        overrides: &[String],
        wrong_path: WrongPath<'_>,
    ) -> Result<Scenario, ScenarioError> {
        let document = document::Document::read(text, file, overrides)?;
        decode::scenario(&document, wrong_path)
    }

    /// Reads a scenario with `--set` options (`devices.count=5000`) laid over the file before it is typed.
    pub fn parse_with(text: &str, file: &str, overrides: &[String]) -> Result<Scenario, ScenarioError> {
        Self::parse_knowing(text, file, overrides, &|_| None)
    }

    /// The file as a tree, with the `--set` options in it: for those who write another file like it.
    pub fn tree(&self) -> toml::Table {
        let document = document::Document::read(&self.text, &self.file, &self.overrides);
        document
            .expect("the scenario was read from this text")
            .root
            .plain()
    }

    /// Every network that a device has at some time.
    pub fn networks(&self) -> impl Iterator<Item = &Impairment> {
        let changed = self.fault.iter().flat_map(|fault| match &fault.action {
            FaultAction::Network(networks) => networks.as_slice(),
            _ => &[],
        });
        let first = self.devices.groups.iter().map(|group| &group.network);
        first.chain(changed)
    }

    /// How long the balancer takes to see that an instance is gone.
    pub fn detection(&self) -> Duration {
        self.balancer.health.interval * self.balancer.health.failures
    }

    /// What only the virtual world can do of this scenario, as in the file; `None` if the real one can do it all.
    pub fn needs_virtual_world(&self) -> Option<String> {
        if !self.calm.is_zero() {
            return Some("`calm`".to_owned());
        }
        self.fault.iter().find_map(|fault| {
            let key = match fault {
                Fault { outputs: Some(_), .. } => "outputs",
                Fault {
                    target: Target::Steward,
                    ..
                } => "instance = \"steward\"",
                Fault { action, .. } if action.needs_virtual_world() => "do",
                _ => return None,
            };
            let at = units::show_duration(fault.at);
            Some(format!("`{key}` of the fault `{}` at {at}", fault.action.kind()))
        })
    }

    /// F of the ticket contract: within this time after a fault the cluster serves again.
    pub fn failover_bound(&self) -> Duration {
        self.cluster.lease.max(self.detection()) + FAILOVER_MARGIN
    }

    /// How much later than its timeout a ticket may end: F, and what the broker's clock is set back.
    pub fn patience(&self) -> Duration {
        self.failover_bound() + self.set_back()
    }

    /// By how much the deadlines that the broker keeps come later because its clock is set back, or runs slow.
    fn set_back(&self) -> Duration {
        let back = self.fault.iter().map(|fault| match fault.action {
            FaultAction::ClockJump {
                of: ClockOwner::Broker,
                by_us,
            } => Duration::from_micros(by_us.min(0).unsigned_abs()),
            FaultAction::ClockDrift {
                of: ClockOwner::Broker,
                rate_ppm,
            } => self.duration.mul_f64(rate_ppm.min(0).unsigned_abs() as f64 / 1e6),
            _ => Duration::ZERO,
        });
        back.sum()
    }
}

impl Cluster {
    /// The ids of the instances: `A`, `B` … `Z`, then `I26`, `I27` …
    pub fn instance_ids(&self) -> Vec<String> {
        (0..self.instances).map(instance_id).collect()
    }
}
