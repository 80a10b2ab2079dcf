//! Scenario files as people write them, and the messages for what they get wrong.

mod clocks;
mod devices;
mod failover;
mod groups;
mod stages;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;

use super::*;
use crate::load::Share;
use crate::operation::{Operation, RequestKind};
use crate::report::schema::wrong_path;

const MINIMAL: &str = "name = \"steady\"\nquestion = \"What then?\"\nduration = \"40s\"\n";

const FULL: &str = r#"name = "failover"
question = "What do devices and back ends see when the busiest of three instances is killed?"
seed = 7
duration = "1m"
calm = "20s"

[cluster]
instances = 4
redis = "redis://127.0.0.1:6380/2"
lease = "800ms"
channel_prefix = "x:"
log = "debug"
arguments = ["--nstart", "1"]

[devices]
count = 5
endpoint = "urn:{n}"
security = "none"
lifetime = "2m"
binding = "U"
register_rate = 12.5
deduplicate = 0.9
separate = 0.2
reject = "1%"
nonsense = 0.03
network = { latency = "5ms", jitter = "2ms", loss = "2%", duplicate = 0.01, duplicate_delay = "3s", mtu = 1280, reorder = 0 }

[balancer]
policy = "round-robin"
flow_timeout = "300s"
health = { interval = "100ms", failures = 3 }
unhealthy = "fail-closed"

[[load]]
kind = { read = 8, execute = 2 }
path = { read = ["/3/0/0", "/3/0/2"], execute = "/3/0/4" }
rate = 300
start = "5s"
stop = "35s"
timeout = 5000
repeat = false
impatience = 0.1
shared_tickets = "5%"

[[load]]
kind = ["write", "write", "read"]
rate = 1

[[fault]]
at = "20s"
do = "restart"
instance = "last-faulted"

[[fault]]
at = "15s"
do = "kill"
instance = "busiest"

[[fault]]
at = "16s"
do = "pause"
instance = "D"
outputs = 7

[[fault]]
at = "30s"
do = "network"
network = { loss = 0.5 }

[expect]
"tickets.violations" = 0
"failover_ms.p99" = "<= 1500"
verdict = "pass"
interrupted = false
"#;

const BROKER_FAULTS: &str = r#"
[[fault]]
at = "5s"
do = "redis-cut"
instance = "back-end"
connection = "subscriber"
half_open = "1s"

[[fault]]
at = "6s"
do = "redis-slow"
stall = "2s"
output_buffer = 65536

[[fault]]
at = "7s"
do = "redis-kill"
keeps = "150ms"

[[fault]]
at = "8s"
do = "redis-failover"
lag = "200ms"
old_master = "2s"
clients = ["A", "back-end"]
"#;

fn messages(text: &str) -> Vec<String> {
    let read = Scenario::parse_knowing(text, "s.toml", &[], &wrong_path);
    let error = read.expect_err("the scenario is wrong");
    error.problems.iter().map(ToString::to_string).collect()
}

/// The one message for a minimal scenario with these lines appended.
fn message(lines: &str) -> String {
    let all = messages(&format!("{MINIMAL}{lines}"));
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].clone()
}

fn set(options: &[&str]) -> Result<Scenario, ScenarioError> {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    Scenario::parse_with(FULL, "s.toml", &options)
}

#[test]
fn what_is_not_said_has_its_default() {
    let scenario = Scenario::parse(MINIMAL, "s.toml").unwrap();
    assert_eq!(scenario.seed, 42);
    assert_eq!(scenario.cluster.instance_ids(), ["A", "B", "C"]);
    assert_eq!(scenario.cluster.redis, RedisChoice::Auto);
    assert_eq!(scenario.cluster.lease, Duration::from_secs(1));
    assert_eq!(scenario.devices.endpoint_name(3), "dev-3");
    assert_eq!(scenario.devices.groups[0].network, Impairment::default());
    assert_eq!(scenario.balancer.policy, BalancerPolicy::SourceHash);
    assert_eq!(scenario.detection(), Duration::from_millis(400));
    assert_eq!(scenario.failover_bound(), Duration::from_millis(1500));
}

