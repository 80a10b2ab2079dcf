//! `report.md`: the report for a pull request.

use super::screen::{millis, number};
use super::{Percentiles, Provenance, Report, Verdict};
use crate::checker::whose;

/// Counter-examples told in full; the others are in report.json.
const TOLD: usize = 5;

/// Renders the report as GitHub-flavoured Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = head(report);
    text.push_str(&expectations(report));
    text.push_str(&tickets(report));
    text.push_str(&times(report));
    text.push_str(&costs(report));
    if !report.defects.messages.is_empty() {
        text.push_str("\n## Defects\n\n");
        let defects = report.defects.messages.iter();
        defects.for_each(|defect| text.push_str(&format!("- {defect}\n")));
    }
    if !report.warnings.is_empty() {
        text.push_str("\n## Warnings\n\n");
        report
            .warnings
            .iter()
            .for_each(|warning| text.push_str(&format!("- {warning}\n")));
    }
    text.push_str(&counter_examples(report));
    text
}

fn head(report: &Report) -> String {
    let verdict = match report.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "**FAIL**",
        Verdict::Inconclusive => "**inconclusive**",
    };
    let cut = if report.interrupted { " (interrupted)" } else { "" };
    let reason = report.reason.as_ref();
    let reason = reason.map_or(String::new(), |reason| {
        format!("\n\nNothing can be concluded: {reason}.")
    });
    format!(
        "# {}: {verdict}{cut}{reason}\n\n{}\n\nSeed {} · {} world · broker {} {} · {:.1} s (wall {:.1} s) · simulator {}\n",
        report.scenario,
        report.question,
        report.seed,
        report.world,
        report.broker.kind,
        report.broker.version,
        report.duration_s,
        report.wall_s,
        report.version
    ) + &provenance(report)
}

fn provenance(report: &Report) -> String {
    let Some(Provenance { build, machine, .. }) = &report.provenance else {
        return String::new();
    };
    let configuration = report.broker.configuration.iter();
    let configuration: Vec<String> = configuration
        .map(|(name, value)| format!("{name} `{value}`"))
        .collect();
    let broker = match configuration.is_empty() {
        true => String::new(),
        false => format!(" · broker: {}", configuration.join(", ")),
    };
    format!(
        "\nCommit {} ({}) · {} × {} · Linux {}{broker}\n",
        build.commit, build.profile, machine.cores, machine.cpu, machine.kernel
    )
}

fn table(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rule: Vec<String> = header.iter().map(|_| "---".into()).collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("\n## {title}\n\n{}{}{body}", line(&header), line(&rule))
}

fn expectations(report: &Report) -> String {
    let row = |expectation: &crate::scenario::ExpectationOutcome| {
        let mark = if expectation.pass { "ok" } else { "**FAIL**" };
        let limit = format!("`{}`", expectation.limit);
        vec![
            format!("`{}`", expectation.path),
            limit,
            number(&expectation.actual),
            mark.into(),
        ]
    };
    let rows = report.expectations.iter().map(row).collect();
    table("Expectations", &["report.json", "limit", "actual", ""], rows)
}

fn tickets(report: &Report) -> String {
    let tickets = &report.tickets;
    let mut rows = vec![
        vec!["sent".into(), tickets.sent.to_string()],
        vec!["acked".into(), tickets.acked.to_string()],
        vec!["responses".into(), tickets.responses.to_string()],
        vec!["errors".into(), tickets.errors.to_string()],
    ];
    let codes = tickets.errors_by_code.iter();
    rows.extend(codes.map(|(code, count)| vec![format!("… `{code}`"), count.to_string()]));
    rows.push(vec!["repeats".into(), tickets.repeats.to_string()]);
    let left = [
        ("open at the end, not judged", tickets.open),
        ("not made: no device was registered", tickets.skipped),
        ("not made: too many were open", tickets.refused),
    ];
    let left = left.into_iter().filter(|(_, count)| *count > 0);
    rows.extend(left.map(|(what, count)| vec![what.into(), count.to_string()]));
    rows.push(vec!["**violations**".into(), tickets.violations.to_string()]);
    let broken = tickets.broken.iter().filter(|(_, count)| **count > 0);
    rows.extend(broken.map(|(breach, count)| vec![format!("… `{}`", breach.as_str()), count.to_string()]));
    rows.push(vec![
        "registration events out of sequence".into(),
        report.events.violations.to_string(),
    ]);
    table("Tickets", &["", "count"], rows)
}

