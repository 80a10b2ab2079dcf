//! The run over time: one row a second of the run's clock.
//!
//! In: what the report's other parts make of each entry. Out: rates, percentiles of what ended in that second, how many
//! devices were registered and tickets open at its end. What each instance used comes from the facts.

use std::collections::BTreeMap;

use super::durations::{Step, percentiles};
use super::{InstanceSecond, Second, UsageSample};

const SECOND_US: u64 = 1_000_000;

/// What is counted in a row.
#[derive(Copy, Clone, Debug)]
pub enum Counted {
    /// A ticket was sent for the first time.
    Sent,
    /// A ticket ended as it should.
    Answered,
    /// A ticket ended in an error.
    Failed,
    /// A Register was answered 2.01.
    Registered,
    /// An Update was answered 2.04.
    Updated,
}

/// Makes the rows while a history is read.
pub struct Series {
    rows: Vec<Second>,
    /// The row that grows.
    row: Second,
    /// What ended in it, after so long, answered or not.
    latency: Vec<Step>,
}

impl Series {
    pub fn new() -> Self {
        Series {
            rows: Vec::new(),
            row: Second::default(),
            latency: Vec::new(),
        }
    }

    /// The time goes on to `at_us`; `registered` devices and `open` tickets were there until then.
    pub fn go_on(&mut self, at_us: u64, registered: u64, open: u64) {
        while self.row.s < at_us / SECOND_US {
            let next = self.row.s + 1;
            self.end_row(registered, open);
            self.row.s = next;
        }
    }

    /// Counts something in this second.
    pub fn count(&mut self, what: Counted) {
        let count = match what {
            Counted::Sent => &mut self.row.sent,
            Counted::Answered => &mut self.row.answered,
            Counted::Failed => &mut self.row.failed,
            Counted::Registered => &mut self.row.registrations,
            Counted::Updated => &mut self.row.updates,
        };
        *count += 1;
    }

    /// A ticket of the load ended in this second, after so long.
    pub fn ended(&mut self, latency_us: u64, answered: bool) {
        self.latency.push(Step::one(latency_us, answered));
        self.count(if answered {
            Counted::Answered
        } else {
            Counted::Failed
        });
    }

    /// All rows.
    pub fn finish(mut self, registered: u64, open: u64, usage: &[UsageSample]) -> Vec<Second> {
        self.end_row(registered, open);
        let mut before: BTreeMap<&str, &UsageSample> = BTreeMap::new();
        for sample in usage {
            let last = before.insert(&sample.id, sample);
            let row = usize::try_from(sample.at_us / SECOND_US).ok();
            let row = row.and_then(|row| self.rows.get_mut(row));
            let (Some(last), Some(row)) = (last, row) else {
                continue;
            };
            let passed = sample.at_us.saturating_sub(last.at_us).max(1) as f64 / 1e6;
            let used = InstanceSecond {
                cpu: ((sample.cpu_s - last.cpu_s) / passed * 1e3).round() / 1e3,
                rss_kib: sample.rss_kib,
            };
            row.instances.insert(sample.id.clone(), used);
        }
        self.rows
    }

    fn end_row(&mut self, registered: u64, open: u64) {
        let mut row = std::mem::take(&mut self.row);
        self.latency.sort_by_key(Step::order);
        let figures = percentiles(&self.latency);
        self.latency.clear();
        (row.registered, row.open) = (registered, open);
        (row.p50_ms, row.p99_ms, row.max_ms) = (figures.p50, figures.p99, figures.max);
        self.rows.push(row);
    }
}
