//! The search as a whole: what it tries, what it finds in a cluster that is wrong, and how small it makes it.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]

mod support;

use simulator::report::{Report, Verdict};
use simulator::scenario::Scenario;
use simulator::virtual_world::{SearchOptions, ShrinkOptions, draw_diagram, search, shrink};
use support::scenario;

/// What the judge says of a run of a file.
fn run(text: &str) -> Report {
    let scenario = Scenario::parse(text, "found.toml").unwrap();
    support::run(&scenario, scenario.seed).report
}

#[test]
fn two_hundred_seeds_over_each_shipped_scenario_find_nothing() {
    for name in ["failover", "steady", "zombie", "fleet", "devices", "stall"] {
        let options = SearchOptions {
            first: 1,
            seeds: 200,
            limit: None,
            jobs: 2,
            keep_going: false,
        };
        let (tried, found) = search(&scenario(name, &[]), options, |_| ()).unwrap();
        let said = found.map(|found| format!("{:#?}\n{}", found.wrong, found.draft.render()));
        assert!(said.is_none(), "{name}: {}", said.unwrap_or_default());
        assert_eq!(tried.seeds, 200);
        let never = tried.coverage.never();
        // What most of the faults lead to; without it the search looks at little.
        let crowd: &[&str] = if name == "fleet" {
            &[]
        } else {
            &["markdead: view", "forward: OK"]
        };
        for reached in [
            "sweep: err TIMEOUT",
            "take: OK",
            "update: OK",
            "faults: kill",
            "faults: deregister",
            "faults: partition",
            "faults: redis-cut",
            "faults: redis-restart",
            "faults: redis-slow",
        ]
        .iter()
        .chain(crowd)
        {
            assert!(
                !never.contains(&(*reached).to_owned()),
                "{name}: {reached} in {never:#?}"
            );
        }
    }
}

#[test]
fn a_search_tries_every_seed_once_and_each_for_the_same_virtual_time_on_any_number_of_threads() {
    let base = scenario("failover", &[]);
    let options = |jobs| SearchOptions {
        first: 1,
        seeds: 3,
        limit: None,
        jobs,
        keep_going: false,
    };
    let (alone, nothing) = search(&base, options(1), |_| ()).unwrap();
    assert!(nothing.is_none(), "{nothing:?}");
    assert_eq!(alone.seeds, 3);
    let (together, _) = search(&base, options(2), |_| ()).unwrap();
    assert_eq!((together.seeds, together.time), (3, alone.time));
}

#[test]
fn a_search_finds_a_cluster_that_forgets_outcomes_and_its_scenario_fails_again() {
    // After a takeover the requests of the last seconds are replayed; only remembered outcomes keep them from a second one.
    let base = scenario(
        "failover",
        &[r#"cluster.arguments=["--ticket-retention", "1ms"]"#],
    );
    let options = SearchOptions {
        first: 1,
        seeds: 30,
        limit: None,
        jobs: 1,
        keep_going: false,
    };
    let (_, found) = search(&base, options, |_| ()).unwrap();
    let found = found.expect("one of thirty schedules shows it");
    let kind = found.wrong[0].kind.clone();
    let fails = |text: &str| {
        let report = run(text);
        let mut breaches = report.counter_examples.iter().map(|example| example.breach);
        report.verdict == Verdict::Fail && breaches.any(|breach| breach.as_str() == kind)
    };
    assert!(fails(&found.draft.render()));

    let options = ShrinkOptions {
        runs: 120,
        ..ShrinkOptions::default()
    };
    let shrunk = shrink(found.draft, found.wrong, options);
    assert_eq!(shrunk.wrong[0].kind.as_str(), kind);
    let small = shrunk.draft.scenario().unwrap();
    assert!(
        small.fault.len() <= 2 && small.devices.count() <= 10,
        "{}",
        shrunk.draft.render()
    );
    assert!(fails(&shrunk.draft.render()));
    let diagram = draw_diagram(&small, &shrunk.wrong[0]).unwrap();
    for part in ["publishes ", "accept", "the ticket is ", "  CON ", "LESHAN_RESP"] {
        assert!(diagram.contains(part), "{part}: {diagram}");
    }
}
