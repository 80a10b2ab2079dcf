//! The table as JSON Schema (2020-12), for editors and for whoever checks files without this program.

use serde_json::{Map, Value as Json, json};

use super::{FAULT, KINDS, Key, Kind, Names, Role, SCENARIO};
use crate::fault::{FAULT_NAMES, FaultKind};

/// The schema of the scenario file.
pub fn json_schema() -> Json {
    let mut schema = table(SCENARIO);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Scenario of the LwM2M cluster simulator");
    schema
}

fn table(keys: &[Key]) -> Json {
    let usable = keys.iter().filter(|key| !matches!(key.kind, Kind::Later));
    let properties: Map<String, Json> = usable.map(|key| (key.name.into(), value(key))).collect();
    let required = keys.iter().filter(|key| key.role == Role::Required);
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object", "additionalProperties": false, "properties": properties, "required": required,
    });
    // A load says how often, in one of two ways.
    if keys.iter().any(|key| key.name == "stages") {
        schema["anyOf"] = json!([{"required": ["rate"]}, {"required": ["stages"]}]);
    }
    if std::ptr::eq(keys, FAULT) {
        schema["allOf"] = FAULT_NAMES.iter().filter_map(|name| keys_of(name)).collect();
    }
    schema
}

/// Which keys belong to a kind of fault, and which it needs.
fn keys_of(name: &str) -> Option<Json> {
    let kind = FaultKind::named(name)?;
    let own = FAULT
        .iter()
        .filter(|key| !matches!(key.name, "at" | "do" | "every"));
    let (known, strange): (Vec<&Key>, Vec<&Key>) = own.partition(|key| kind.has_key(key.name).is_some());
    let strange: Map<String, Json> = strange
        .into_iter()
        .map(|key| (key.name.into(), Json::Bool(false)))
        .collect();
    // Whose clock it is decides whether an instance has to be named.
    let either = kind.has_key("of").is_some();
    let needed = known
        .into_iter()
        .filter(|key| kind.has_key(key.name) == Some(true))
        .filter(|key| !(either && key.name == "instance"));
    let needed: Vec<&str> = needed.map(|key| key.name).collect();
    Some(json!({
        "if": {"properties": {"do": {"const": name}}, "required": ["do"]},
        "then": {"properties": strange, "required": needed},
    }))
}

fn value(key: &Key) -> Json {
    let mut schema = kind(&key.kind);
    schema["description"] = json!(key.doc);
    if let Some(example) = example(key) {
        let member = match key.role {
            Role::Default => "default",
            Role::Required | Role::Optional => "examples",
        };
        schema[member] = match key.role {
            Role::Default => example,
            Role::Required | Role::Optional => json!([example]),
        };
    }
    schema
}

/// The example, which the table has as it is written in the file.
fn example(key: &Key) -> Option<Json> {
    let file: toml::Table = toml::from_str(&format!("it = {}", key.example)).ok()?;
    serde_json::to_value(file.get("it")?).ok()
}

fn kind(kind: &Kind) -> Json {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Integers => json!({"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}),
        Kind::Integer(range) => json!({"type": "integer", "minimum": range.start(), "maximum": range.end()}),
        Kind::Number => json!({"type": "number"}),
        Kind::Rate => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1e7}),
        Kind::Share => json!({"anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": "^ *[0-9]+([.][0-9]*)? *%?$"}
        ]}),
        Kind::Duration => duration(),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::OneOf(names) => one_of(names),
        Kind::Mix(names) => {
            let weight = json!({"type": "integer", "minimum": 1, "maximum": 1_000_000});
            let weights: Map<String, Json> = names
                .now
                .iter()
                .map(|name| ((*name).into(), weight.clone()))
                .collect();
            json!({"anyOf": [
                one_of(names), {"type": "array", "items": one_of(names), "minItems": 1},
                {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": weights}
            ]})
        }
        Kind::Paths => {
            let path = json!({"type": "string", "pattern": "^(/[0-9]+)+$"});
            let list = json!({"type": "array", "items": path, "minItems": 1});
            let paths = json!({"anyOf": [path, list]});
            let by_kind: Map<String, Json> = KINDS
                .now
                .iter()
                .map(|name| ((*name).into(), paths.clone()))
                .collect();
            json!({"anyOf": [
                path, list, {"type": "object", "additionalProperties": false, "properties": by_kind}
            ]})
        }
        Kind::Timeout => json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 86_400_000}, duration()
        ]}),
        Kind::Instance(names) => json!({"anyOf": [
            {"enum": names}, {"type": "string", "pattern": "^([A-Z]|I[0-9]+)$"}, {"type": "integer", "minimum": 0}
        ]}),
        Kind::Table(keys) => table(keys),
        Kind::Tables(keys) => json!({"type": "array", "items": table(keys)}),
        Kind::OneOrMany(keys) => json!({"oneOf": [
            table(keys), {"type": "array", "items": table(keys), "minItems": 1}
        ]}),
        Kind::Limits => json!({"type": "object", "additionalProperties": {
            "type": ["number", "boolean", "string", "object"]
        }}),
        Kind::Later => Json::Bool(false),
    }
}

fn one_of(names: &Names) -> Json {
    json!({"enum": names.now})
}

fn duration() -> Json {
    json!({"type": "string", "pattern": "^ *([0-9]+[.]?[0-9]*|[.][0-9]+) *(us|µs|ms|s|m|min|h|d) *$"})
}
