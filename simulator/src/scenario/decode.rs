//! From the TOML tree to the typed [`Scenario`]: one function per table, in the order of the file.

use std::time::Duration;

use super::devices::devices;
use super::document::{Document, Node, Origin, Table, Value};
use super::error::ScenarioError;
use super::fault::fault;
use super::schema::{KINDS, SCENARIO};
use super::section::{Problems, Section};
use super::units::parse_duration;
use super::*;
use crate::operation::RequestKind;
use crate::targets::MAX_INSTANCES;

/// The longest `timeout` a request may carry (northbound interface: 24 h).
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Types the whole document, or says everything that is wrong with it.
pub fn scenario(document: &Document, wrong_path: WrongPath<'_>) -> Result<Scenario, ScenarioError> {
    let problems = Problems::new(document);
    let empty = Table::default();
    let root = Section::open("", &document.root, Origin::File(0), SCENARIO, &problems);
    let devices = devices(&root);
    let duration = root.optional_duration("duration");
    if duration.is_none() && root.get("duration").is_none() {
        root.missing("duration");
    }
    let duration = duration.unwrap_or(Duration::MAX);
    let mut scenario = Scenario {
        name: name(&root),
        question: required_text(&root, "question"),
        seed: root.integer("seed", 42, 0..=i64::MAX).unsigned_abs(),
        duration,
        cluster: cluster(&root.section("cluster", &empty)),
        balancer: balancer(&root.section("balancer", &empty)),
        load: root
            .sections("load")
            .iter()
            .map(|section| load(section, duration))
            .collect(),
        fault: root
            .sections("fault")
            .iter()
            .map(|section| fault(section, &devices))
            .collect(),
        devices,
        expect: expectations(&root, wrong_path),
        warnings: Vec::new(),
        file: document.file.clone(),
        text: document.text.clone(),
        overrides: document.overrides.clone(),
    };
    check::cross_check(&mut scenario, &root);
    scenario.fault.sort_by_key(|fault| fault.at);
    let problems = problems.into_found();
    if problems.is_empty() {
        Ok(scenario)
    } else {
        Err(ScenarioError { problems })
    }
}

fn required_text(section: &Section<'_>, key: &str) -> String {
    if section.get(key).is_none() {
        section.missing(key);
    }
    section.text(key, "")
}

fn name(root: &Section<'_>) -> String {
    let name = required_text(root, "name");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Some(node) = root.get("name")
        && (name.is_empty() || name.len() > 64 || !name.chars().all(fits))
    {
        root.wrong(
            "name",
            node,
            "1 to 64 letters, digits, `-` or `_` (it names a directory)",
        );
    }
    name
}

fn cluster(section: &Section<'_>) -> Cluster {
    Cluster {
        instances: section.integer("instances", 3, 1..=MAX_INSTANCES.into()) as u32,
        redis: redis(section),
        lease: section.positive("lease", Duration::from_secs(1)),
        channel_prefix: section.text("channel_prefix", ""),
        log: section.text("log", "info"),
        arguments: section.texts("arguments"),
    }
}

fn redis(section: &Section<'_>) -> RedisChoice {
    let text = section.text("redis", "auto");
    let choice = RedisChoice::parse(&text);
    if choice.is_none()
        && let Some(node) = section.get("redis")
    {
        section.wrong(
            "redis",
            node,
            "\"auto\", \"embedded\" or a URL such as \"redis://127.0.0.1:6379/0\"",
        );
    }
    choice.unwrap_or(RedisChoice::Auto)
}

impl RedisChoice {
    /// `auto`, `embedded` or `redis://…`
    pub fn parse(text: &str) -> Option<RedisChoice> {
        match text {
            "auto" => Some(RedisChoice::Auto),
            "embedded" => Some(RedisChoice::Embedded),
            url if url.starts_with("redis://") => Some(RedisChoice::Url(url.into())),
            _ => None,
        }
    }
}

/// As in the scenario file.
impl std::fmt::Display for RedisChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RedisChoice::Auto => "auto",
            RedisChoice::Embedded => "embedded",
            RedisChoice::Url(url) => url,
        })
    }
}

fn balancer(section: &Section<'_>) -> Balancer {
    let empty = Table::default();
    let health = section.section("health", &empty);
    Balancer {
        policy: match section.choice("policy", "source-hash") {
            "round-robin" => BalancerPolicy::RoundRobin,
            "random" => BalancerPolicy::Random,
            _ => BalancerPolicy::SourceHash,
        },
        flow_timeout: section.positive("flow_timeout", Duration::from_secs(300)),
        health: HealthCheck {
            interval: health.positive("interval", Duration::from_millis(200)),
            failures: health.integer("failures", 2, 1..=1000) as u32,
        },
        unhealthy: match section.choice("unhealthy", "fail-open") {
            "fail-closed" => Unhealthy::FailClosed,
            _ => Unhealthy::FailOpen,
        },
    }
}

fn load(section: &Section<'_>, end: Duration) -> Load {
    if section.get("rate").is_none() {
        section.missing("rate");
    }
    Load {
        mix: mix(section),
        rate: section.rate("rate", 1.0),
        start: section.duration("start", Duration::ZERO),
        stop: section.duration("stop", end),
        timeout: timeout(section),
        repeat: section.flag("repeat", true),
        impatience: section.share("impatience"),
        shared_tickets: section.share("shared_tickets"),
    }
}

fn timeout(section: &Section<'_>) -> Duration {
    let default = Duration::from_secs(20);
    let Some(node) = section.get("timeout") else {
        return default;
    };
    let timeout = match &node.value {
        Value::Integer(millis) => u64::try_from(*millis).ok().map(Duration::from_millis),
        Value::Text(text) => parse_duration(text).ok(),
        _ => None,
    };
    match timeout {
        Some(timeout) if timeout >= Duration::from_millis(1) && timeout <= MAX_TIMEOUT => timeout,
        _ => {
            section.wrong(
                "timeout",
                node,
                "milliseconds or a duration such as \"20s\", from 1 ms to 24 h",
            );
            default
        }
    }
}

