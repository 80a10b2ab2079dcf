//! Runs side by side: what is compared, what is noise, what is refused.

use super::*;
use crate::report::compare::{Spread, compare, regressions, spreads, table, unlike};

fn report(steady_p99: f64) -> Report {
    let mut report = Story::default().report(&RunFacts::default());
    report.latency_ms.steady.p99 = Some(steady_p99);
    report.provenance = Some(Provenance {
        scenario: "0011".into(),
        ..Provenance::default()
    });
    report
}

fn reports(values: &[f64]) -> Vec<Report> {
    values.iter().map(|value| report(*value)).collect()
}

#[test]
fn of_several_runs_the_median_counts_and_the_spread_is_told() {
    let rows = spreads(&reports(&[30.0, 10.0, 20.0, 40.0]));
    let row = rows
        .iter()
        .find(|row| row.path == "latency_ms.steady.p99")
        .unwrap();
    let expected = Spread {
        median: 25.0,
        low: 10.0,
        high: 40.0,
    };
    assert_eq!(row.spread, expected);
}

#[test]
fn a_change_within_the_spread_of_the_repeats_is_no_regression() {
    let old = reports(&[10.0, 11.0, 14.0]);
    let judged = |new: &[f64]| {
        let changes = compare(&old, &reports(new));
        let worse = regressions(&changes, 0.1).len();
        let text = table(&changes, Some(0.1));
        let line = text
            .lines()
            .find(|line| line.starts_with("latency_ms.steady.p99"));
        (
            worse,
            line.unwrap()
                .split_whitespace()
                .skip(5)
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    assert_eq!(
        judged(&[13.0, 22.0, 33.0]),
        (0, "+100.0 % within the noise".to_owned())
    );
    assert_eq!(judged(&[15.0, 22.0, 33.0]), (1, "+100.0 % REGRESSION".to_owned()));
    assert_eq!(
        judged(&[11.0, 11.5, 12.0]),
        (0, "+4.5 % within the noise".to_owned())
    );
}

#[test]
fn runs_of_unlike_things_are_not_compared_and_each_difference_is_named() {
    let old = [report(1.0)];
    assert_eq!(unlike(&old, &[report(9.0)]), Vec::<String>::new());
    let mut new = report(1.0);
    new.world = "virtual".into();
    if let Some(provenance) = &mut new.provenance {
        provenance.scenario = "2233".into();
        provenance.build.profile = "release, opt-level 3".into();
        provenance.build.commit = "another commit is what is compared".into();
        provenance.machine.kernel = "6.1".into();
    }
    let reasons = unlike(&old, &[new]);
    let expected = [
        "the scenario's content differs: `0011` and `2233`",
        "the world differs: `` and `virtual`",
        "the build profile differs: `` and `release, opt-level 3`",
        "the kernel differs: `` and `6.1`",
    ];
    assert_eq!(reasons, expected);
    let mut late = report(1.0);
    late.reason = Some("the run was interrupted".into());
    assert_eq!(
        unlike(&old, &[late]),
        ["one of them is inconclusive: the run was interrupted"]
    );
}
