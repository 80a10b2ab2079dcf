//! Draws what goes wrong: faults near each other in time, to whom, and how everybody is back in the end.
//!
//! In: a generator, and which kinds a seed has. Out: `[[fault]]` tables.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use toml::{Table, Value};

use super::flavour::Flavour;
use crate::history::instance_id;
use crate::scenario::{Draft, Scenario, millis, table};
use crate::seed::pick;

/// Most faults, without those that give back what they took.
const FAULTS: u32 = 6;
/// Most outputs that a fault lets pass before it strikes between two of them.
const OUTPUTS: u32 = 12;
/// The first fault, in milliseconds after the start: earliest and latest.
const FIRST_MS: (u64, u64) = (1200, 3000);
/// What the lease of a member can bear is a twentieth; two clocks may drift apart.
const DRIFTS: [f64; 4] = [-0.02, -0.005, 0.005, 0.02];
/// An instance that is asked to stop has stopped after so long, unless devices keep it waiting.
const STOP_MS: u64 = 1500;

/// How long a long pause lasts, in milliseconds: longer than EXCHANGE_LIFETIME (RFC 7252, 4.8.2), longer than outcomes are
/// retained (`--ticket-retention`, 5 min).
const LONG_PAUSE_MS: [u64; 3] = [250_000, 302_000, 320_000];
/// Around a long pause the load goes on for so long.
const AROUND_MS: u64 = 2500;

/// What an instance is in the course of a schedule.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Up,
    Down,
    Paused,
}

/// Faults so far, and when the next one comes.
pub struct Drawing {
    pub random: ChaCha8Rng,
    pub faults: Vec<Value>,
    pub at_ms: u64,
    pub lease_ms: u64,
    states: Vec<State>,
    /// The instance that is not hit, if there is one.
    survivor: Option<usize>,
    /// From when to when nothing is asked, in milliseconds.
    pub quiet: Option<(u64, u64)>,
}

impl Drawing {
    /// Nothing yet.
    pub fn begin(mut random: ChaCha8Rng, instances: usize, lease_ms: u64) -> Drawing {
        let survivor = random.random_bool(0.7).then(|| random.random_range(0..instances));
        Drawing {
            at_ms: random.random_range(FIRST_MS.0..=FIRST_MS.1),
            random,
            faults: Vec::new(),
            lease_ms,
            states: vec![State::Up; instances],
            survivor,
            quiet: None,
        }
    }

    /// Faults of the kinds that a seed has.
    pub fn draw_faults(&mut self, flavour: &Flavour) {
        let kinds = &flavour.kinds;
        let count = self.random.random_range(1..=FAULTS);
        let long = flavour.long.then(|| self.random.random_range(0..count));
        for index in 0..count {
            if long == Some(index) {
                self.pause_long();
                continue;
            }
            match kinds.choose(&mut self.random).copied().unwrap_or("aimed") {
                "network" => {
                    let network = self.draw_network();
                    self.fault("network", [("network", network.into())]);
                }
                "aimed" => self.hit_who_matters(),
                "flow-reset" => self.fault("flow-reset", []),
                kind @ ("reboot" | "sleep" | "nat-rebind" | "deregister") => self.hit_devices(kind),
                kind @ ("redis-cut" | "redis-slow") => self.hit_connections(kind),
                "broker-stall" => self.stall_broker(),
                "redis-kill" => self.kill_broker(),
                "redis-failover" => self.fail_over(),
                "redis-full" => self.fill_broker(),
                "redis-flush" => self.empty_broker(),
                "partition" => self.cut_off(),
                "clock-jump" => self.set_clock(),
                "suspension" => self.suspend(),
                "clock-drift" => self.let_clock_drift(),
                "late-ears" => self.leave_unheard(),
                kind => self.hit_one(kind),
            }
            self.pause_between();
        }
        self.restore();
    }

    /// Everybody is back in the end, so that everything can end. Who was asked to stop takes its time.
    fn restore(&mut self) {
        self.fault("resume", [("instance", "all".into())]);
        self.pause_between();
        self.fault("restart", [("instance", "all".into())]);
        if self.has("redis-kill") {
            self.fault("redis-restart", []);
        }
        if self.has("partition") {
            self.fault("heal", [("instance", "all".into())]);
        }
        if self.has("stop") {
            self.at_ms += STOP_MS;
            self.fault("restart", [("instance", "all".into())]);
        }
    }

