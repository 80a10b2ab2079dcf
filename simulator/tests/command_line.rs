//! The simulator's executable as people and CI call it: what it prints, where it fails, with which exit code.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use simulator::history::{Entry, Event, HistoryWriter};
use simulator::operation::RequestKind;
use simulator::run::header;
use simulator::scenario::Scenario;

const SCENARIO: &str = "name = \"one\"\nquestion = \"Is one read answered?\"\nduration = \"40s\"\n\
                        [[load]]\nkind = \"read\"\nrate = 1\n[expect]\n\"tickets.violations\" = 0\n";

fn simulator(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_remove("REDIS_URL");
    command.output().expect("the executable was built for this test")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits by itself")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A history of one read; `answered` or silent to the end.
fn history(directory: &Path, answered: bool) -> PathBuf {
    let scenario = Scenario::parse(SCENARIO, "one.toml").unwrap();
    let path = directory.join("history.jsonl.zst");
    let mut writer = HistoryWriter::create(&path, &header(&scenario, 7, "real", 0)).unwrap();
    let mut add = |at_ms: u64, event| {
        writer
            .append(&Entry {
                at_us: at_ms * 1000,
                event,
            })
            .unwrap()
    };
    add(
        0,
        Event::Era {
            reason: "start".into(),
        },
    );
    add(0, Event::InstanceReady { id: "A".into() });
    add(0, Event::BackEnd { connected: true });
    add(
        1000,
        Event::Sent {
            ep: "dev-0".into(),
            ticket: "t1".into(),
            kind: RequestKind::Read,
            path: "/3/0/0".into(),
            repeatable: true,
            argument: None,
            timeout_ms: 5000,
            intended_us: 999_000,
            attempt: 1,
            probe: false,
            published: true,
        },
    );
    if answered {
        let says = |rest: &str| format!(r#"{{"ep":"dev-0","ticket":"t1",{rest},"by":"A#1"}}"#);
        add(
            1001,
            Event::Heard {
                message: says(r#""ack":true"#),
            },
        );
        add(
            1011,
            Event::Heard {
                message: says(r#""resp":{"kind":"read","code":"CONTENT"}"#),
            },
        );
    }
    add(40_000, Event::LoadStopped);
    add(41_000, Event::Ended { interrupted: false });
    writer.finish().unwrap();
    path
}

#[test]
fn the_scenarios_of_the_repository_are_valid_and_without_warnings() {
    let files = [
        "scenarios/failover.toml",
        "scenarios/steady.toml",
        "scenarios/zombie.toml",
    ];
    let output = simulator(&[&["check"], &files[..]].concat(), &repository());
    let expected: String = files.iter().map(|file| format!("{file}: ok\n")).collect();
    assert_eq!(
        (out(&output), err(&output), code(&output)),
        (expected, String::new(), 0)
    );
}

#[test]
fn a_wrong_scenario_is_named_with_file_and_line_and_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.toml"), SCENARIO.replace("rate", "rat")).unwrap();
    for arguments in [&["check", "bad.toml"][..], &["bad.toml"][..]] {
        let output = simulator(arguments, directory.path());
        assert_eq!(code(&output), 2);
        let message = err(&output);
        assert!(
            message.contains("bad.toml:6:1: unknown key `rat` in [load]; did you mean `rate`?"),
            "{message}"
        );
    }
    assert!(!directory.path().join("reports").exists(), "nothing is run");
}

#[test]
fn a_file_that_is_not_there_is_named_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let output = simulator(&["nothing.toml"], directory.path());
    assert_eq!(code(&output), 2);
    assert!(
        err(&output).contains("nothing.toml: the scenario file cannot be read"),
        "{}",
        err(&output)
    );
}

#[test]
fn an_unknown_option_is_refused_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        code(&simulator(&["one.toml", "--seeed", "3"], directory.path())),
        2
    );
    let output = simulator(&["one.toml", "--redis", "mysql://x"], directory.path());
    assert_eq!(code(&output), 2);
    assert!(
        err(&output).contains("expected auto, embedded or redis://HOST:PORT/DB"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_virtual_run_says_first_how_to_repeat_it_and_its_history_can_be_judged_again() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.toml"), SCENARIO).unwrap();
    let arguments = ["one.toml", "--virtual", "--seed", "7", "--out", "run"];
    let output = simulator(&arguments, directory.path());
    let first = format!("seed 7, version {}, virtual world\n", env!("CARGO_PKG_VERSION"));
    assert!(err(&output).starts_with(&first), "{}", err(&output));
    assert_eq!(code(&output), 0, "{}", out(&output));
    let again = simulator(&["replay", "run"], directory.path());
    assert_eq!((code(&again), out(&again)), (0, out(&output)));
}

#[test]
fn a_quiet_run_that_fails_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let text = SCENARIO.to_owned() + "\"tickets.sent\" = \"<= 1\"\n";
    std::fs::write(directory.path().join("one.toml"), text).unwrap();
    let output = simulator(
        &["one.toml", "--virtual", "--quiet", "--out", "run"],
        directory.path(),
    );
    assert_eq!((code(&output), err(&output)), (1, String::new()));
    let said = out(&output);
    let lines: Vec<&str> = said.lines().collect();
    let [headline, failed] = lines.as_slice() else {
        panic!("{said}")
    };
    assert!(headline.starts_with("FAIL  one (seed 42"), "{said}");
    assert!(
        failed.starts_with("  FAIL  tickets.sent <= 1   actual "),
        "{said}"
    );
}

#[test]
fn a_report_on_the_standard_output_is_json_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.toml"), SCENARIO).unwrap();
    for arguments in [&["--json", "--out", "run"][..], &["-o", "-"][..]] {
        let arguments = [&["one.toml", "--virtual"][..], arguments].concat();
        let output = simulator(&arguments, directory.path());
        assert_eq!(code(&output), 0, "{}", err(&output));
        let report: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(
            (&report["verdict"], &report["seed"]),
            (&"pass".into(), &42.into())
        );
    }
    assert!(directory.path().join("run/report.json").exists());
    assert!(directory.path().join("reports").exists() && !directory.path().join("-").exists());
}

