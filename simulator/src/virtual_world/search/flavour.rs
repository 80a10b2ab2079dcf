//! What a seed is about: which kinds of faults it has, and how its devices, its network and its back end are minded.
//!
//! In: a generator. Out: a [`Flavour`]. Most of what can go wrong is switched off in most seeds, so that the rest comes in
//! purer forms; and some seeds have only what leaves every device alone, because only there a device must be asked in time.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use toml::Value;

use crate::scenario::{Draft, Scenario, table};
use crate::seed::pick;

/// As long as a device may remember a message (RFC 7252, 4.8.2).
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);

/// Faults that leave the devices as they are. `aimed` is whatever hits the instance that has most to do.
const OF_INSTANCES: [&str; 6] = ["kill", "pause", "stop", "network", "aimed", "flow-reset"];
/// Faults of devices.
const OF_DEVICES: [&str; 4] = ["reboot", "sleep", "nat-rebind", "deregister"];
/// Faults of the broker and of the connections to it.
const OF_BROKER: [&str; 7] = [
    "redis-cut",
    "redis-slow",
    "broker-stall",
    "redis-kill",
    "redis-failover",
    "partition",
    "late-ears",
];

/// Faults of clocks: the broker's, and those of the machines of instances.
const OF_CLOCKS: [&str; 3] = ["clock-jump", "suspension", "clock-drift"];

/// Faults of the broker's memory.
const OF_MEMORY: [&str; 2] = ["redis-full", "redis-flush"];

/// What a seed is about.
pub struct Flavour {
    /// Its kinds of faults; `broker-stall` is a `redis-slow` of the broker itself, `late-ears` one of the subscriptions
    /// while a member leaves, `suspension` a `clock-jump` of an instance.
    pub kinds: Vec<&'static str>,
    /// In a scenario that lasts longer than devices and the cluster remember: an instance is away for as long.
    pub long: bool,
    /// Its devices and its network may have moods.
    moody: bool,
}

impl Flavour {
    /// That of a seed. What the scenario is about itself, it is more often. What is drawn of clocks comes from `clocks`.
    pub fn draw(random: &mut ChaCha8Rng, mut clocks: ChaCha8Rng, base: &Scenario) -> Flavour {
        let has = |name: &str| {
            let mut kinds = base.fault.iter().map(|fault| fault.action.kind());
            kinds.any(|kind| kind.as_str() == name)
        };
        let own = |kind: &str| has(kind) || kind == "late-ears" && has("redis-slow") && has("stop");
        let (devices, broker) = pick(
            random,
            &[
                (false, false),
                (false, false),
                (true, false),
                (false, true),
                (true, true),
            ],
        );
        let devices = devices || OF_DEVICES.into_iter().any(own) && random.random_bool(0.5);
        let broker = broker || OF_BROKER.into_iter().any(own) && random.random_bool(0.5);
        let groups = [
            (&OF_INSTANCES[..], true),
            (&OF_DEVICES, devices),
            (&OF_BROKER, broker),
        ];
        let mut kinds: Vec<_> = groups
            .into_iter()
            .flat_map(|(kinds, has)| kinds.iter().copied().filter(move |_| has))
            .filter(|kind| random.random_bool(if own(kind) { 0.9 } else { 0.5 }))
            .collect();
        if clocks.random_bool(0.25) {
            kinds.extend(OF_CLOCKS.into_iter().filter(|_| clocks.random_bool(0.5)));
        }
        let memory = |kind: &&str| own(kind) || broker && clocks.random_bool(0.3);
        kinds.extend(OF_MEMORY.into_iter().filter(memory));
        Flavour {
            kinds,
            long: base.duration > EXCHANGE_LIFETIME,
            moody: devices,
        }
    }

    /// Gives devices, network, balancer and back end their moods. They stay as the scenario has them otherwise.
    pub fn add_moods(&self, random: &mut ChaCha8Rng, draft: &mut Draft) {
        let mut mood = |key: &str, values: &[Value]| {
            let drawn = random.random_bool(0.3).then(|| pick(random, &[0, 1, 2]));
            drawn.map(|which| (key.to_owned(), values[which].clone()))
        };
        let shares = |shares: [f64; 3]| shares.map(Value::from);
        if self.moody {
            let moods = [
                mood("deduplicate", &shares([0.0, 0.5, 0.9])),
                mood("separate", &shares([0.1, 0.5, 1.0])),
                mood("reject", &shares([0.01, 0.1, 0.5])),
            ];
            let network = [
                mood("mtu", &[1280.into(), 1280.into(), 100.into()]),
                mood("duplicate_delay", &["100ms".into(), "5s".into(), "247s".into()]),
            ];
            for group in draft.devices() {
                group.extend(moods.iter().flatten().cloned());
                if let Some(of_group) = group.get_mut("network").and_then(Value::as_table_mut) {
                    of_group.extend(network.iter().flatten().cloned());
                }
            }
            let slow = table([("interval", "1s".into()), ("failures", 3.into())]);
            let quick = table([("interval", "50ms".into()), ("failures", 1.into())]);
            let balancer = [
                mood(
                    "unhealthy",
                    &["fail-closed".into(), "fail-closed".into(), "fail-open".into()],
                ),
                mood("health", &[slow.clone().into(), slow.into(), quick.into()]),
            ];
            draft.section("balancer").extend(balancer.into_iter().flatten());
        }
        for load in draft.list("load").iter_mut().filter_map(Value::as_table_mut) {
            let habits = [
                mood("impatience", &shares([0.05, 0.2, 1.0])),
                mood("shared_tickets", &shares([0.05, 0.5, 1.0])),
            ];
            load.extend(habits.into_iter().flatten());
        }
    }
    /// Now and then the message layer gives a device up while its request has time left; and where a scenario is long
    /// enough, requests wait for longer than a device remembers them. And some back ends make mistakes, and some devices
    /// talk nonsense. All else stays as it was drawn.
    pub fn add_patience(&self, mut random: ChaCha8Rng, draft: &mut Draft) {
        if random.random_bool(0.15) {
            let arguments = draft.section("cluster").entry("arguments");
            let arguments = arguments.or_insert_with(|| Value::Array(Vec::new()));
            let impatient = ["--ack-timeout", "200ms", "--max-retransmit", "1"].map(Value::from);
            arguments
                .as_array_mut()
                .into_iter()
                .for_each(|all| all.extend(impatient.clone()));
        }
        if random.random_bool(0.15) {
            let loads = draft.list("load").iter_mut();
            let mixes = loads.filter_map(|load| load.get_mut("kind").and_then(Value::as_table_mut));
            mixes.for_each(|mix| {
                mix.insert("malformed".to_owned(), 1.into());
            });
        }
        if self.long && random.random_bool(0.3) {
            let loads = draft.list("load").iter_mut().filter_map(Value::as_table_mut);
            loads.for_each(|load| {
                load.insert("timeout".to_owned(), "600s".into());
            });
        }
        if random.random_bool(0.1) {
            let share = pick(&mut random, &[0.05, 0.5]);
            for group in draft.devices() {
                group.insert("nonsense".to_owned(), share.into());
            }
        }
    }
}