    /// Something happens to a few devices, or to most.
    fn hit_devices(&mut self, kind: &str) {
        let share = Value::from(pick(&mut self.random, &[0.1, 0.3, 0.8]));
        let millis = |ms: u64| millis(Duration::from_millis(ms));
        match kind {
            "reboot" | "deregister" => {
                let off = pick(&mut self.random, &[1, 200, 1000]);
                self.fault(kind, [("share", share), ("off", millis(off))]);
            }
            "sleep" => {
                let duration = pick(&mut self.random, &[500, 2000, 5000]);
                self.fault(kind, [("share", share), ("duration", millis(duration))]);
            }
            _ => self.fault(kind, [("share", share)]),
        }
    }

    /// Connections to the broker break or stall: of one instance, of all, of the back end.
    fn hit_connections(&mut self, kind: &str) {
        let lease_ms = self.lease_ms;
        let one = Value::from(i64::try_from(self.random.random_range(0..self.states.len())).unwrap_or(0));
        let whom = match self.random.random_range(0..7) {
            0 => "all".into(),
            1 => "back-end".into(),
            2 => "steward".into(),
            3 => "owner".into(),
            _ => one,
        };
        let connection = pick(&mut self.random, &["command", "subscriber", "both"]);
        let (key, times) = match kind {
            "redis-cut" => ("half_open", [0, 100, 2 * lease_ms, 4 * lease_ms + 2000]),
            _ => ("stall", [20, lease_ms / 2, lease_ms, 3 * lease_ms]),
        };
        let time = millis(Duration::from_millis(pick(&mut self.random, &times)));
        let rest = [("instance", whom), ("connection", connection.into()), (key, time)];
        if kind == "redis-slow" && self.random.random_bool(0.2) {
            let [whom, connection, time] = rest;
            self.fault(kind, [whom, connection, time, ("output_buffer", 1000.into())]);
        } else {
            self.fault(kind, rest);
        }
    }

    /// An instance hears late what is published, and meanwhile another leaves, whose partitions it gets.
    fn leave_unheard(&mut self) {
        let late = i64::try_from(self.random.random_range(0..self.states.len())).unwrap_or(0);
        let stall = pick(&mut self.random, &[20, self.lease_ms / 4, self.lease_ms / 2]);
        self.fault(
            "redis-slow",
            [
                ("instance", late.into()),
                ("connection", "subscriber".into()),
                ("stall", millis(Duration::from_millis(stall))),
            ],
        );
        self.at_ms += self.random.random_range(1..=stall);
        let whom = pick(&mut self.random, &["busiest", "steward", "owner"]);
        self.fault("stop", [("instance", whom.into())]);
    }

    /// The broker does nothing for a while.
    fn stall_broker(&mut self) {
        let lease_ms = self.lease_ms;
        let stall = pick(&mut self.random, &[20, lease_ms / 2, lease_ms, 3 * lease_ms]);
        self.fault("redis-slow", [("stall", millis(Duration::from_millis(stall)))]);
    }

    /// The broker dies, and comes back with all, some or nothing of what it knew.
    fn kill_broker(&mut self) {
        let keeps = pick(&mut self.random, &["all", "all", "5ms", "100ms", "1s", "nothing"]);
        self.fault("redis-kill", [("keeps", keeps.into())]);
        self.pause_between();
        self.fault("redis-restart", []);
    }

    /// The broker has no memory for a while.
    fn fill_broker(&mut self) {
        let lease_ms = self.lease_ms;
        let time = pick(&mut self.random, &[20, lease_ms, 3 * lease_ms, 10_000]);
        self.fault("redis-full", [("duration", millis(Duration::from_millis(time)))]);
    }

    /// The broker forgets everything, and before all have noticed, devices begin anew.
    fn empty_broker(&mut self) {
        self.fault("redis-flush", []);
        if self.random.random_bool(0.5) {
            self.at_ms += self.random.random_range(1..=(self.lease_ms / 4).max(1));
            self.hit_devices("reboot");
        }
    }