#[test]
fn a_run_without_a_file_is_a_scenario_that_can_be_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let quick = ["--devices", "20", "--rate", "30", "--kill-at", "4s"];
    let output = simulator(
        &[&quick[..], &["--virtual", "--quiet", "--out", "run"]].concat(),
        directory.path(),
    );
    assert_eq!(code(&output), 0, "{}{}", out(&output), err(&output));
    let text = std::fs::read_to_string(directory.path().join("run/scenario.toml")).unwrap();
    let scenario = Scenario::parse(&text, "scenario.toml").unwrap();
    assert_eq!(
        (scenario.devices.count(), scenario.load[0].mean_rate()),
        (20, 30.0)
    );
    let times: Vec<_> = scenario.fault.iter().map(|fault| fault.at.as_secs()).collect();
    assert_eq!((times, scenario.duration.as_secs()), (vec![4, 9], 19));
    let again = ["run/scenario.toml", "--virtual", "--quiet", "--out", "again"];
    let again = simulator(&again, directory.path());
    assert_eq!(out(&again).replace("again", "run"), out(&output));
}

#[test]
fn a_run_without_a_file_is_not_mixed_with_one_and_its_mistakes_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let both = simulator(&["one.toml", "--devices", "5"], directory.path());
    assert_eq!(code(&both), 2);
    let nothing = simulator(&["--virtual"], directory.path());
    assert_eq!(code(&nothing), 2);
    let zero = simulator(&["--devices", "0"], directory.path());
    assert_eq!(code(&zero), 2);
    assert!(
        err(&zero).contains("`devices.count`: expected a whole number from 1 to 1000000, found the number 0"),
        "{}",
        err(&zero)
    );
}

