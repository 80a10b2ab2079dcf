//! The one screen after a run: verdict, expectations, the numbers, what is wrong, where the files are.

use std::path::Path;

use super::{ExpectationOutcome, Harness, Percentiles, Provenance, Report, Verdict};
use crate::checker::{Breach, whose};

/// Violations shown; the files have more.
const SHOWN: usize = 5;

/// Whether to use colours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// ANSI colours.
    Coloured,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Style::Plain => text.into(),
            Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    fn good_or_bad(self, good: bool, text: &str) -> String {
        self.paint(if good { "32" } else { "1;31" }, text)
    }
}

/// Renders the report for a terminal.
pub fn screen(report: &Report, directory: &Path, style: Style) -> String {
    let mut lines = vec![
        headline(report, style),
        format!("  {}", report.question),
        String::new(),
    ];
    if let Some(reason) = &report.reason {
        let text = format!("  nothing can be concluded: {reason}\n");
        lines.insert(1, style.paint("33", &text));
    }
    lines.extend(report.expectations.iter().map(|it| expected(it, style)));
    lines.push(String::new());
    lines.extend(numbers(report, style));
    lines.extend(
        report
            .warnings
            .iter()
            .map(|warning| style.paint("33", &format!("  warning    {warning}"))),
    );
    lines.extend(defects(report, style));
    lines.extend(violations(report, style));
    lines.push(format!("\n  files      {}", directory.display()));
    lines.join("\n") + "\n"
}

/// One line, and one more for each thing that keeps the run from passing: for who wants no screen.
pub fn brief(report: &Report, directory: &Path, style: Style) -> String {
    let mut lines = vec![format!("{}  {}", headline(report, style), directory.display())];
    let reason = report.reason.iter();
    lines.extend(reason.map(|reason| style.paint("33", &format!("  nothing can be concluded: {reason}"))));
    let failed = report.expectations.iter().filter(|it| !it.pass);
    lines.extend(failed.map(|it| expected(it, style)));
    if report.verdict == Verdict::Fail {
        lines.extend(defects(report, style));
    }
    lines.join("\n") + "\n"
}

/// A line of `[expect]` and what came of it.
fn expected(expectation: &ExpectationOutcome, style: Style) -> String {
    let mark = if expectation.pass { "ok  " } else { "FAIL" };
    let actual = if expectation.actual.is_null() {
        "not measured".into()
    } else {
        number(&expectation.actual)
    };
    let text = format!(
        "{mark}  {} {}   actual {actual}",
        expectation.path, expectation.limit
    );
    format!("  {}", style.good_or_bad(expectation.pass, &text))
}

fn defects(report: &Report, style: Style) -> impl Iterator<Item = String> {
    let messages = report.defects.messages.iter();
    messages.map(move |defect| style.paint("1;31", &format!("  defect     {defect}")))
}

fn headline(report: &Report, style: Style) -> String {
    let verdict = match (report.interrupted, report.verdict) {
        (true, _) => style.paint("33", "interrupted"),
        (false, Verdict::Pass) => style.paint("1;32", "pass"),
        (false, Verdict::Fail) => style.paint("1;31", "FAIL"),
        (false, Verdict::Inconclusive) => style.paint("1;33", "inconclusive"),
    };
    let broker = match report.broker.kind.as_str() {
        "" => String::new(),
        kind => format!("{} {}, ", kind, report.broker.version),
    };
    format!(
        "{verdict}  {} (seed {}, {} world, {broker}{:.1} s)",
        report.scenario, report.seed, report.world, report.duration_s
    )
}

fn numbers(report: &Report, style: Style) -> Vec<String> {
    let (devices, tickets, failover) = (&report.devices, &report.tickets, &report.failover_ms);
    let (judged, excused) = (tickets.sent.saturating_sub(tickets.open), report.excused());
    let broken = format!("{} violations", tickets.violations);
    let judged = format!(" · {judged} judged · {excused} excused");
    let open = match tickets.open {
        0 => String::new(),
        open => format!(" · {open} open, not judged"),
    };
    let mut lines = vec![
        format!(
            "  devices    {} of {} registered · {} updates · {} re-registrations · {} lost registrations",
            devices.registered,
            devices.count,
            devices.updates,
            devices.reregistrations,
            devices.lost_registrations
        ),
        format!(
            "  tickets    {} sent · {} acked · {} responses · {} errors{}{open} · {} repeats · {}",
            tickets.sent,
            tickets.acked,
            tickets.responses,
            tickets.errors,
            codes(report),
            tickets.repeats,
            style.good_or_bad(tickets.violations == 0, &broken) + &judged
        ),
        format!(
            "  events     {} new · {} up · {} del · {} violations",
            report.events.new, report.events.up, report.events.del, report.events.violations
        ),
        format!("  latency    steady {}", percentiles(&report.latency_ms.steady)),
        format!("             fault  {}", percentiles(&report.latency_ms.fault)),
        format!("  uplink     Update {}", percentiles(&report.uplink_ms.update)),
    ];
    if failover.devices > 0 {
        lines.push(format!(
            "  failover   {} of {} devices · p50 {} · p99 {} · max {} ms · {} unrecovered · detected after {} ms",
            failover.n,
            failover.devices,
            millis(failover.p50),
            millis(failover.p99),
            millis(failover.max),
            failover.unrecovered,
            millis(failover.detect)
        ));
    }
    lines.push(cost(report));
    lines.extend(report.harness.as_ref().map(harness));
    lines.extend(report.provenance.as_ref().map(provenance));
    lines
}

