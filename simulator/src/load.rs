//! The load: which request is meant to be sent when.
//!
//! An open model: arrivals are a Poisson process at the wanted rate and do not wait for answers, so a slow cluster
//! cannot slow the load down and hide its own latency (coordinated omission). In: the time and the endpoints known to
//! be registered. Out: arrivals, each with the time at which it was meant, from which its latency counts.

use std::sync::Arc;
use std::time::Duration;

use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::exponential::exponential;
use crate::operation::Operation;

/// One kind of request in a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// What is asked: each of these is as likely as the others. Not empty.
    pub operations: Vec<Operation>,
    /// How often, relative to the other shares.
    pub weight: u32,
}

/// A part of a stream's time, in which its rate stays or changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How long it lasts.
    pub length: Duration,
    /// Arrivals per second at its begin, on average.
    pub from: f64,
    /// The same at its end.
    pub to: f64,
}

/// One stream of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// The mix from which each arrival is drawn by weight. Not empty.
    pub mix: Vec<Share>,
    /// The index of the group of devices that are asked; none: all are.
    pub group: Option<usize>,
    /// No arrival before this time of the run.
    pub start: Duration,
    /// What comes from then on, one after the other.
    pub stages: Vec<Stage>,
    /// The timeout that each request carries.
    pub timeout: Duration,
    /// False: the back end publishes each request once, whatever it hears.
    pub repeat: bool,
    /// The share of requests that it publishes once more, whatever it heard.
    pub impatience: f64,
    /// The share of requests that get the ticket of the one before them, with another endpoint.
    pub shared_tickets: f64,
}

impl Stage {
    /// A stage in which the rate stays the same.
    pub fn steady(length: Duration, rate: f64) -> Stage {
        Stage {
            length,
            from: rate,
            to: rate,
        }
    }

    /// How many arrivals it has from `offset` on, on average: the integral of the rate.
    fn arrivals_after(&self, offset: f64) -> f64 {
        let left = self.length.as_secs_f64() - offset;
        (self.rate_at(offset) + self.to) / 2.0 * left
    }

    fn rate_at(&self, offset: f64) -> f64 {
        self.from + self.slope() * offset
    }

    fn slope(&self) -> f64 {
        (self.to - self.from) / self.length.as_secs_f64()
    }

    /// Microseconds after `offset` until the integral of the rate has grown by `arrivals`; none if it never does.
    fn micros_until(&self, offset: f64, arrivals: f64) -> Option<f64> {
        let seconds = if self.from == self.to {
            arrivals / self.from
        } else {
            // rate · t + slope / 2 · t² = arrivals, solved so that a small slope loses no digits.
            let rate = self.rate_at(offset).max(0.0);
            2.0 * arrivals / (rate + (rate * rate + 2.0 * self.slope() * arrivals).sqrt())
        };
        let micros = seconds * 1e6;
        (micros.is_finite() && micros < 1e15).then_some(micros)
    }
}

impl LoadOptions {
    /// No arrival from this time of the run on.
    pub fn stop(&self) -> Duration {
        let lengths = self.stages.iter().map(|stage| stage.length);
        lengths.fold(self.start, Duration::saturating_add)
    }

    /// Arrivals per second over its whole time, on average.
    pub fn mean_rate(&self) -> f64 {
        if let [only] = self.stages.as_slice()
            && only.from == only.to
        {
            return only.from;
        }
        let arrivals: f64 = self.stages.iter().map(|stage| stage.arrivals_after(0.0)).sum();
        arrivals / (self.stop() - self.start).as_secs_f64()
    }

    /// The arrival after `previous` if the integral of the rate grows by `arrivals` between the two: with exponential
    /// steps that is a Poisson process, whatever the rate does. None when it would come after the end.
    fn arrival_after(&self, previous: Moment, mut arrivals: f64) -> Option<Moment> {
        let mut begin = Time::ZERO + self.start;
        for stage in &self.stages {
            let end = begin + stage.length;
            if previous.time < end {
                let from = if previous.time < begin {
                    Moment::at(begin)
                } else {
                    previous
                };
                let offset = (from.time - begin).as_secs_f64() + from.rest / 1e6;
                let next = stage.micros_until(offset, arrivals);
                let next = next.map(|micros| from.after(micros));
                if let Some(next) = next.filter(|next| next.time < end) {
                    return Some(next);
                }
                arrivals = (arrivals - stage.arrivals_after(offset)).max(0.0);
            }
            begin = end;
        }
        None
    }
}

