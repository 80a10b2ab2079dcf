//! Latencies: histograms of answered tickets, apart for steady times and the time around faults.

use hdrhistogram::Histogram;

use super::{Latencies, Percentiles};
use crate::checker::{Outcome, Ticket};

/// The longest latency told apart from longer ones: an hour, in microseconds.
const MAX_US: u64 = 3_600_000_000;
/// ACK_TIMEOUT × ACK_RANDOM_FACTOR (RFC 7252, 4.8): how long a lost datagram delays an exchange that is otherwise well.
pub const RETRANSMISSION_US: u64 = 3_000_000;

/// A histogram of microseconds with three significant digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_US, 3).expect("1 to an hour with three digits is a valid range")
}

/// Adds a value; what is longer than the range counts as its end.
pub fn note(histogram: &mut Histogram<u64>, micros: u64) {
    histogram.saturating_record(micros.clamp(1, MAX_US));
}

/// Milliseconds at a quantile, to the microsecond.
pub fn millis_at(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty())
        .then(|| histogram.value_at_quantile(quantile).min(histogram.max()) as f64 / 1000.0)
}

/// The figures of a histogram.
pub fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    Percentiles {
        n: histogram.len(),
        p50: millis_at(histogram, 0.5),
        p90: millis_at(histogram, 0.9),
        p99: millis_at(histogram, 0.99),
        p999: millis_at(histogram, 0.999),
        max: millis_at(histogram, 1.0),
    }
}

/// The histograms of a run.
pub struct Measured {
    pub steady: Histogram<u64>,
    pub fault: Histogram<u64>,
    pub overall: Histogram<u64>,
    pub uncorrected: Histogram<u64>,
}

/// Measures the answered tickets; `windows` are the times around faults, in microseconds.
pub fn measure(tickets: &[Ticket], windows: &[(u64, u64)]) -> Measured {
    let mut measured = Measured {
        steady: histogram(),
        fault: histogram(),
        overall: histogram(),
        uncorrected: histogram(),
    };
    for ticket in tickets.iter().filter(|ticket| !ticket.probe) {
        let Some(terminal) = &ticket.terminal else {
            continue;
        };
        if !matches!(terminal.outcome, Outcome::Response { .. }) {
            continue;
        }
        let (from, to) = (ticket.intended_us, terminal.mark.at_us);
        let corrected = to.saturating_sub(from);
        let near_fault = windows.iter().any(|(begin, end)| from <= *end && *begin <= to);
        note(
            if near_fault {
                &mut measured.fault
            } else {
                &mut measured.steady
            },
            corrected,
        );
        note(&mut measured.overall, corrected);
        let published = ticket.first_published_us.unwrap_or(ticket.first_sent_us);
        note(&mut measured.uncorrected, to.saturating_sub(published));
    }
    measured
}

impl Measured {
    /// As in the report.
    pub fn figures(&self) -> Latencies {
        Latencies {
            steady: percentiles(&self.steady),
            fault: percentiles(&self.fault),
            overall: percentiles(&self.overall),
            uncorrected: percentiles(&self.uncorrected),
        }
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
