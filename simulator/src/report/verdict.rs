//! The verdict: pass, fail, or that nothing can be concluded, with the reason.
//!
//! In: a [`Report`] in which all but the verdict stands, and how many requests the scenario asked for. An instance that
//! ended though no fault said so never passes. A harness that was later than the rules assume proves nothing, neither for
//! nor against the cluster, but for rules that no lateness can break.

use super::{Harness, Report, Verdict};
use crate::checker::Breach;

/// What the rules of the contract leave for the harness itself: F has half a second beside the lease and the balancer's
/// detection, and a datagram may spend as long in the sockets.
const PATIENCE_MS: f64 = 500.0;
/// The share of the load that may remain unsent.
const UNSENT: f64 = 0.01;

/// What a run was meant to be.
#[derive(Copy, Clone, Debug)]
pub struct Asked {
    /// The scenario has a load.
    pub load: bool,
    /// Its network loses nothing, so that a datagram which the kernel drops is one too many.
    pub lossless: bool,
}

/// The verdict on a report, and the reason if it is `inconclusive`.
pub fn verdict(report: &Report, asked: Asked) -> (Verdict, Option<String>) {
    let holds = report.expectations.iter().all(|expectation| expectation.pass);
    let breaches = report.tickets.broken.iter();
    let proven = !holds
        && breaches
            .filter(|(_, count)| **count > 0)
            .any(|(breach, _)| !hangs_on_time(*breach));
    if report.defects.count > 0 || proven {
        return (Verdict::Fail, None);
    }
    let late = report
        .harness
        .as_ref()
        .and_then(|harness| too_late(harness, asked));
    let cut = || report.interrupted.then(|| "the run was interrupted".to_owned());
    let unsent = || holds.then(|| too_little(report, asked)).flatten();
    match late.or_else(cut).or_else(unsent) {
        Some(reason) => (Verdict::Inconclusive, Some(reason)),
        None if holds => (Verdict::Pass, None),
        None => (Verdict::Fail, None),
    }
}

/// True if a harness that is late, or loses a datagram, may see this rule broken by a cluster that keeps it.
fn hangs_on_time(breach: Breach) -> bool {
    !matches!(
        breach,
        Breach::NoAck
            | Breach::DoubleAck
            | Breach::DoubleTerminal
            | Breach::TerminalBeforeAck
            | Breach::TwoVoices
            | Breach::Orphan
            | Breach::OutOfOrder
            | Breach::WrongValue
    )
}

fn too_late(harness: &Harness, asked: Asked) -> Option<String> {
    let (lag, late) = (harness.lag_ms, harness.late_ms);
    if lag > PATIENCE_MS {
        return Some(format!(
            "the harness's loop was {lag:.0} ms late, and the rules leave it {PATIENCE_MS:.0} ms"
        ));
    }
    if late > PATIENCE_MS {
        return Some(format!(
            "a request was made {late:.0} ms late, and the rules leave the harness {PATIENCE_MS:.0} ms"
        ));
    }
    (asked.lossless && harness.drops > 0).then(|| {
        format!(
            "the kernel dropped {} datagrams that the harness did not read in time, in a network that loses nothing",
            harness.drops
        )
    })
}

/// The load that was asked for was not sent.
fn too_little(report: &Report, asked: Asked) -> Option<String> {
    let tickets = &report.tickets;
    let made = tickets.sent.saturating_sub(tickets.probes);
    if asked.load && made == 0 {
        return Some("the scenario asks for a load, and nothing was sent".to_owned());
    }
    if tickets.refused > 0 {
        let refused = tickets.refused;
        return Some(format!(
            "{refused} requests were not made because too many tickets were open: a load that waits hides the latency"
        ));
    }
    let skipped = tickets.skipped;
    let all = (made + skipped) as f64;
    (skipped as f64 > all * UNSENT)
        .then(|| format!("{skipped} of {all} requests were not made because no device was registered"))
}