/// A time to parts of a microsecond, so that gaps that are no whole ones add up to what they are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment {
    time: Time,
    /// So much of a microsecond later.
    rest: f64,
}

impl Moment {
    fn at(time: Time) -> Moment {
        Moment { time, rest: 0.0 }
    }

    fn after(self, micros: f64) -> Moment {
        let micros = self.rest + micros;
        let whole = micros as u64;
        Moment {
            time: self.time + Duration::from_micros(whole),
            rest: micros - whole as f64,
        }
    }
}

/// A request that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// When it was meant to be sent.
    pub intended: Time,
    /// The device it is for, by its endpoint client name.
    pub endpoint: Arc<str>,
    /// What is asked of it.
    pub operation: Operation,
    /// The timeout that the request carries.
    pub timeout: Duration,
    /// False: it is published once, whatever is heard.
    pub repeat: bool,
    /// How likely it is published once more, whatever is heard.
    pub impatience: f64,
    /// How likely it gets the ticket of the one before it, if that is of another endpoint.
    pub shared_tickets: f64,
}

struct Stream {
    options: LoadOptions,
    /// The last arrival, or the start.
    last: Moment,
    /// The next arrival; none when the stream has ended.
    next: Option<Moment>,
}

/// All streams of a scenario.
pub struct Load {
    streams: Vec<Stream>,
    arrivals: ChaCha8Rng,
    choices: ChaCha8Rng,
    skipped: u64,
}

impl Load {
    /// The streams of a scenario. `arrivals` decides the times and `choices` which device and operation it is, so that
    /// the times are the same in every run of a seed, whatever the devices do.
    pub fn new(streams: Vec<LoadOptions>, arrivals: ChaCha8Rng, choices: ChaCha8Rng) -> Self {
        let usable = |options: &LoadOptions| {
            let mut shares = options.mix.iter();
            !options.mix.is_empty() && shares.all(|share| share.weight > 0 && !share.operations.is_empty())
        };
        assert!(
            streams.iter().all(usable),
            "a checked scenario asks for something in every load"
        );
        let streams = streams
            .into_iter()
            .map(|options| Stream {
                last: Moment::at(Time::ZERO + options.start),
                options,
                next: None,
            })
            .collect();
        let mut load = Load {
            streams,
            arrivals,
            choices,
            skipped: 0,
        };
        for index in 0..load.streams.len() {
            load.schedule(index);
        }
        load
    }

    /// The next request that is due at `now`, for one of the endpoints that are `registered`, of a group of devices or of
    /// all. With nobody registered it is skipped and counted, because there is nobody whom it could be meant for.
    pub fn poll<'a>(
        &mut self,
        now: Time,
        registered: impl Fn(Option<usize>) -> &'a [Arc<str>],
    ) -> Option<Arrival> {
        loop {
            let (index, intended) = self.earliest()?;
            if intended > now {
                return None;
            }
            self.schedule(index);
            let registered = registered(self.streams[index].options.group);
            if registered.is_empty() {
                self.skipped += 1;
                continue;
            }
            let endpoint = Arc::clone(&registered[self.choices.random_range(0..registered.len())]);
            let operation = draw(&self.streams[index].options.mix, &mut self.choices).clone();
            let LoadOptions {
                timeout,
                repeat,
                impatience,
                shared_tickets,
                ..
            } = self.streams[index].options;
            return Some(Arrival {
                intended,
                endpoint,
                operation,
                timeout,
                repeat,
                impatience,
                shared_tickets,
            });
        }
    }

    /// When the next request is due; none when all streams have ended.
    pub fn next_deadline(&self) -> Option<Time> {
        self.earliest().map(|(_, at)| at)
    }

    /// Arrivals that found no registered device.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn earliest(&self) -> Option<(usize, Time)> {
        let due = self
            .streams
            .iter()
            .enumerate()
            .filter_map(|(index, stream)| Some((index, stream.next?.time)));
        due.min_by_key(|&(_, at)| at)
    }

    /// Draws the next arrival.
    fn schedule(&mut self, index: usize) {
        let arrivals = exponential(self.arrivals.random());
        let stream = &mut self.streams[index];
        stream.next = stream.options.arrival_after(stream.last, arrivals);
        if let Some(next) = stream.next {
            stream.last = next;
        }
    }
}