#[test]
fn every_key_reaches_the_typed_scenario() {
    let scenario = Scenario::parse(FULL, "s.toml").unwrap();
    assert_eq!((scenario.seed, scenario.duration), (7, Duration::from_secs(60)));
    let cluster = &scenario.cluster;
    assert_eq!(
        (cluster.instances, cluster.lease),
        (4, Duration::from_millis(800))
    );
    assert_eq!(cluster.redis, RedisChoice::Url("redis://127.0.0.1:6380/2".into()));
    assert_eq!(
        (cluster.channel_prefix.as_str(), cluster.log.as_str()),
        ("x:", "debug")
    );
    assert_eq!(cluster.arguments, ["--nstart", "1"]);
    let devices = &scenario.devices.groups[0];
    let network = &devices.network;
    assert_eq!(
        (network.latency, network.jitter),
        (Duration::from_millis(5), Duration::from_millis(2))
    );
    assert_eq!(
        (network.loss, network.duplicate, network.reorder),
        (0.02, 0.01, 0.0)
    );
    assert_eq!((devices.lifetime_s, devices.register_rate), (120, 12.5));
    assert_eq!(
        scenario.balancer.health,
        HealthCheck {
            interval: Duration::from_millis(100),
            failures: 3
        }
    );
    assert_eq!(scenario.balancer.policy, BalancerPolicy::RoundRobin);
    assert_eq!(scenario.balancer.unhealthy, Unhealthy::FailClosed);
    assert_eq!(
        (network.duplicate_delay, network.mtu),
        (Duration::from_secs(3), 1280)
    );
    assert_eq!(
        [
            devices.deduplicate,
            devices.separate,
            devices.reject,
            devices.nonsense
        ],
        [0.9, 0.2, 0.01, 0.03]
    );
}

#[test]
fn a_load_is_a_kind_a_list_or_weights_with_a_path_for_each() {
    let scenario = Scenario::parse(FULL, "s.toml").unwrap();
    let part = |kind, paths: &[&str], weight| Share {
        operations: paths
            .iter()
            .map(|path| Operation {
                kind,
                path: (*path).into(),
            })
            .collect(),
        weight,
    };
    let [weighted, listed] = scenario.load.as_slice() else {
        panic!("two loads")
    };
    let expected = [
        part(RequestKind::Read, &["/3/0/0", "/3/0/2"], 8),
        part(RequestKind::Execute, &["/3/0/4"], 2),
    ];
    assert_eq!(weighted.mix, expected);
    assert_eq!(
        (weighted.timeout, weighted.repeat),
        (Duration::from_secs(5), false)
    );
    assert_eq!((weighted.impatience, weighted.shared_tickets), (0.1, 0.05));
    let expected = [
        part(RequestKind::Write, &["/3/0/15"], 2),
        part(RequestKind::Read, &["/3/0/2"], 1),
    ];
    assert_eq!(listed.mix, expected);
    assert_eq!(
        (listed.start, listed.stop()),
        (Duration::ZERO, Duration::from_secs(60))
    );
}

#[test]
fn faults_are_in_the_order_of_time_and_a_network_fault_changes_only_what_it_names() {
    let scenario = Scenario::parse(FULL, "s.toml").unwrap();
    let seen: Vec<_> = scenario
        .fault
        .iter()
        .map(|fault| (fault.action.kind().as_str(), fault.target))
        .collect();
    let expected = [
        ("kill", Target::Busiest),
        ("pause", Target::Instance(3)),
        ("restart", Target::LastFaulted),
        ("network", Target::All),
    ];
    assert_eq!(seen, expected);
    let FaultAction::Network(networks) = &scenario.fault[3].action else {
        panic!("a network fault")
    };
    let [network] = networks.as_slice() else {
        panic!("one group of devices")
    };
    assert_eq!((network.loss, network.latency), (0.5, Duration::from_millis(5)));
}

