//! Loads whose rate changes, and loads for a group of devices.

use super::*;
use crate::load::Stage;

/// Every key that only such loads have.
pub(super) const FILE: &str = r#"
name = "stages"
question = "?"
duration = "40s"

[[devices]]
name = "mains"
count = 9

[[devices]]
name = "battery"
count = 1

[[load]]
kind = "read"
devices = "battery"
rate = 100
start = "5s"
ramp = true
stages = [
    { for = "10s", rate = 300 },
    { for = "5s", rate = 3000, ramp = false },
    { for = "1500ms", rate = 0 },
]
"#;

fn load(lines: &str) -> String {
    message(&format!("[[load]]\nkind = \"read\"\n{lines}\n"))
}

#[test]
fn a_ramp_begins_with_the_rate_before_it() {
    let scenario = Scenario::parse(FILE, "s.toml").unwrap();
    let [load] = scenario.load.as_slice() else {
        panic!("one load")
    };
    let stage = |ms, from, to| Stage {
        length: Duration::from_millis(ms),
        from,
        to,
    };
    let expected = [
        stage(10_000, 100.0, 300.0),
        stage(5_000, 3000.0, 3000.0),
        stage(1_500, 3000.0, 0.0),
    ];
    assert_eq!(load.stages, expected);
    assert_eq!(
        (load.group, load.stop()),
        (Some(1), Duration::from_millis(21_500))
    );
}

#[test]
fn without_ramp_the_rate_jumps() {
    let options = ["load.0.ramp=false".to_owned()];
    let scenario = Scenario::parse_with(FILE, "s.toml", &options).unwrap();
    let rates: Vec<_> = scenario.load[0]
        .stages
        .iter()
        .map(|it| (it.from, it.to))
        .collect();
    assert_eq!(rates, [(300.0, 300.0), (3000.0, 3000.0), (0.0, 0.0)]);
}

#[test]
fn stages_that_contradict_the_rest_are_errors() {
    assert_eq!(
        load("stages = [{ for = \"9s\", rate = 1 }]\nstop = \"8s\""),
        "s.toml:7:8: `load.stop`: expected no `stop` beside `stages`, which say how long they last, found the string \"8s\""
    );
    assert_eq!(
        load("stages = [{ for = \"9s\" }]"),
        "s.toml:6:11: `load.stages.rate` is missing; for example rate = 300"
    );
    assert!(load("rate = 1\nstages = []").contains("expected 1 to 1000 stages"));
    assert!(load("rate = 1\nramp = true").contains("`load.ramp`: expected `stages`"));
    assert!(
        load("stages = [{ for = \"50s\", rate = 1 }]")
            .contains("the load stops at 50s, but the run ends at 40s")
    );
    assert!(load("stages = [{ for = \"5s\", rate = -1 }]").contains("expected a rate per second, from 0"));
}

#[test]
fn a_load_for_devices_that_are_not_there_is_an_error_with_the_nearest_name() {
    let wrong = |text: &str| {
        Scenario::parse(text, "s.toml")
            .expect_err("the name is wrong")
            .to_string()
    };
    assert_eq!(
        wrong(&FILE.replace("devices = \"battery\"", "devices = \"batery\"")),
        "s.toml:16:11: `load.devices`: expected the `name` of a group of [[devices]], found the string \"batery\"; did you \
         mean \"battery\"?"
    );
    assert!(load("rate = 1\ndevices = \"x\"").ends_with("found the string \"x\"; no [[devices]] has one"));
}