fn mix(section: &Section<'_>) -> Vec<MixPart> {
    let parts = weights(section);
    parts
        .into_iter()
        .map(|(kind, weight)| MixPart {
            kind,
            paths: paths(section, kind),
            weight,
        })
        .collect()
}

/// The kinds and how often each is drawn: one, a list (a repeated name counts twice) or a table of weights.
fn weights(section: &Section<'_>) -> Vec<(RequestKind, u32)> {
    let Some(node) = section.get("kind") else {
        section.missing("kind");
        return Vec::new();
    };
    let mut parts: Vec<(RequestKind, u32)> = Vec::new();
    let mut add = |kind: RequestKind, weight: u32| match parts.iter_mut().find(|part| part.0 == kind) {
        Some(part) => part.1 = part.1.saturating_add(weight),
        None => parts.push((kind, weight)),
    };
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            items
                .iter()
                .filter_map(|item| kind(section, item))
                .for_each(|kind| add(kind, 1));
        }
        Value::Table(table) if !table.entries.is_empty() => {
            for entry in &table.entries {
                let name = Node {
                    value: Value::Text(entry.key.clone()),
                    origin: entry.key_origin.clone(),
                };
                match (kind(section, &name), &entry.node.value) {
                    (Some(kind), Value::Integer(weight @ 1..=1_000_000)) => add(kind, *weight as u32),
                    (Some(_), _) => section.wrong("kind", &entry.node, "a weight from 1 to 1000000"),
                    (None, _) => {}
                }
            }
        }
        Value::List(_) | Value::Table(_) => section.wrong("kind", node, "at least one kind"),
        _ => kind(section, node).into_iter().for_each(|kind| add(kind, 1)),
    }
    parts
}

fn kind(section: &Section<'_>, node: &Node) -> Option<RequestKind> {
    RequestKind::named(section.name_of("kind", node, &KINDS)?)
}

/// The paths of one kind of a load.
fn paths(section: &Section<'_>, kind: RequestKind) -> Vec<String> {
    let default = vec![kind.declaration().default_path.to_string()];
    let Some(mut node) = section.get("path") else {
        return default;
    };
    if let Value::Table(by_kind) = &node.value {
        for entry in &by_kind.entries {
            let name = Node {
                value: Value::Text(entry.key.clone()),
                origin: entry.key_origin.clone(),
            };
            section.name_of("path", &name, &KINDS);
        }
        match by_kind.get(kind.as_str()) {
            Some(own) => node = own,
            None => return default,
        }
    }
    let items = match &node.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    if items.is_empty() {
        section.wrong("path", node, "at least one path");
    }
    items
        .into_iter()
        .filter_map(|item| path(section, item, kind))
        .collect()
}

fn path(section: &Section<'_>, node: &Node, kind: RequestKind) -> Option<String> {
    let ids = match &node.value {
        Value::Text(text) => parse_path(text),
        _ => None,
    };
    let checked = match &ids {
        Some(ids) => kind.check_path(ids),
        None => Err("a path such as \"/3/0/0\", with numbers from 0 to 65534"),
    };
    match checked {
        Ok(()) => ids.map(|ids| ids.iter().map(|id| format!("/{id}")).collect()),
        Err(expected) => {
            section.wrong("path", node, expected);
            None
        }
    }
}

fn parse_path(text: &str) -> Option<Vec<u16>> {
    text.strip_prefix('/')?
        .split('/')
        .map(|id| id.parse().ok().filter(|&id| id < u16::MAX))
        .collect()
}

/// `[expect]`; a key may be quoted (`"tickets.lost"`) or a dotted TOML key. An option replaces the file's limit.
fn expectations(root: &Section<'_>, wrong_path: WrongPath<'_>) -> Vec<Expectation> {
    let Some(node) = root.get("expect") else {
        return Vec::new();
    };
    let Value::Table(table) = &node.value else {
        root.wrong("expect", node, "a table, [expect]");
        return Vec::new();
    };
    let mut flat = Vec::new();
    flatten("", table, &mut flat);
    let mut expectations: Vec<Expectation> = Vec::new();
    for (path, node) in flat {
        let limit = match &node.value {
            Value::Integer(number) => Ok(Limit::Equal(*number as f64)),
            Value::Number(number) => Ok(Limit::Equal(*number)),
            Value::Flag(flag) => Ok(Limit::Flag(*flag)),
            Value::Text(text) => Limit::parse(text),
            _ => Err(format!(
                "expected a limit such as 0 or \"<= 1500\", found {}",
                node.describe()
            )),
        };
        match limit {
            Ok(limit) => {
                let expectation = Expectation { path, limit };
                if let Some(wrong) = wrong_path(&expectation) {
                    root.problems.add(&node.origin, wrong);
                }
                expectations.retain(|known| known.path != expectation.path);
                expectations.push(expectation);
            }
            Err(message) => root
                .problems
                .add(&node.origin, format!("`expect.{path}`: {message}")),
        }
    }
    expectations
}

fn flatten<'a>(prefix: &str, table: &'a Table, flat: &mut Vec<(String, &'a Node)>) {
    for entry in &table.entries {
        let path = if prefix.is_empty() {
            entry.key.clone()
        } else {
            format!("{prefix}.{}", entry.key)
        };
        match &entry.node.value {
            Value::Table(inner) => flatten(&path, inner, flat),
            _ => flat.push((path, &entry.node)),
        }
    }
}