#[test]
fn a_report_directory_with_files_in_it_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.toml"), SCENARIO).unwrap();
    let output = simulator(&["one.toml", "--out", "."], directory.path());
    assert_eq!(code(&output), 2);
    assert!(
        err(&output).contains("the report directory is not empty"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_saved_history_is_judged_again_with_the_scenario_in_it() {
    let directory = tempfile::tempdir().unwrap();
    history(directory.path(), true);
    let output = simulator(&["replay", ".", "--out", "again"], directory.path());
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    assert!(
        out(&output).starts_with("pass  one (seed 7, real world, 41.0 s)\n"),
        "{}",
        out(&output)
    );
    let report = std::fs::read_to_string(directory.path().join("again/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["latency_ms"]["overall"]["p50"], 12.007);
    assert_eq!(report["latency_ms"]["uncorrected"]["p50"], 11.007);
    for file in ["report.md", "latency.hgrm"] {
        assert!(directory.path().join("again").join(file).exists(), "{file}");
    }
}

#[test]
fn a_lost_request_fails_the_run_with_exit_code_1_and_its_story() {
    let directory = tempfile::tempdir().unwrap();
    history(directory.path(), false);
    let output = simulator(
        &["replay", "history.jsonl.zst", "--out", "again"],
        directory.path(),
    );
    assert_eq!(code(&output), 1);
    let screen = out(&output);
    assert!(
        screen.contains("FAIL  tickets.violations == 0   actual 1"),
        "{screen}"
    );
    assert!(
        screen.contains("lost  dev-0 t1: neither ack nor err after 1 publication(s)"),
        "{screen}"
    );
    let markdown = std::fs::read_to_string(directory.path().join("again/report.md")).unwrap();
    assert!(
        markdown.contains(r#""event":"sent","ep":"dev-0","ticket":"t1""#),
        "{markdown}"
    );
}

#[test]
fn two_reports_are_compared_and_a_regression_fails() {
    let directory = tempfile::tempdir().unwrap();
    for (name, answered) in [("good", true), ("bad", false)] {
        let run = directory.path().join(name);
        std::fs::create_dir(&run).unwrap();
        history(&run, answered);
        simulator(&["replay", ".", "--out", "."], &run);
    }
    let compare = |old: &str, new: &str, limit: &[&str]| {
        let arguments = [&["compare", old, new][..], limit].concat();
        simulator(&arguments, directory.path())
    };
    let limit = ["--max-regression", "10%"];
    let worse = compare("good/report.json", "bad/report.json", &limit);
    assert_eq!(code(&worse), 1);
    let line = out(&worse)
        .lines()
        .find(|line| line.starts_with("tickets.violations"))
        .unwrap()
        .to_string();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["tickets.violations", "0.00", "1.00", "∞", "REGRESSION"]
    );
    assert_eq!(code(&compare("good/report.json", "bad/report.json", &[])), 0);
    assert_eq!(code(&compare("good/report.json", "good/report.json", &limit)), 0);
    assert_eq!(code(&compare("bad/report.json", "good/report.json", &limit)), 0);
}

#[test]
fn the_schemas_are_json() {
    let directory = tempfile::tempdir().unwrap();
    let schema = |of: &str| -> serde_json::Value {
        serde_json::from_str(&out(&simulator(&["schema", of], directory.path()))).unwrap()
    };
    assert!(schema("scenario")["properties"]["cluster"]["properties"]["lease"].is_object());
    assert!(schema("report")["properties"]["tickets"]["properties"]["double_execution"].is_object());
}

#[test]
fn ctrl_c_ends_a_virtual_run_with_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let text = SCENARIO.replace("40s", "24h");
    std::fs::write(directory.path().join("one.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    let arguments = ["one.toml", "--virtual", "--out", "report"];
    command.args(arguments).current_dir(directory.path());
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.starts_with("seed 42"), "{first}");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = std::fs::read_to_string(directory.path().join("report/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["interrupted"], true);
}

#[test]
fn ctrl_c_ends_a_search_with_what_it_has_seen() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.toml"), SCENARIO).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    let arguments = ["search", "one.toml", "--seeds", "1000000", "--out", "found"];
    command.args(arguments).current_dir(directory.path());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("seeds from 1, "), "{first}");
    let progress = lines.next().unwrap().unwrap();
    assert!(progress.contains(" seeds in "), "{progress}");
    let pid = child.id().to_string();
    let signal = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(signal.success());
    lines.for_each(|line| drop(line.unwrap()));
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130);
    let text = out(&output);
    let seeds: u64 = text.split(' ').next().unwrap().parse().unwrap();
    let last = format!("interrupted after {seeds} of 1000000 seeds, nothing found\n");
    assert!(seeds > 0 && text.ends_with(&last), "{text}");
    assert!(text.contains("\nreached\n") && text.contains("never reached\n"));
    let coverage = std::fs::read_to_string(directory.path().join("found/one.coverage.json")).unwrap();
    let coverage: serde_json::Value = serde_json::from_str(&coverage).unwrap();
    assert!(coverage["reached"]["register"]["OK"].as_u64().unwrap() >= seeds);
}

#[test]
fn a_search_that_could_write_nothing_down_does_not_begin() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.toml"), SCENARIO).unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let output = simulator(
        &["search", "one.toml", "--seeds", "1", "--out", "file/reports"],
        directory.path(),
    );
    assert_eq!((code(&output), out(&output)), (3, String::new()));
    assert!(
        err(&output).starts_with("error: file/reports"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_search_says_in_a_line_for_each_script_what_was_reached_and_what_was_not() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.toml"), SCENARIO).unwrap();
    let output = simulator(
        &["search", "one.toml", "--seeds", "1", "--out", "found"],
        directory.path(),
    );
    assert_eq!(code(&output), 0, "{}", err(&output));
    let text = out(&output);
    let (reached, never) = text.split_once("never reached\n").unwrap();
    assert!(
        reached
            .lines()
            .any(|line| line.starts_with("  register ") && line.contains(" OK "))
    );
    let tickets = reached.lines().find(|line| line.starts_with("  tickets "));
    let tickets = tickets.unwrap();
    assert!(tickets.contains(" new -> dispatched (accept) "), "{tickets}");
    assert!(
        tickets.contains(" dispatched -> ended (finish: an answer) "),
        "{tickets}"
    );
    assert!(
        never
            .lines()
            .any(|line| line.starts_with("  take ") && line.contains("GENERATION"))
    );
    assert!(
        never.contains("\nout of the reach of any seed: 16 more ("),
        "{never}"
    );
    assert!(text.ends_with("nothing found in 1 seeds\n"));
    let coverage = std::fs::read_to_string(directory.path().join("found/one.coverage.json")).unwrap();
    assert!(coverage.contains("\"DIALECT\": 0"), "{coverage}");
}