#[test]
fn expectations_are_limits_on_paths_of_the_report() {
    let scenario = Scenario::parse(FULL, "s.toml").unwrap();
    let report = serde_json::json!({
        "tickets": {"violations": 1}, "failover_ms": {"p99": 1500.0}, "verdict": "pass", "interrupted": false
    });
    let judged: Vec<_> = scenario.expect.iter().map(|line| line.judge(&report)).collect();
    let seen: Vec<_> = judged
        .iter()
        .map(|line| (line.path.as_str(), line.limit.as_str(), line.pass))
        .collect();
    let expected = [
        ("tickets.violations", "== 0", false),
        ("failover_ms.p99", "<= 1500", true),
        ("verdict", "pass", true),
        ("interrupted", "false", true),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_was_not_measured_meets_no_limit() {
    let expectation = Expectation {
        path: "failover_ms.p99".into(),
        limit: Limit::AtMost(1500.0),
    };
    assert!(
        !expectation
            .judge(&serde_json::json!({"failover_ms": {"p99": null}}))
            .pass
    );
}

#[test]
fn limits_compare_as_they_read() {
    let holds = |limit: &str, value: f64| {
        let expectation = Expectation {
            path: "x".into(),
            limit: Limit::parse(limit).unwrap(),
        };
        expectation.judge(&serde_json::json!({ "x": value })).pass
    };
    let around = |limit| [1.0, 2.0, 3.0].map(|value| holds(limit, value));
    assert_eq!(around("<= 2"), [true, true, false]);
    assert_eq!(around("< 2"), [true, false, false]);
    assert_eq!(around(">=2"), [false, true, true]);
    assert_eq!(around("> 2"), [false, false, true]);
    assert_eq!(around("== 2"), [false, true, false]);
    assert_eq!(
        Limit::parse("<= many"),
        Err("expected a number after `<=`, found \"many\"".into())
    );
}

#[test]
fn an_error_code_that_never_came_was_counted_0_times() {
    let report = serde_json::json!({"tickets": {"errors_by_code": {"GONE": 2}}});
    let judged = |code: &str, limit: &str| {
        let path = format!("tickets.errors_by_code.{code}");
        let limit = Limit::parse(limit).unwrap();
        Expectation { path, limit }.judge(&report)
    };
    let never = judged("TIMEOUT", "<= 5");
    assert_eq!((never.pass, never.actual), (true, 0.into()));
    assert!(!judged("TIMEOUT", ">= 1").pass);
    assert_eq!(judged("GONE", "<= 5").actual, 2);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    assert_eq!(
        message("[devices]\ncuont = 5\n"),
        "s.toml:5:1: unknown key `cuont` in [devices]; did you mean `count`?"
    );
    assert_eq!(
        message("[balancer]\nhealth = { intervall = \"1s\" }\n"),
        "s.toml:5:12: unknown key `intervall` in [balancer.health]; did you mean `interval`?"
    );
    assert_eq!(
        message("[[load]]\nkind = \"read\"\nrate = 1\nspeed = 3\n"),
        "s.toml:7:1: unknown key `speed` in [load]; known are kind, path, rate, devices, stages, ramp, start, stop, timeout, \
         repeat, impatience, shared_tickets"
    );
}

#[test]
fn a_wrong_value_is_named_with_what_was_expected() {
    assert_eq!(
        message("[devices]\ncount = \"many\"\n"),
        "s.toml:5:9: `devices.count`: expected a whole number from 1 to 1000000, found the string \"many\""
    );
    assert_eq!(
        message("[cluster]\nlease = 5\n"),
        "s.toml:5:9: `cluster.lease`: expected a duration in quotes, such as \"40s\" or \"200ms\", found the number 5"
    );
    assert_eq!(
        message("[cluster]\nlease = \"5 parsecs\"\n"),
        "s.toml:5:9: `cluster.lease`: expected a duration such as \"40s\", \"200ms\", \"2m\" or \"1h\", found the \
         unknown unit \"parsecs\""
    );
    assert_eq!(
        message("[balancer]\npolicy = \"round_robin\"\n"),
        "s.toml:5:10: `balancer.policy`: expected one of source-hash, round-robin, random, found \"round_robin\"; did \
         you mean \"round-robin\"?"
    );
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let all = messages("name = \"a b\"\nduration = \"1s\"\n[cluster]\ninstances = 0\n");
    assert_eq!(all.len(), 3, "{all:#?}");
    assert!(
        all[0].starts_with("s.toml:1:1: `question` is missing"),
        "{}",
        all[0]
    );
    assert!(
        all.iter().any(|line| line.starts_with("s.toml:1:8: `name`")),
        "{all:#?}"
    );
    assert!(
        all.iter()
            .any(|line| line.starts_with("s.toml:4:13: `cluster.instances`")),
        "{all:#?}"
    );
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line() {
    assert!(messages("name = \"x\"\nquestion =\n")[0].starts_with("s.toml:2:"));
}

#[test]
fn what_this_version_cannot_do_yet_is_an_error_and_not_ignored() {
    let later = |lines: &str, what: &str| {
        let message = message(lines);
        assert!(
            message.contains(what) && message.contains("is not there yet in this version"),
            "{message}"
        );
    };
    later("[devices]\nsecurity = \"psk\"\n", "\"psk\"");
    later("[devices]\nbinding = \"UQ\"\n", "\"UQ\"");
    later("[balancer]\npolicy = \"connection-id\"\n", "\"connection-id\"");
    later(
        "[cluster]\nlaunch = { command = [\"java\"] }\n",
        "`cluster.launch`",
    );
    later("[[load]]\nkind = \"observe\"\nrate = 1\n", "\"observe\"");
}

#[test]
fn times_that_do_not_fit_together_are_errors() {
    let load = |times: &str| message(&format!("[[load]]\nkind = \"read\"\nrate = 1\n{times}\n"));
    assert_eq!(
        load("start = \"9s\"\nstop = \"8s\""),
        "s.toml:7:9: the load starts at 9s and stops at 8s: nothing would be sent"
    );
    assert_eq!(
        load("stop = \"41s\""),
        "s.toml:7:8: the load stops at 41s, but the run ends at 40s (`duration`)"
    );
    assert_eq!(
        message("[[fault]]\nat = \"40s\"\ndo = \"kill\"\ninstance = 0\n"),
        "s.toml:5:6: the fault comes at 40s, but the run ends at 40s (`duration`)"
    );
}

#[test]
fn instances_that_do_not_exist_are_errors() {
    let fault = |instance: &str| {
        message(&format!(
            "[[fault]]\nat = \"1s\"\ndo = \"kill\"\ninstance = {instance}\n"
        ))
    };
    let expected =
        "s.toml:7:12: there is no instance D (index 3): cluster.instances = 3, so they are A, B, C";
    assert_eq!(fault("3"), expected);
    assert_eq!(fault("\"D\""), expected);
    assert!(fault("\"last-faulted\"").contains("there is no last-faulted"));
    assert!(
        fault("\"biggest\"").contains(
            "expected an id (A, B …), an index, busiest, random, steward, owner, last-faulted or all"
        )
    );
}

#[test]
fn what_only_the_virtual_world_can_do_is_named() {
    let need = |rest: &str| {
        let text = format!("{MINIMAL}[[fault]]\nat = \"1s\"\ndo = \"kill\"\n{rest}\n");
        Scenario::parse(&text, "s.toml").unwrap().needs_virtual_world()
    };
    let outputs = need("instance = 0\noutputs = 3");
    assert_eq!(outputs.as_deref(), Some("`outputs` of the fault `kill` at 1s"));
    let steward = need("instance = \"steward\"");
    assert_eq!(
        steward.as_deref(),
        Some("`instance = \"steward\"` of the fault `kill` at 1s")
    );
    assert_eq!(need("instance = \"owner\""), None);
    let calm = format!("calm = \"60s\"\n{MINIMAL}");
    let calm = Scenario::parse(&calm, "s.toml").unwrap();
    assert_eq!(calm.needs_virtual_world().as_deref(), Some("`calm`"));
}

#[test]
fn only_a_fault_that_takes_an_instance_away_can_wait_for_its_outputs() {
    let text = message("[[fault]]\nat = \"1s\"\ndo = \"restart\"\ninstance = 0\noutputs = 3\n");
    assert_eq!(
        text,
        "s.toml:8:11: `fault.outputs` means nothing for do = \"restart\""
    );
}

#[test]
fn an_expectation_on_nothing_is_an_error_with_the_nearest_path() {
    assert_eq!(
        message("[expect]\n\"tickets.violation\" = 0\n"),
        "s.toml:5:23: report.json has no `tickets.violation`; did you mean `tickets.violations`?"
    );
    assert!(message("[expect]\n\"latency_ms.steady\" = 0\n").contains("is not one value of report.json"));
    let lines = "[expect]\n\"tickets.errors_by_code.TIMEOUT\" = 0\n\"cost.instances.2.cpu_s\" = \"< 9\"\n";
    assert_eq!(
        Scenario::parse(&format!("{MINIMAL}{lines}"), "s.toml")
            .unwrap()
            .expect
            .len(),
        2
    );
}

#[test]
fn detection_that_takes_longer_than_the_lease_is_a_warning() {
    let lines = "[balancer]\nhealth = { interval = \"500ms\", failures = 3 }\n[expect]\n\"tickets.lost\" = 0\n\
                 [[load]]\nkind = \"read\"\nrate = 1\n";
    let scenario = Scenario::parse(&format!("{MINIMAL}{lines}"), "s.toml").unwrap();
    assert_eq!(scenario.warnings.len(), 1, "{:?}", scenario.warnings);
    assert!(scenario.warnings[0].contains("after 1500ms (3 × 500ms), later than the lease of 1s"));
}

#[test]
fn options_replace_values_before_they_are_typed() {
    let options = [
        "devices.count=9",
        "balancer.policy=random",
        "fault.0.at=22s",
        "expect.failover_ms.p99=\"<= 9\"",
    ];
    let scenario = set(&options).unwrap();
    assert_eq!(scenario.devices.count(), 9);
    assert_eq!(scenario.balancer.policy, BalancerPolicy::Random);
    assert_eq!(scenario.fault[2].at, Duration::from_secs(22));
    let p99: Vec<_> = scenario
        .expect
        .iter()
        .filter(|line| line.path == "failover_ms.p99")
        .collect();
    assert_eq!(p99.len(), 1);
    assert_eq!(p99[0].limit, Limit::AtMost(9.0));
    assert_eq!(scenario.overrides, options);
}

#[test]
fn a_wrong_option_is_named_as_it_was_given() {
    let message = |option| set(&[option]).expect_err("the option is wrong").to_string();
    assert_eq!(
        message("devices.coutn=9"),
        "--set devices.coutn=9: unknown key `coutn` in [devices]; did you mean `count`?"
    );
    assert!(
        message("devices.count=x")
            .starts_with("--set devices.count=x: `devices.count`: expected a whole number")
    );
    assert_eq!(
        message("fault.7.at=1s"),
        "--set fault.7.at=1s: the scenario has 4 of these; expected a number below 4, found `7`"
    );
    assert_eq!(
        message("devices.count"),
        "--set devices.count: expected KEY=VALUE, found no `=`"
    );
}

#[test]
fn the_schema_has_exactly_the_keys_that_the_parser_reads() {
    // Every getter asserts that its key is in the table that the schema is made from; these files have every key of it.
    let full = [FULL, devices::FAULTS, BROKER_FAULTS, clocks::FAULTS].concat();
    let mut known = BTreeSet::new();
    known_keys("", &schema::json_schema(), &mut known);
    let mut used = BTreeSet::new();
    for text in [full, groups::FILE.to_owned(), stages::FILE.to_owned()] {
        Scenario::parse(&text, "s.toml").unwrap();
        let file: toml::Value = toml::from_str(&text).unwrap();
        used_keys("", &serde_json::to_value(file).unwrap(), &mut used);
    }
    // A fault's network has the keys of the devices' network: the same constant.
    known.retain(|key| !key.starts_with("fault.network."));
    used.retain(|key| {
        !["expect.", "load.kind.", "load.path.", "fault.network."]
            .iter()
            .any(|free| key.starts_with(free))
    });
    known.retain(|key| {
        !["load.kind.", "load.path."]
            .iter()
            .any(|free| key.starts_with(free))
    });
    assert_eq!(known, used);
}

fn known_keys(prefix: &str, schema: &Json, keys: &mut BTreeSet<String>) {
    let schema = schema.get("items").unwrap_or(schema);
    let forms = schema.get("oneOf").and_then(Json::as_array);
    forms
        .into_iter()
        .flatten()
        .for_each(|form| known_keys(prefix, form, keys));
    for (key, inner) in schema
        .get("properties")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
    {
        keys.insert(format!("{prefix}{key}"));
        known_keys(&format!("{prefix}{key}."), inner, keys);
    }
}

fn used_keys(prefix: &str, value: &Json, keys: &mut BTreeSet<String>) {
    value
        .as_array()
        .into_iter()
        .flatten()
        .for_each(|item| used_keys(prefix, item, keys));
    for (key, inner) in value.as_object().into_iter().flatten() {
        keys.insert(format!("{prefix}{key}"));
        used_keys(&format!("{prefix}{key}."), inner, keys);
    }
}

#[test]
fn instances_beyond_the_alphabet_have_numbers() {
    assert_eq!((instance_id(25), instance_id(26)), ("Z".into(), "I26".into()));
}