fn times(report: &Report) -> String {
    let row = |name: &str, figures: &Percentiles| {
        let cells = [figures.p50, figures.p90, figures.p99, figures.p999, figures.max].map(millis);
        let counts = [figures.n, figures.unanswered].map(|count| count.to_string());
        [vec![name.to_owned()], counts.to_vec(), cells.to_vec()].concat()
    };
    let latency = &report.latency_ms;
    let failover = &report.failover_ms;
    let mut rows = vec![
        row("steady", &latency.steady),
        row("around faults", &latency.fault),
        row("all, from the intended time", &latency.overall),
        row("all, from the first publication", &latency.uncorrected),
    ];
    let by_kind = latency.by_kind.iter();
    rows.extend(by_kind.map(|(kind, figures)| row(&format!("… {}", kind.as_str()), figures)));
    rows.push(row("Register, as the device sees it", &report.uplink_ms.register));
    rows.push(row("Update, as the device sees it", &report.uplink_ms.update));
    let mut text = table(
        "Latency (ms)",
        &["", "n", "unanswered", "p50", "p90", "p99", "p99.9", "max"],
        rows,
    );
    if failover.devices > 0 {
        let figures = [
            failover.p50,
            failover.p90,
            failover.p99,
            failover.max,
            failover.detect,
        ]
        .map(millis);
        let row = [
            vec![failover.devices.to_string(), failover.n.to_string()],
            figures.to_vec(),
            vec![failover.unrecovered.to_string()],
        ];
        let header = [
            "devices",
            "recovered",
            "p50",
            "p90",
            "p99",
            "max",
            "detected",
            "unrecovered",
        ];
        text.push_str(&table("Failover (ms)", &header, vec![row.concat()]));
    }
    text
}

fn costs(report: &Report) -> String {
    let cost = &report.cost;
    let kib = |value: Option<u64>| value.map_or("–".into(), |value| value.to_string());
    let mut rows: Vec<Vec<String>> = cost
        .instances
        .iter()
        .map(|instance| {
            let name = format!("instance {}", instance.id);
            vec![
                name,
                format!("{:.2}", instance.cpu_s),
                kib(Some(instance.rss_peak_kib)),
                millis(instance.cpu_us_per_op),
            ]
        })
        .collect();
    let cluster = &cost.cluster;
    rows.push(vec![
        "all instances".into(),
        millis(cluster.cpu_s),
        "–".into(),
        millis(cluster.cpu_us_per_op),
    ]);
    rows.push(vec![
        "broker".into(),
        millis(cost.broker.cpu_s),
        kib(cost.broker.rss_peak_kib),
        "–".into(),
    ]);
    rows.push(vec![
        "simulator".into(),
        millis(cost.simulator.cpu_s),
        kib(cost.simulator.rss_peak_kib),
        "–".into(),
    ]);
    let mut text = table("Cost", &["", "CPU s", "peak KiB", "CPU µs per operation"], rows);
    let devices = [
        ("virtual device", cost.simulator.bytes_per_device),
        ("registered device in an instance", cluster.bytes_per_device),
        ("registered device in the broker", cost.broker.bytes_per_device),
    ];
    for (what, bytes) in devices {
        if let Some(bytes) = bytes {
            text.push_str(&format!("\n{bytes:.0} bytes per {what}.\n"));
        }
    }
    if let Some(floor) = &cost.floor {
        text.push_str(&format!(
            "\nA bare UDP echo took {:.2} µs of CPU per datagram ({:.0} per second) in this run.\n",
            floor.cpu_us_per_datagram, floor.datagrams_per_s
        ));
    }
    text
}

fn counter_examples(report: &Report) -> String {
    let mut text = String::new();
    for violation in report.counter_examples.iter().take(TOLD) {
        text.push_str(&format!(
            "\n## Counter-example: {}\n\n{}{}\n\n```json\n",
            violation.breach.as_str(),
            whose(&violation.ep, &violation.ticket),
            violation.explanation
        ));
        for entry in &violation.story {
            text.push_str(&serde_json::to_string(entry).unwrap_or_default());
            text.push('\n');
        }
        text.push_str("```\n");
    }
    text
}
