//! The JSON Schema of the scenario file, held to the reader by another's validator: what one takes, the other takes, and
//! what one refuses, the other refuses too, as far as a schema can.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;

use serde_json::Value as Json;
use simulator::scenario::{Scenario, schema};

const HEAD: &str = "name = \"x\"\nquestion = \"?\"\nduration = \"40s\"\n";

fn json(text: &str) -> Json {
    let file: toml::Value = toml::from_str(text).unwrap();
    serde_json::to_value(file).unwrap()
}

/// What the validator has against a file.
fn mistakes(text: &str) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema::json_schema()).unwrap();
    let file = json(text);
    validator
        .iter_errors(&file)
        .map(|error| error.to_string())
        .collect()
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema::json_schema()));
}

#[test]
fn every_scenario_of_the_repository_fulfils_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut count = 0;
    for directory in [root.clone(), root.join("regressions")] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(mistakes(&text), Vec::<String>::new(), "{}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_reader_and_the_schema_agree_on_what_is_right() {
    for lines in [
        "[cluster]\nlease = \"500µs\"",
        "[devices]\nlifetime = \"2 min\"\nreject = \"2%\"",
        "[[devices]]\nname = \"a\"\ncount = 9\n[[devices]]\nshare = 0.1",
        "[[load]]\nkind = [\"read\", \"write\"]\nrate = 0.5\ntimeout = 5000",
        "[[load]]\nkind = { read = 1 }\npath = { read = [\"/3/0/0\"] }\nstages = [{ for = \"9s\", rate = 0 }]",
        "[[fault]]\nat = \"1s\"\ndo = \"kill\"\ninstance = \"busiest\"\nevery = \"9s\"",
        "[[fault]]\nat = \"1s\"\ndo = \"clock-jump\"\nby = \"-3s\"",
        "[[fault]]\nat = \"1s\"\ndo = \"sleep\"\ndevices = [3]",
        "[expect]\ntickets.lost = 0\n\"latency_ms.steady.p99\" = \"<= 9\"",
    ] {
        let text = format!("{HEAD}{lines}\n");
        Scenario::parse(&text, "x.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(mistakes(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_reader_and_the_schema_agree_on_what_is_wrong() {
    for lines in [
        "speed = 1",
        "seed = \"many\"",
        "[cluster]\ninstances = 0",
        "[cluster]\nlease = \"5 parsecs\"",
        "[devices]\ncuont = 1",
        "[devices]\nreject = 2",
        "[devices]\nsecurity = \"psk\"",
        "[balancer]\npolicy = \"round_robin\"",
        "[[load]]\nkind = \"read\"",
        "[[load]]\nrate = 1",
        "[[load]]\nkind = \"raed\"\nrate = 1",
        "[[load]]\nkind = \"read\"\nstages = [{ for = \"9s\" }]",
        "[[fault]]\nat = \"1s\"",
        "[[fault]]\nat = \"1s\"\ndo = \"kill\"",
        "[[fault]]\nat = \"1s\"\ndo = \"flow-reset\"\ninstance = 0",
        "[[fault]]\nat = \"1s\"\ndo = \"redis-kill\"",
    ] {
        let text = format!("{HEAD}{lines}\n");
        assert!(Scenario::parse(&text, "x.toml").is_err(), "{text}");
        assert_ne!(mistakes(&text), Vec::<String>::new(), "{text}");
    }
}

/// Every member `default` below a schema, with its path.
fn defaults(schema: &Json, path: &[&str], found: &mut Vec<(Vec<String>, Json)>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let inside = [path, &[name.as_str()]].concat();
        if let Some(value) = inner.get("default") {
            let path = inside.iter().map(ToString::to_string).collect();
            found.push((path, value.clone()));
        }
        let first = inner["oneOf"].get(0);
        defaults(first.unwrap_or(inner), &inside, found);
    }
}

#[test]
fn a_default_of_the_schema_is_the_default_of_the_reader() {
    let mut found = Vec::new();
    defaults(&schema::json_schema(), &[], &mut found);
    assert!(found.len() > 25, "{found:?}");
    let load = "[[load]]\nkind = \"read\"\nrate = 1\n";
    let plain = Scenario::parse(&format!("{HEAD}{load}"), "x.toml").unwrap();
    let mut schema = schema::json_schema();
    let items = schema["properties"]["load"]["items"].take();
    let mut of_load = Vec::new();
    defaults(&items, &["load", "0"], &mut of_load);
    assert_eq!(of_load.len(), 5, "{of_load:?}");
    for (path, value) in found.into_iter().chain(of_load) {
        let value = toml::Value::try_from(&value).unwrap();
        let option = format!("{}={value}", path.join("."));
        let said = Scenario::parse_with(&format!("{HEAD}{load}"), "x.toml", std::slice::from_ref(&option));
        let said = said.unwrap_or_else(|error| panic!("{error}"));
        let same = Scenario {
            overrides: Vec::new(),
            ..said
        };
        assert_eq!(same, plain, "{option}");
    }
}