fn codes(report: &Report) -> String {
    let codes: Vec<_> = report
        .tickets
        .errors_by_code
        .iter()
        .map(|(code, count)| format!("{count} {code}"))
        .collect();
    if codes.is_empty() {
        String::new()
    } else {
        format!(" ({})", codes.join(", "))
    }
}

fn provenance(provenance: &Provenance) -> String {
    let Provenance { build, machine, .. } = provenance;
    let (commit, profile) = (&build.commit, &build.profile);
    format!(
        "  build      {commit} ({profile}) on {} × {}, Linux {}",
        machine.cores, machine.cpu, machine.kernel
    )
}

/// Its own share in what was measured.
fn harness(harness: &Harness) -> String {
    let added = harness.added_ms.as_ref().map_or(String::new(), |added| {
        let [p50, p99] = [added.p50, added.p99].map(|value| millis(Some(value)));
        format!("adds p50 {p50} · p99 {p99} ms to an exchange · ")
    });
    let [lag, late] = [harness.lag_ms, harness.late_ms].map(|value| millis(Some(value)));
    let drops = harness.drops;
    format!(
        "  harness    {added}loop up to {lag} ms late · requests up to {late} ms late · {drops} datagrams dropped"
    )
}

fn cost(report: &Report) -> String {
    if report.world == "virtual" {
        // Nothing in it has a process of its own: what counts is how much faster than the clock it was.
        let factor = report.duration_s / report.wall_s.max(1e-6);
        return format!(
            "  speed      {:.2} s of wall time: {factor:.0} × the clock",
            report.wall_s
        );
    }
    let cluster = &report.cost.cluster;
    let floors = cluster.cpu_floors_per_op.map_or(String::new(), |floors| {
        format!(" = {floors:.1} × a bare UDP echo")
    });
    let Some(cpu_s) = cluster.cpu_s else {
        return "  cost       not measured".into();
    };
    let per_op = cluster.cpu_us_per_op.map_or(String::new(), |cost| {
        format!(" · {cost:.1} µs per operation{floors}")
    });
    let bytes = report.cost.simulator.bytes_per_device;
    let bytes = bytes.map_or(String::new(), |bytes| {
        format!(" · {bytes:.0} B per virtual device")
    });
    format!("  cost       cluster {cpu_s:.2} CPU s{per_op}{bytes}")
}

fn percentiles(figures: &Percentiles) -> String {
    if figures.n + figures.unanswered == 0 {
        return "nothing measured".into();
    }
    let [p50, p90, p99, max] = [figures.p50, figures.p90, figures.p99, figures.max].map(millis);
    let unanswered = match figures.unanswered {
        0 => String::new(),
        count => format!(", {count} unanswered"),
    };
    format!(
        "p50 {p50} · p90 {p90} · p99 {p99} · max {max} ms (n {}{unanswered})",
        figures.n
    )
}

/// Milliseconds with as many digits as matter.
pub fn millis(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// A value of the report, short.
pub fn number(value: &serde_json::Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() != 0.0 => millis(Some(number)),
        _ => value.to_string(),
    }
}

fn violations(report: &Report, style: Style) -> Vec<String> {
    let of_events = (Breach::Event, report.events.violations);
    let of_tickets = report
        .tickets
        .broken
        .iter()
        .map(|(breach, count)| (*breach, *count));
    let broken = of_tickets.chain([of_events]).filter(|(_, count)| *count > 0);
    let counts: Vec<_> = broken
        .map(|(breach, count)| format!("{count} {}", breach.as_str()))
        .collect();
    if report.counter_examples.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![style.paint("1;31", &format!("\n  broken     {}", counts.join(", ")))];
    lines.extend(report.counter_examples.iter().take(SHOWN).map(|violation| {
        let at = violation.at_us as f64 / 1e6;
        let breach = violation.breach.as_str();
        let whose = whose(&violation.ep, &violation.ticket);
        format!("    {at:9.3} s  {breach}  {whose}{}", violation.explanation)
    }));
    if report.counter_examples.len() > SHOWN {
        lines.push(format!(
            "    … {} more in report.md",
            report.counter_examples.len() - SHOWN
        ));
    }
    lines
}
