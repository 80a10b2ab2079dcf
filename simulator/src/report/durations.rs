//! Durations, some of which are only known to be longer than so much: what failed or was still open when nobody looked
//! any more. Leaving those out would make a percentile better when the slowest become errors.
//!
//! In: durations in microseconds. Out: quantiles by the Kaplan–Meier estimate, which counts what ended early as one that
//! would have taken at least as long, and without such ones is the usual quantile.

use hdrhistogram::Histogram;

use super::Percentiles;

/// The longest told apart from longer ones: an hour, in microseconds.
const MAX_US: u64 = 3_600_000_000;
/// What the arithmetic of a quantile may be off.
const ROUNDING: f64 = 1e-9;

/// How many lasted so long.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Step {
    /// So long, in microseconds.
    pub micros: u64,
    /// Lasted so long.
    pub ended: u64,
    /// Lasted at least so long.
    pub cut: u64,
}

impl Step {
    /// One that lasted so long; at least so long if it did not end as it should.
    pub fn one(micros: u64, ended: bool) -> Step {
        Step {
            micros,
            ended: u64::from(ended),
            cut: u64::from(!ended),
        }
    }

    /// What ended comes before what was cut at the same time.
    pub fn order(&self) -> (u64, bool) {
        (self.micros, self.cut > 0)
    }
}

/// Many durations, with three significant digits.
pub struct Durations {
    ended: Histogram<u64>,
    cut: Histogram<u64>,
}

impl Durations {
    pub fn new() -> Self {
        Durations {
            ended: histogram(),
            cut: histogram(),
        }
    }

    /// Adds one that lasted so long; at least so long if it did not end as it should.
    pub fn note(&mut self, micros: u64, ended: bool) {
        let histogram = if ended { &mut self.ended } else { &mut self.cut };
        let recorded = histogram.record(micros.clamp(1, MAX_US));
        recorded.expect("it grows up to the longest");
    }

    /// All of them, each as long as it is known to have lasted.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = self.ended.clone();
        all.add(&self.cut).expect("it grows");
        all
    }

    /// The figures of the report.
    pub fn percentiles(&self) -> Percentiles {
        percentiles(&self.steps())
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let rows = |histogram: &Histogram<u64>| {
            let rows = histogram.iter_recorded();
            rows.map(|row| (row.value_iterated_to(), row.count_since_last_iteration()))
                .collect::<Vec<_>>()
        };
        let ended = rows(&self.ended).into_iter().map(|(micros, count)| Step {
            micros: micros.min(self.ended.max()),
            ended: count,
            cut: 0,
        });
        let cut = rows(&self.cut).into_iter().map(|(micros, count)| Step {
            micros: micros.min(self.cut.max()),
            ended: 0,
            cut: count,
        });
        steps.extend(ended.chain(cut));
        steps.sort_by_key(Step::order);
        steps
    }
}

/// A histogram of microseconds with three significant digits, which grows.
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are not too many")
}

/// The figures of durations in ascending order, in milliseconds to the microsecond.
pub fn percentiles(steps: &[Step]) -> Percentiles {
    let at = |share| quantile(steps, share).map(|micros| micros as f64 / 1000.0);
    let sum = |count: fn(&Step) -> u64| steps.iter().map(count).sum();
    Percentiles {
        n: sum(|step| step.ended),
        unanswered: sum(|step| step.cut),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
    }
}

/// The smallest duration that at least this share does not exceed. Where nobody knows, because what is left was cut: the
/// longest that was seen, and it is at least that.
fn quantile(steps: &[Step], share: f64) -> Option<u64> {
    let longest = steps.last()?.micros;
    let mut left: u64 = steps.iter().map(|step| step.ended + step.cut).sum();
    let mut survive = 1.0;
    for step in steps {
        survive *= 1.0 - step.ended as f64 / left as f64;
        if step.ended > 0 && 1.0 - survive >= share - ROUNDING {
            return Some(step.micros);
        }
        left -= step.ended + step.cut;
    }
    Some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(micros: u64, ended: u64, cut: u64) -> Step {
        Step { micros, ended, cut }
    }

    #[test]
    fn without_a_cut_it_is_the_usual_quantile() {
        let steps: Vec<Step> = (1..=1000).map(|micros| step(micros, 1, 0)).collect();
        let at = |share| quantile(&steps, share);
        assert_eq!(
            [at(0.001), at(0.5), at(0.9), at(0.99), at(0.999), at(1.0)],
            [Some(1), Some(500), Some(900), Some(990), Some(999), Some(1000)]
        );
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn what_became_an_error_late_makes_the_tail_longer_and_not_shorter() {
        // 990 answers within 10 ms, and ten timeouts after 8 s.
        let steps = [step(10_000, 990, 0), step(8_000_000, 0, 10)];
        let figures = percentiles(&steps);
        assert_eq!((figures.n, figures.unanswered), (990, 10));
        assert_eq!((figures.p50, figures.p99), (Some(10.0), Some(10.0)));
        assert_eq!((figures.p999, figures.max), (Some(8000.0), Some(8000.0)));
    }

    #[test]
    fn what_was_refused_at_once_makes_nothing_faster() {
        let steps = [step(1000, 0, 500), step(5000, 400, 0), step(90_000, 100, 0)];
        let figures = percentiles(&steps);
        assert_eq!((figures.p50, figures.p90), (Some(5.0), Some(90.0)));
        let nobody = percentiles(&[step(1000, 0, 7)]);
        assert_eq!((nobody.n, nobody.unanswered, nobody.p50), (0, 7, Some(1.0)));
    }

    #[test]
    fn a_histogram_gives_the_same() {
        let mut durations = Durations::new();
        (1..=98).for_each(|_| durations.note(10_000, true));
        (1..=2).for_each(|_| durations.note(8_000_000, false));
        let figures = durations.percentiles();
        // Three significant digits: a value stands for the end of its bucket.
        assert_eq!(
            (figures.n, figures.unanswered, figures.p50, figures.p99),
            (98, 2, Some(10.007), Some(8003.583))
        );
        assert_eq!(durations.all().len(), 100);
        assert_eq!(Durations::new().percentiles(), Percentiles::default());
    }
}
