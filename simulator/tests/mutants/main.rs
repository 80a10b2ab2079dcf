//! Mutation test of search and checker: with a bug planted in the cluster, a search must find a schedule that shows it
//! within a bounded number of seeds, and the verdict must be of a kind that the bug explains. The same seeds without the
//! bug must find nothing. Prints a table of all; takes parts of names as arguments, as the usual harness does.

// Helpers of tests, though clippy does not see it.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "says how long each took")]

mod cases;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cases::{CASES, Case};
use clap::ValueEnum;
use server::mutant::Mutant;
use simulator::scenario::Scenario;
use simulator::virtual_world::{self, SearchOptions, search};

/// The first seed of every search.
const FIRST: u64 = 1;
/// How many mutants are searched for at a time.
const JOBS: usize = 2;

/// What came of a search.
struct Row {
    mutant: &'static str,
    /// Seeds until it was found.
    seeds: Option<u64>,
    /// How long that took.
    took: Duration,
    verdict: String,
    wrong: Option<String>,
}

fn scenario(case: &Case, mutant: Option<&str>) -> Scenario {
    let file = format!("{}.toml", case.scenario);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios")
        .join(&file);
    let text = std::fs::read_to_string(path).unwrap();
    let planted = mutant.map(|mutant| ["--mutant", mutant]);
    let arguments: Vec<&str> = case
        .arguments
        .iter()
        .copied()
        .chain(planted.into_iter().flatten())
        .collect();
    let arguments = format!("cluster.arguments={arguments:?}");
    let overrides = case.set.iter().map(|option| (*option).to_owned());
    let overrides: Vec<String> = overrides.chain([arguments]).collect();
    Scenario::parse_with(&text, &file, &overrides).unwrap()
}

/// Seeds until something was found, and the scenario in which it was.
fn find(base: &Scenario, seeds: u64) -> Option<(u64, virtual_world::Finding)> {
    let options = SearchOptions {
        first: FIRST,
        seeds,
        limit: None,
        jobs: 1,
        keep_going: false,
    };
    let (_, found) = search(base, options, |_| ()).unwrap();
    found.map(|found| (found.seed - FIRST + 1, found))
}

fn first_lines(finding: &virtual_world::Finding) -> String {
    let lines: Vec<String> = finding.wrong.iter().take(5).map(ToString::to_string).collect();
    lines.join("\n    ")
}

fn try_case(case: &Case) -> Row {
    let began = Instant::now();
    let row = |seeds, verdict: &str, wrong: Option<String>| Row {
        mutant: case.mutant,
        seeds,
        took: began.elapsed(),
        verdict: verdict.to_owned(),
        wrong,
    };
    let Some((seeds, finding)) = find(&scenario(case, Some(case.mutant)), case.seeds) else {
        let wrong = format!("survived {} seeds", case.seeds);
        return row(None, "-", Some(wrong));
    };
    let kind = finding.wrong[0].kind.as_str();
    let expected = case.verdicts.contains(&kind);
    let wrong = (!expected).then(|| {
        let (seed, verdicts, said) = (finding.seed, case.verdicts, first_lines(&finding));
        format!("expected one of {verdicts:?} first, seed {seed} says:\n    {said}")
    });
    row(Some(seeds), kind, wrong)
}

/// Runs the cases on several threads; the rows are in the order of the cases.
fn try_all(cases: &[&Case], tell: impl Fn(&Row) + Sync) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some((index, case)) = take(&next, cases) {
                    let row = try_case(case);
                    tell(&row);
                    rows.lock().unwrap().insert(index, row);
                }
            });
        }
    });
    rows.into_inner().unwrap().into_values().collect()
}

fn take<'a>(next: &AtomicUsize, cases: &[&'a Case]) -> Option<(usize, &'a Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, *case))
}

/// Without a bug the same seeds find nothing: what is found wrong is a row.
fn control(cases: &[&Case], rows: &[Row]) -> Vec<Row> {
    let mut most: Vec<(&Case, u64)> = Vec::new();
    for (case, row) in cases.iter().zip(rows) {
        let seeds = row.seeds.unwrap_or(case.seeds);
        let same = |known: &&mut (&Case, u64)| {
            let known = known.0;
            (known.scenario, known.set, known.arguments) == (case.scenario, case.set, case.arguments)
        };
        match most.iter_mut().find(same) {
            Some(known) => known.1 = known.1.max(seeds),
            None => most.push((case, seeds)),
        }
    }
    let next = AtomicUsize::new(0);
    let accused = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some((case, seeds)) = most.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some((_, finding)) = find(&scenario(case, None), *seeds) {
                        let said = first_lines(&finding);
                        accused.lock().unwrap().push(Row {
                            mutant: "(none)",
                            seeds: None,
                            took: Duration::ZERO,
                            verdict: "-".to_owned(),
                            wrong: Some(format!("seed {} without a bug:\n    {said}", finding.seed)),
                        });
                    }
                }
            });
        }
    });
    accused.into_inner().unwrap()
}

fn print_table(rows: &[Row]) {
    println!("\n{:<28} {:>5}  {:>7}  verdict", "mutant", "seeds", "time");
    for row in rows {
        let seeds = row
            .seeds
            .map_or_else(|| "-".to_owned(), |seeds| seeds.to_string());
        let seconds = row.took.as_secs_f64();
        println!("{:<28} {seeds:>5}  {seconds:>5.1} s  {}", row.mutant, row.verdict);
    }
    println!();
}

/// Every bug that can be planted has its case.
fn assert_complete() {
    let mut known: Vec<&str> = CASES.iter().map(|case| case.mutant).collect();
    let planted = Mutant::value_variants()
        .iter()
        .filter_map(Mutant::to_possible_value);
    let mut planted: Vec<String> = planted.map(|value| value.get_name().to_owned()).collect();
    known.sort_unstable();
    planted.sort_unstable();
    assert_eq!(known, planted, "each mutant is to be in the table of cases once");
}

fn main() -> ExitCode {
    assert_complete();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.mutant.contains(*part));
    let cases: Vec<&Case> = CASES.iter().filter(is_wanted).collect();
    if arguments.iter().any(|word| word == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.mutant));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", cases.len() + 1);
    let began = Instant::now();
    let rows = try_all(&cases, |row| {
        let result = if row.wrong.is_some() { "FAILED" } else { "ok" };
        println!("test {} ... {result}", row.mutant);
        if let Some(wrong) = &row.wrong {
            println!("    {wrong}");
        }
    });
    let accused = control(&cases, &rows);
    let result = if accused.is_empty() { "ok" } else { "FAILED" };
    println!("test without_a_mutant_the_same_seeds_find_nothing ... {result}");
    print_table(&rows);
    let wrong: Vec<&Row> = rows
        .iter()
        .chain(&accused)
        .filter(|row| row.wrong.is_some())
        .collect();
    for row in &wrong {
        println!("{}: {}", row.mutant, row.wrong.as_deref().unwrap_or_default());
    }
    let failed = rows.iter().filter(|row| row.wrong.is_some()).count() + usize::from(!accused.is_empty());
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in \
         {:.2}s\n",
        cases.len() + 1 - failed,
        CASES.len() - cases.len(),
        began.elapsed().as_secs_f64()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