    /// The broker's clock is set, a little or by much.
    fn set_clock(&mut self) {
        let lease_ms = self.lease_ms;
        let by = pick(
            &mut self.random,
            &[50, 400, lease_ms, 3 * lease_ms, 20_000, 60_000],
        );
        let sign = pick(&mut self.random, &["", "-"]);
        let text = format!("{sign}{by}ms");
        self.fault("clock-jump", [("by", text.into())]);
    }

    /// The machine of an instance sleeps, and nothing on it notices but the clock.
    fn suspend(&mut self) {
        let lease_ms = self.lease_ms;
        let by = pick(
            &mut self.random,
            &[50, lease_ms / 2, lease_ms, 3 * lease_ms, 60_000],
        );
        let whom = self.any_instance();
        self.fault(
            "clock-jump",
            [("instance", whom), ("by", millis(Duration::from_millis(by)))],
        );
    }

    fn let_clock_drift(&mut self) {
        let rate = Value::from(pick(&mut self.random, &DRIFTS));
        if self.random.random_bool(0.5) {
            self.fault("clock-drift", [("rate", rate)]);
        } else {
            let whom = self.any_instance();
            self.fault("clock-drift", [("instance", whom), ("rate", rate)]);
        }
    }

    /// Mostly one, sometimes all.
    fn any_instance(&mut self) -> Value {
        let one = i64::try_from(self.random.random_range(0..self.states.len())).unwrap_or(0);
        let whom = pick(
            &mut self.random,
            &["busiest", "steward", "owner", "all", "", "", ""],
        );
        if whom.is_empty() { one.into() } else { whom.into() }
    }

    /// A replica takes over; some have not noticed, perhaps with one of their connections only.
    fn fail_over(&mut self) {
        let lease_ms = self.lease_ms;
        let random = &mut self.random;
        let lag = pick(random, &[0, 5, 100, 500, 1000]);
        let old_master = pick(random, &[0, 20, lease_ms / 2, lease_ms, 3 * lease_ms]);
        let instances = (0..self.states.len()).map(|index| instance_id(u32::try_from(index).unwrap_or(0)));
        let stay = |client: String| match random.random_range(0..6) {
            0 | 1 => Some(client),
            2 => Some(client + pick(random, &[" command", " subscriber"])),
            _ => None,
        };
        let clients = instances.chain(["back-end".to_owned()]).filter_map(stay);
        let clients: Vec<Value> = clients.map(Value::from).collect();
        let rest = [("lag", lag), ("old_master", old_master)];
        let [lag, old_master] = rest.map(|(key, ms)| (key, millis(Duration::from_millis(ms))));
        self.fault("redis-failover", [lag, old_master, ("clients", clients.into())]);
    }

    /// Nothing reaches an instance any more, and nothing comes from it, until it is healed.
    fn cut_off(&mut self) {
        let one = i64::try_from(self.random.random_range(0..self.states.len())).unwrap_or(0);
        let whom = pick(&mut self.random, &["busiest", "steward", "owner", ""]);
        let whom = if whom.is_empty() { one.into() } else { whom.into() };
        self.fault("partition", [("instance", whom)]);
        self.pause_between();
        self.fault("heal", [("instance", "last-faulted".into())]);
    }

    /// Whoever has most to do, or all, stop for longer than anybody remembers what was under way.
    fn pause_long(&mut self) {
        let whom = pick(&mut self.random, &["busiest", "steward", "owner", "all"]);
        self.take_away("pause", whom.into());
        let began = self.at_ms;
        self.at_ms += pick(&mut self.random, &LONG_PAUSE_MS);
        self.quiet = Some((began + AROUND_MS, self.at_ms - AROUND_MS));
        // Devices that begin anew find what was asked of them so long ago.
        if self.random.random_bool(0.3) {
            self.hit_devices("reboot");
        }
        self.fault("resume", [("instance", "last-faulted".into())]);
    }

    fn hit_one(&mut self, kind: &str) {
        let victims: Vec<usize> = (0..self.states.len())
            .filter(|index| Some(*index) != self.survivor)
            .collect();
        if let Some(&victim) = victims.choose(&mut self.random) {
            self.change(victim, kind);
        }
    }

