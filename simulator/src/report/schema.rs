//! The shape of report.json, derived from the [`Report`] struct itself: the known paths of `[expect]`, and the JSON
//! Schema that `simulator schema` prints.

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::scenario::{COUNTS_BY_CODE, Expectation};

/// A report in which everything is there once, so that its JSON shows every member.
fn full() -> Report {
    let some = Percentiles {
        n: 1,
        unanswered: 0,
        p50: Some(1.5),
        p90: Some(1.5),
        p99: Some(1.5),
        p999: Some(1.5),
        max: Some(1.5),
    };
    Report {
        expectations: vec![ExpectationOutcome {
            path: String::new(),
            limit: String::new(),
            actual: Json::Null,
            pass: true,
        }],
        eras: vec![Era::default()],
        tickets: Tickets {
            broken: Breach::tickets().map(|breach| (breach, 0)).collect(),
            ..Tickets::default()
        },
        judged: Breach::ALL.iter().map(|rule| (*rule, Applied::full())).collect(),
        defects: Defects {
            count: 1,
            messages: vec![String::new()],
        },
        latency_ms: Latencies {
            steady: some.clone(),
            fault: some.clone(),
            overall: some.clone(),
            uncorrected: some.clone(),
            by_kind: [(RequestKind::Read, some.clone())].into(),
        },
        uplink_ms: Uplink {
            register: some.clone(),
            update: some.clone(),
        },
        series: vec![Second {
            p50_ms: some.p50,
            p99_ms: some.p50,
            max_ms: some.p50,
            ..Second::default()
        }],
        failover_ms: Failover {
            p50: some.p50,
            p90: some.p90,
            p99: some.p99,
            max: some.max,
            detect: some.max,
            ..Failover::default()
        },
        throughput: Throughput {
            registrations_per_s: some.p50,
            updates_per_s: some.p50,
            tickets_per_s: some.p50,
        },
        cost: Cost {
            instances: vec![InstanceReport {
                cpu_us_per_op: some.p50,
                ..InstanceReport::default()
            }],
            cluster: ClusterReport {
                cpu_s: some.p50,
                cpu_us_per_op: some.p50,
                cpu_floors_per_op: some.p50,
                bytes_per_device: some.p50,
            },
            broker: BrokerReport {
                cpu_s: some.p50,
                rss_peak_kib: Some(1),
                bytes_per_device: some.p50,
            },
            simulator: SimulatorReport {
                cpu_s: some.p50,
                rss_peak_kib: Some(1),
                bytes_per_device: some.p50,
            },
            floor: Some(Floor::default()),
        },
        harness: Some(Harness {
            added_ms: Some(AddedDelay {
                n: 1,
                p50: 0.5,
                p99: 0.5,
                max: 0.5,
            }),
            lag_ms: 0.5,
            late_ms: 0.5,
            drops: 0,
        }),
        reason: Some(String::new()),
        provenance: Some(Provenance::default()),
        ..Report::default()
    }
}

/// Every path of report.json that leads to one value; list items stand under index 0.
pub fn known_paths() -> Vec<String> {
    let mut paths = Vec::new();
    walk("", &full().to_json(), &mut paths);
    paths
}

fn walk(prefix: &str, value: &Json, paths: &mut Vec<String>) {
    let join = |member: &str| {
        if prefix.is_empty() {
            member.into()
        } else {
            format!("{prefix}.{member}")
        }
    };
    match value {
        Json::Object(members) => members
            .iter()
            .for_each(|(name, value)| walk(&join(name), value, paths)),
        Json::Array(items) => items
            .iter()
            .take(1)
            .for_each(|value| walk(&join("0"), value, paths)),
        _ => paths.push(prefix.into()),
    }
}

/// What is wrong with the path of an expectation, if anything.
pub fn wrong_path(expectation: &Expectation) -> Option<String> {
    let path = &expectation.path;
    if path.starts_with(COUNTS_BY_CODE) {
        return None;
    }
    let by_first = |member: &str| {
        if member.parse::<usize>().is_ok() {
            "0".into()
        } else if path.starts_with("latency_ms.by_kind.") && is_kind(member) {
            "read".into()
        } else {
            member.to_string()
        }
    };
    let general = path.split('.').map(by_first).collect::<Vec<_>>().join(".");
    let known = known_paths();
    if known.contains(&general) {
        return None;
    }
    let inside: Vec<_> = known
        .iter()
        .filter(|known| known.starts_with(&format!("{general}.")))
        .collect();
    if let Some(first) = inside.first() {
        return Some(format!(
            "`{path}` is not one value of report.json; expected one inside it, such as `{first}`"
        ));
    }
    let near = known
        .iter()
        .min_by_key(|known| strsim::damerau_levenshtein(known, path))?;
    Some(format!("report.json has no `{path}`; did you mean `{near}`?"))
}

/// True for a kind of requests: the members of `latency_ms.by_kind`.
fn is_kind(member: &str) -> bool {
    serde_json::from_value::<RequestKind>(member.into()).is_ok()
}

/// The JSON Schema (2020-12) of report.json.
pub fn json_schema() -> Json {
    let mut schema = shape(&full().to_json());
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Report of the LwM2M cluster simulator");
    schema["properties"]["schema"] = json!({"const": SCHEMA});
    schema["properties"]["verdict"] = json!({"enum": ["pass", "fail", "inconclusive"]});
    schema["properties"]["tickets"]["properties"]["errors_by_code"] =
        json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let by_kind = &mut schema["properties"]["latency_ms"]["properties"]["by_kind"];
    *by_kind = json!({"type": "object", "additionalProperties": by_kind["properties"]["read"]});
    let instance = shape(&json!({"cpu": 0.5, "rss_kib": 1}));
    schema["properties"]["series"]["items"]["properties"]["instances"] =
        json!({"type": "object", "additionalProperties": instance});
    schema["properties"]["broker"]["properties"]["configuration"] =
        json!({"type": "object", "additionalProperties": {"type": "string"}});
    schema["properties"]["expectations"]["items"]["properties"]["actual"] = json!(true);
    schema
}

/// Numbers with a fraction in [`full`] are those that may be missing or broken; whole ones are counts.
fn shape(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            let properties: Map<String, Json> = members
                .iter()
                .map(|(name, value)| (name.clone(), shape(value)))
                .collect();
            let required: Vec<&String> = members.keys().collect();
            json!({"type": "object", "properties": properties, "required": required})
        }
        Json::Array(items) => match items.first() {
            Some(item) => json!({"type": "array", "items": shape(item)}),
            None => json!({"type": "array"}),
        },
        Json::Number(number) if number.is_f64() => json!({"type": ["number", "null"]}),
        Json::Number(_) => json!({"type": ["integer", "null"]}),
        Json::Bool(_) => json!({"type": "boolean"}),
        Json::String(_) => json!({"type": "string"}),
        Json::Null => json!(true),
    }
}
