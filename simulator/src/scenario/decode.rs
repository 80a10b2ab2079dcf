//! From the TOML tree to the typed [`Scenario`]: one function per table, in the order of the file.

use std::time::Duration;

use super::devices::devices;
use super::document::{Document, Node, Origin, Table, Value};
use super::error::ScenarioError;
use super::fault::fault;
use super::load::load;
use super::schema::SCENARIO;
use super::section::{Problems, Section};
use super::*;

/// So often a fault comes again at most.
const MAX_REPEATS: u32 = 10_000;

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
        seed: root.integer("seed", 42).unsigned_abs(),
        duration,
        calm: root.duration("calm", Duration::ZERO),
        cluster: cluster(&root.section("cluster", &empty)),
        balancer: balancer(&root.section("balancer", &empty)),
        load: root
            .sections("load")
            .iter()
            .map(|section| load(section, &devices, duration))
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
    repeat_faults(&mut scenario, &root);
    scenario.fault.sort_by_key(|fault| fault.at);
    let problems = problems.into_found();
    if problems.is_empty() {
        Ok(scenario)
    } else {
        Err(ScenarioError { problems })
    }
}

/// Faults with `every` come again until the end of the run. `scenario.fault` is in the order of the file.
fn repeat_faults(scenario: &mut Scenario, root: &Section<'_>) {
    let mut again = Vec::new();
    for (fault, section) in scenario.fault.iter().zip(root.sections("fault")) {
        let Some(node) = section.get("every") else {
            continue;
        };
        let every = section.positive("every", Duration::from_secs(1));
        if every.is_zero() {
            continue;
        }
        let left = scenario.duration.saturating_sub(fault.at);
        let times = left.as_micros() / every.as_micros();
        if times > MAX_REPEATS.into() {
            let expected = format!("a time that fits into the run at most {MAX_REPEATS} times");
            section.wrong("every", node, &expected);
            continue;
        }
        let later = (1..).map(|count| fault.at + every * count);
        again.extend(
            later
                .take_while(|at| *at < scenario.duration)
                .map(|at| Fault { at, ..fault.clone() }),
        );
    }
    scenario.fault.extend(again);
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
        instances: section.integer("instances", 3) as u32,
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
        policy: BalancerPolicy::named(section.choice("policy", "source-hash")),
        flow_timeout: section.positive("flow_timeout", Duration::from_secs(300)),
        health: HealthCheck {
            interval: health.positive("interval", Duration::from_millis(200)),
            failures: health.integer("failures", 2) as u32,
        },
        unhealthy: Unhealthy::named(section.choice("unhealthy", "fail-open")),
    }
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
