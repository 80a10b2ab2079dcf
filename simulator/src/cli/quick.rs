//! `simulator --devices 100 --rate 50 --kill-at 5s`: a run without a scenario file, for who wants to try something at once.
//!
//! In: a few options. Out: the text of a scenario, which is read like any other and written into the report directory.

use std::time::Duration;

use clap::Args;
use toml::{Table, Value};

use crate::scenario::{Draft, millis, parse_duration, table};

/// A killed instance is started again so much later.
const RESTART: Duration = Duration::from_secs(5);
/// The devices register before the load begins.
const START: Duration = Duration::from_secs(2);
/// How long a run lasts, or what follows a kill.
const LENGTH: Duration = Duration::from_secs(15);

/// What a run without a scenario file is like.
#[derive(Clone, Debug, Args)]
#[group(id = "quick", multiple = true, conflicts_with = "scenario")]
pub struct Quick {
    /// Without a scenario file: so many devices, 100 if only other options are given.
    #[arg(long, value_name = "N")]
    devices: Option<u32>,
    /// Without a scenario file: so many reads per second, otherwise 50.
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Without a scenario file: the busiest instance is killed then, and started again 5 s later.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    kill_at: Option<Duration>,
    /// Without a scenario file: how long the run lasts, otherwise 15 s, counted from the kill if there is one.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Without a scenario file: so many instances, otherwise 3.
    #[arg(long, value_name = "N")]
    instances: Option<u32>,
}

impl Quick {
    /// The scenario file that they amount to.
    pub fn text(&self) -> String {
        let devices = self.devices.unwrap_or(100);
        let end = self.kill_at.unwrap_or_default() + LENGTH;
        let of = |value: f64| Value::from(value);
        let network = table([("latency", "5ms".into()), ("jitter", "2ms".into())]);
        let load = table([
            ("kind", "read".into()),
            ("rate", of(self.rate.unwrap_or(50.0))),
            ("start", millis(START)),
        ]);
        let root = table([
            ("name", "quick".into()),
            ("question", "What does the cluster do with this?".into()),
            ("duration", millis(self.duration.unwrap_or(end))),
            (
                "cluster",
                table([("instances", self.instances.unwrap_or(3).into())]).into(),
            ),
            (
                "devices",
                table([
                    ("count", devices.into()),
                    (
                        "register_rate",
                        of(f64::from(devices.max(2)) / START.as_secs_f64()),
                    ),
                    ("network", network.into()),
                ])
                .into(),
            ),
            ("load", Value::Array(vec![load.into()])),
            ("fault", Value::Array(self.faults())),
            ("expect", expectations().into()),
        ]);
        Draft { root }.render()
    }

    fn faults(&self) -> Vec<Value> {
        let fault = |at: Duration, what: &str, whom: &str| {
            table([("at", millis(at)), ("do", what.into()), ("instance", whom.into())]).into()
        };
        let kill = self.kill_at.map(|at| fault(at, "kill", "busiest"));
        let end = self.duration.unwrap_or(Duration::MAX);
        let restart = self.kill_at.map(|at| at + RESTART).filter(|at| *at < end);
        let restart = restart.map(|at| fault(at, "restart", "last-faulted"));
        kill.into_iter().chain(restart).collect()
    }
}

fn expectations() -> Table {
    table([("tickets.violations", 0.into()), ("events.violations", 0.into())])
}