/// One operation of a mix, by weight.
fn draw<'a>(mix: &'a [Share], random: &mut ChaCha8Rng) -> &'a Operation {
    let total: u64 = mix.iter().map(|share| u64::from(share.weight)).sum();
    let mut ticket = random.random_range(0..total);
    let chosen = mix.iter().find(|share| {
        let weight = u64::from(share.weight);
        let hit = ticket < weight;
        ticket = ticket.saturating_sub(weight);
        hit
    });
    let operations = &chosen
        .expect("the draw is below the sum of the weights")
        .operations;
    &operations[random.random_range(0..operations.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::RequestKind;
    use rand::SeedableRng;

    fn operation(kind: RequestKind, path: &str) -> Operation {
        Operation {
            kind,
            path: path.into(),
        }
    }

    fn stream(rate: f64, start_s: u64, stop_s: u64, mix: &[Operation]) -> LoadOptions {
        let share = |operation: &Operation| Share {
            operations: vec![operation.clone()],
            weight: 1,
        };
        LoadOptions {
            mix: mix.iter().map(share).collect(),
            group: None,
            start: Duration::from_secs(start_s),
            stages: vec![Stage::steady(Duration::from_secs(stop_s - start_s), rate)],
            timeout: Duration::from_secs(5),
            repeat: true,
            impatience: 0.0,
            shared_tickets: 0.0,
        }
    }

    fn load(streams: Vec<LoadOptions>, seed: u64) -> Load {
        Load::new(
            streams,
            ChaCha8Rng::seed_from_u64(seed),
            ChaCha8Rng::seed_from_u64(seed + 1),
        )
    }

    fn endpoints(count: usize) -> Vec<Arc<str>> {
        (0..count).map(|n| format!("dev-{n}").into()).collect()
    }

    fn all(load: &mut Load, registered: &[Arc<str>]) -> Vec<Arrival> {
        std::iter::from_fn(|| load.poll(Time::MAX, |_| registered)).collect()
    }

    #[test]
    fn arrivals_come_at_the_rate_within_their_time_and_are_as_irregular_as_poisson() {
        let mut load = load(
            vec![stream(1000.0, 5, 15, &[operation(RequestKind::Read, "/3/0/0")])],
            3,
        );
        let arrivals = all(&mut load, &endpoints(10));
        assert!((9_700..10_300).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(
            arrivals
                .iter()
                .all(|arrival| (5_000..15_000).contains(&arrival.intended.as_millis()))
        );
        let gaps: Vec<f64> = arrivals
            .windows(2)
            .map(|pair| (pair[1].intended - pair[0].intended).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (0.9..1.1).contains(&(variance.sqrt() / mean)),
            "an exponential gap deviates by its mean"
        );
    }

    #[test]
    fn each_stage_has_as_many_arrivals_as_the_integral_of_its_rate_and_a_ramp_comes_later_and_later() {
        let stage = |seconds, from, to| Stage {
            length: Duration::from_secs(seconds),
            from,
            to,
        };
        let stages = vec![
            stage(10, 300.0, 300.0),
            stage(5, 3000.0, 3000.0),
            stage(2, 0.0, 0.0),
            stage(10, 0.0, 2000.0),
            stage(10, 2000.0, 1000.0),
        ];
        let options = LoadOptions {
            stages,
            ..stream(1.0, 1, 2, &[operation(RequestKind::Read, "/3/0/0")])
        };
        assert_eq!(options.stop(), Duration::from_secs(38));
        let times: Vec<f64> = all(&mut load(vec![options.clone()], 3), &endpoints(10))
            .iter()
            .map(|arrival| arrival.intended.as_micros() as f64 / 1e6)
            .collect();
        let between = |from: f64, to: f64| times.iter().filter(|at| (from..to).contains(*at)).count();
        // Of n expected arrivals a Poisson process has n ± √n; four times that is one case in 16 000.
        let close = |actual: usize, wanted: f64| (actual as f64 - wanted).abs() <= 4.0 * wanted.sqrt();
        for (from, to, wanted) in [
            (1.0, 11.0, 3000.0),
            (11.0, 16.0, 15_000.0),
            (16.0, 18.0, 0.0),
            (18.0, 28.0, 10_000.0),
            // Half of the time of a ramp from zero has a quarter of its arrivals.
            (18.0, 23.0, 2500.0),
            (28.0, 38.0, 15_000.0),
            (28.0, 33.0, 8750.0),
        ] {
            let actual = between(from, to);
            assert!(
                close(actual, wanted),
                "{from}–{to} s: {actual}, expected {wanted}"
            );
        }
        assert_eq!(between(1.0, 38.0), times.len());
        let mean = 43_000.0 / 37.0;
        assert!(
            (options.mean_rate() - mean).abs() < 1e-9,
            "{}",
            options.mean_rate()
        );
    }

    #[test]
    fn a_load_for_a_group_asks_only_devices_of_it() {
        let mut options = stream(100.0, 0, 2, &[operation(RequestKind::Read, "/3/0/0")]);
        options.group = Some(1);
        let mut load = load(vec![options], 9);
        let groups = [endpoints(3), vec!["battery".into()]];
        let of = |group: Option<usize>| groups[group.unwrap_or(0)].as_slice();
        let asked: Vec<_> = std::iter::from_fn(|| load.poll(Time::MAX, of)).collect();
        assert!(asked.len() > 100 && asked.iter().all(|arrival| &*arrival.endpoint == "battery"));
    }

    #[test]
    fn nothing_is_due_before_its_intended_time() {
        let mut load = load(
            vec![stream(10.0, 1, 9, &[operation(RequestKind::Read, "/3/0/0")])],
            4,
        );
        let due = load.next_deadline().expect("a first arrival");
        let registered = endpoints(1);
        assert_eq!(load.poll(due - Duration::from_micros(1), |_| &registered), None);
        assert_eq!(
            load.poll(due, |_| &registered).map(|arrival| arrival.intended),
            Some(due)
        );
    }

    #[test]
    fn devices_and_operations_are_drawn_evenly() {
        let mix = [
            operation(RequestKind::Read, "/3/0/0"),
            operation(RequestKind::Execute, "/3/0/4"),
        ];
        let mut load = load(vec![stream(1000.0, 0, 10, &mix)], 5);
        let registered = endpoints(4);
        let arrivals = all(&mut load, &registered);
        for endpoint in &registered {
            let share = arrivals
                .iter()
                .filter(|arrival| arrival.endpoint == *endpoint)
                .count();
            assert!((2_250..2_750).contains(&share), "{share}");
        }
        let executes = arrivals
            .iter()
            .filter(|arrival| arrival.operation == mix[1])
            .count();
        assert!((4_700..5_300).contains(&executes), "{executes}");
    }

    #[test]
    fn a_heavier_share_is_drawn_more_often() {
        let mut options = stream(
            1000.0,
            0,
            10,
            &[
                operation(RequestKind::Read, "/3/0/0"),
                operation(RequestKind::Execute, "/3/0/4"),
            ],
        );
        options.mix[0].weight = 9;
        let arrivals = all(&mut load(vec![options], 5), &endpoints(1));
        let executes = arrivals
            .iter()
            .filter(|arrival| arrival.operation.kind == RequestKind::Execute)
            .count();
        assert!((900..1_100).contains(&executes), "{executes}");
    }

    #[test]
    fn two_streams_interleave_in_the_order_of_their_times() {
        let read = stream(50.0, 0, 5, &[operation(RequestKind::Read, "/3/0/0")]);
        let write = stream(50.0, 2, 5, &[operation(RequestKind::Write, "/3/0/15")]);
        let mut load = load(vec![read, write], 6);
        let arrivals = all(&mut load, &endpoints(3));
        assert!(
            arrivals
                .windows(2)
                .all(|pair| pair[0].intended <= pair[1].intended)
        );
        assert!(
            arrivals
                .iter()
                .any(|arrival| arrival.operation.kind == RequestKind::Write)
        );
        assert_eq!(load.next_deadline(), None);
    }

    #[test]
    fn with_nobody_registered_an_arrival_is_skipped_and_counted() {
        let mut load = load(
            vec![stream(100.0, 0, 1, &[operation(RequestKind::Read, "/3/0/0")])],
            7,
        );
        assert_eq!(load.poll(Time::MAX, |_| &[]), None);
        assert!((60..140).contains(&load.skipped()), "{}", load.skipped());
    }

    #[test]
    fn the_times_of_a_seed_do_not_depend_on_the_devices() {
        let times = |count| {
            let mut load = load(
                vec![stream(100.0, 0, 3, &[operation(RequestKind::Read, "/3/0/0")])],
                8,
            );
            all(&mut load, &endpoints(count))
                .iter()
                .map(|arrival| arrival.intended)
                .collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(500));
    }
}