    /// Whoever has most to do goes, and comes back.
    fn hit_who_matters(&mut self) {
        let (take, give) = pick(
            &mut self.random,
            &[("kill", "restart"), ("pause", "resume"), ("stop", "restart")],
        );
        let whom = pick(&mut self.random, &["busiest", "steward", "owner"]);
        self.take_away(take, whom.into());
        self.pause_between();
        self.fault(give, [("instance", "last-faulted".into())]);
    }

    fn change(&mut self, instance: usize, kind: &str) {
        let (action, next) = match (self.states[instance], kind) {
            (State::Up, "pause") => ("pause", State::Paused),
            (State::Up, "stop") => ("stop", State::Down),
            (State::Up, _) => ("kill", State::Down),
            (State::Down, _) => ("restart", State::Up),
            (State::Paused, "kill") => ("kill", State::Down),
            (State::Paused, _) => ("resume", State::Up),
        };
        self.states[instance] = next;
        let whom = i64::try_from(instance).unwrap_or(0).into();
        match action {
            "restart" | "resume" => self.fault(action, [("instance", whom)]),
            _ => self.take_away(action, whom),
        }
    }

    /// Half of the faults that take an instance away wait until it is between two outputs.
    fn take_away(&mut self, action: &str, whom: Value) {
        if self.random.random_bool(0.5) {
            let outputs = i64::from(self.random.random_range(1..=OUTPUTS));
            self.fault(action, [("instance", whom), ("outputs", outputs.into())]);
        } else {
            self.fault(action, [("instance", whom)]);
        }
    }

    fn has(&self, action: &str) -> bool {
        let is = |fault: &Value| fault.get("do").and_then(Value::as_str) == Some(action);
        self.faults.iter().any(is)
    }

    fn fault<const N: usize>(&mut self, action: &str, rest: [(&str, Value); N]) {
        let mut fault = table(rest);
        fault.insert("at".to_owned(), millis(Duration::from_millis(self.at_ms)));
        fault.insert("do".to_owned(), action.into());
        self.faults.push(fault.into());
    }

    /// Faults that meet are close to each other; the lease is the other distance that matters.
    fn pause_between(&mut self) {
        let lease_ms = self.lease_ms;
        let longest = pick(&mut self.random, &[5, 50, 300, lease_ms, lease_ms, 3 * lease_ms]);
        self.at_ms += self.random.random_range(1..=longest.max(1));
    }

    /// The scenario's own faults, nearer to each other, each at another moment of the work.
    pub fn keep_faults(&mut self, base: &Scenario, own: &Draft) {
        let first = base.fault.first().map_or(Duration::ZERO, |fault| fault.at);
        let shorter = pick(&mut self.random, &[5, 10, 20]);
        let begin = self.at_ms;
        let faults = own
            .get(&["fault"])
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for mut fault in faults {
            let at = fault
                .get("at")
                .and_then(Value::as_str)
                .map(crate::scenario::parse_duration);
            let Some(Ok(at)) = at else { continue };
            let after = u64::try_from(at.saturating_sub(first).as_millis()).unwrap_or(0) / shorter;
            self.at_ms = self.at_ms.max(begin + after);
            if let Some(fault) = fault.as_table_mut() {
                fault.insert("at".to_owned(), millis(Duration::from_millis(begin + after)));
            }
            self.faults.push(fault);
        }
    }

    /// What the network does to datagrams.
    pub fn draw_network(&mut self) -> Table {
        let random = &mut self.random;
        let latency = random.random_range(1..=20);
        let jitter = random.random_range(0..=15);
        let mut share = || {
            let strengths = [0.0, 0.0, 0.02, 0.1];
            Value::from(pick(random, &strengths))
        };
        let [loss, duplicate, reorder] = [share(), share(), share()];
        table([
            ("latency", millis(Duration::from_millis(latency))),
            ("jitter", millis(Duration::from_millis(jitter))),
            ("loss", loss),
            ("duplicate", duplicate),
            ("reorder", reorder),
        ])
    }
}
