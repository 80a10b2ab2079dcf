//! Latencies of tickets as they end: apart for steady times and the time around faults, and by kind of request.
//!
//! What ended in an error, or not at all, counts as at least its age. Of what is no request, the error is the answer.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::Latencies;
use super::durations::Durations;
use super::lives::{Ending, Life};
use crate::operation::RequestKind;

/// The latencies of a run so far.
pub struct Measured {
    steady: Durations,
    fault: Durations,
    overall: Durations,
    uncorrected: Durations,
    by_kind: BTreeMap<RequestKind, Durations>,
}

impl Measured {
    pub fn new() -> Self {
        Measured {
            steady: Durations::new(),
            fault: Durations::new(),
            overall: Durations::new(),
            uncorrected: Durations::new(),
            by_kind: BTreeMap::new(),
        }
    }

    /// Takes a ticket that ended, or was open when the history did. `disturbed`: a part of its life was near a fault.
    pub fn note(&mut self, life: &Life, ending: Option<&Ending>, at_us: u64, disturbed: bool) {
        let answered = is_answer(life, ending);
        let latency = at_us.saturating_sub(life.intended_us);
        let of_kind = self.by_kind.entry(life.kind).or_insert_with(Durations::new);
        let near = if disturbed {
            &mut self.fault
        } else {
            &mut self.steady
        };
        for durations in [near, &mut self.overall, of_kind] {
            durations.note(latency, answered);
        }
        let published = life.published_us.unwrap_or(life.sent_us);
        self.uncorrected.note(at_us.saturating_sub(published), answered);
    }

    /// As in the report.
    pub fn figures(&self) -> Latencies {
        let by_kind = self.by_kind.iter();
        Latencies {
            steady: self.steady.percentiles(),
            fault: self.fault.percentiles(),
            overall: self.overall.percentiles(),
            uncorrected: self.uncorrected.percentiles(),
            by_kind: by_kind
                .map(|(kind, durations)| (*kind, durations.percentiles()))
                .collect(),
        }
    }

    /// All from the intended time, for plotters.
    pub fn overall(&self) -> Histogram<u64> {
        self.overall.all()
    }
}

/// True if the ticket ended as it should.
pub fn is_answer(life: &Life, ending: Option<&Ending>) -> bool {
    match ending {
        Some(Ending::Answered) => true,
        Some(Ending::Failed(_)) => life.kind == RequestKind::Malformed,
        None => false,
    }
}

/// The text form that plotters of HdrHistogram read: value in milliseconds, percentile, count, 1/(1 − percentile).
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for step in histogram.iter_quantiles(5) {
        let value = step.value_iterated_to() as f64 / 1000.0;
        let percentile = step.quantile_iterated_to();
        let count = histogram.count_between(0, step.value_iterated_to());
        let inverse = if percentile < 1.0 {
            format!("{:14.2}", 1.0 / (1.0 - percentile))
        } else {
            String::new()
        };
        text.push_str(
            &format!("{value:12.3} {percentile:14.12} {count:10} {inverse}\n").replace(" \n", "\n"),
        );
    }
    let deviation = histogram.stdev() / 1000.0;
    text.push_str(&format!(
        "#[Mean    = {:12.3}, StdDeviation   = {deviation:12.3}]\n",
        histogram.mean() / 1000.0
    ));
    let max = if histogram.is_empty() {
        0.0
    } else {
        histogram.max() as f64 / 1000.0
    };
    text.push_str(&format!(
        "#[Max     = {max:12.3}, Total count    = {:12}]\n",
        histogram.len()
    ));
    text.push_str(&format!(
        "#[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.buckets(),
        2048
    ));
    text
}
