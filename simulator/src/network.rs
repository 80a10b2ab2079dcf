//! The network between the devices and the balancer: one direction of it, as a queue of datagrams in flight.
//!
//! In: datagrams and the time at which they leave. Out: the same datagrams at the time at which they arrive, if they
//! do. What can happen to a datagram is one options struct, [`Impairment`]. The effects are drawn from the generator
//! that is passed in, so a seed decides them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::time::Duration;

use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// How long a datagram chosen for reordering is held back when the link has no jitter to hide in.
const REORDER_HOLD: Duration = Duration::from_millis(10);

/// Everything that one direction of the network does to a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// One-way delay of every datagram.
    pub latency: Duration,
    /// Largest addition to the latency; drawn uniformly from zero to this for each datagram. Two datagrams whose
    /// distance is smaller than the jitter can overtake each other, as on a real path.
    pub jitter: Duration,
    /// Probability (0 to 1) that a datagram never arrives.
    pub loss: f64,
    /// Probability (0 to 1) that a datagram that arrives does so a second time; each copy has its own jitter.
    pub duplicate: f64,
    /// Largest addition to the delay of a copy; drawn uniformly from zero to this.
    pub duplicate_delay: Duration,
    /// Largest datagram that passes, in bytes of UDP payload; larger ones vanish. 0: all pass.
    pub mtu: u32,
    /// Probability (0 to 1) that a datagram is held back by another latency, jitter and 10 ms, so that later ones
    /// overtake it.
    pub reorder: f64,
}

/// What happened to the datagrams so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NetworkStats {
    /// Datagrams that were given to the network.
    pub sent: u64,
    /// Datagrams that came out, copies included.
    pub delivered: u64,
    /// Datagrams lost by the impairment.
    pub lost: u64,
    /// Datagrams that were larger than the MTU.
    pub too_large: u64,
    /// Copies made by the impairment.
    pub duplicated: u64,
    /// Datagrams held back by the impairment.
    pub reordered: u64,
    /// Datagrams dropped because too many were in flight.
    pub overflowed: u64,
}

/// A datagram between a device and the balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The address that the device has, or had.
    pub device: Ipv4Addr,
    /// The index of the instance that sent it; none if the device did.
    pub sender: Option<u32>,
    /// The bytes.
    pub datagram: Vec<u8>,
}

/// A datagram under way. Ordered by arrival, then by departure, so that equal times keep their order.
struct InFlight<T> {
    due: Time,
    serial: u64,
    item: T,
}

impl<T> PartialEq for InFlight<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for InFlight<T> {}

impl<T> PartialOrd for InFlight<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for InFlight<T> {
    /// Reversed, because the heap gives the largest first and the earliest is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.serial).cmp(&(self.due, self.serial))
    }
}

/// One direction of the network.
pub struct Network<T> {
    /// One for each kind of link.
    impairments: Vec<Impairment>,
    random: ChaCha8Rng,
    in_flight: BinaryHeap<InFlight<T>>,
    limit: usize,
    serial: u64,
    stats: NetworkStats,
}

impl<T: Clone> Network<T> {
    /// A direction with a kind of link for each of `impairments` (at least one), that carries at most `limit` datagrams at
    /// a time; more are dropped and counted.
    pub fn new(impairments: Vec<Impairment>, random: ChaCha8Rng, limit: usize) -> Self {
        Network {
            impairments,
            random,
            in_flight: BinaryHeap::new(),
            limit,
            serial: 0,
            stats: NetworkStats::default(),
        }
    }

    /// Changes what happens to the datagrams that leave from now on, on each kind of link.
    pub fn set_impairments(&mut self, impairments: Vec<Impairment>) {
        self.impairments = impairments;
    }

    /// Takes a datagram of this many bytes that leaves at `now` over a link of this kind.
    pub fn send(&mut self, now: Time, link: usize, item: T, bytes: usize) {
        self.stats.sent += 1;
        let impairment = self.impairments[link];
        if impairment.mtu > 0 && bytes > impairment.mtu as usize {
            self.stats.too_large += 1;
            return;
        }
        if self.chance(impairment.loss) {
            self.stats.lost += 1;
            return;
        }
        let copy = self.chance(impairment.duplicate);
        let mut due = now + self.delay(&impairment);
        if self.chance(impairment.reorder) {
            self.stats.reordered += 1;
            due += impairment.latency + impairment.jitter + REORDER_HOLD;
        }
        if copy {
            self.stats.duplicated += 1;
            let due = now + self.delay(&impairment) + self.uniform(impairment.duplicate_delay);
            self.enqueue(due, item.clone());
        }
        self.enqueue(due, item);
    }

    /// The next datagram that has arrived by `now`.
    pub fn poll(&mut self, now: Time) -> Option<T> {
        if self.in_flight.peek()?.due > now {
            return None;
        }
        self.stats.delivered += 1;
        self.in_flight.pop().map(|arrived| arrived.item)
    }

    /// When the next datagram arrives.
    pub fn next_deadline(&self) -> Option<Time> {
        self.in_flight.peek().map(|next| next.due)
    }

    /// How many datagrams are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What happened so far.
    pub fn stats(&self) -> NetworkStats {
        self.stats
    }

    fn enqueue(&mut self, due: Time, item: T) {
        if self.in_flight.len() >= self.limit {
            self.stats.overflowed += 1;
            return;
        }
        self.serial += 1;
        self.in_flight.push(InFlight {
            due,
            serial: self.serial,
            item,
        });
    }

    fn delay(&mut self, impairment: &Impairment) -> Duration {
        impairment.latency + self.uniform(impairment.jitter)
    }

    fn uniform(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(self.random.random_range(0..=most))
    }

    /// Draws only when the outcome is open, so that a perfect link takes nothing from the generator.
    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.random_bool(probability.min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn network(impairment: Impairment) -> Network<u32> {
        Network::new(vec![impairment], ChaCha8Rng::seed_from_u64(7), 10_000)
    }

    fn drain(network: &mut Network<u32>) -> Vec<(u64, u32)> {
        let mut arrived = Vec::new();
        while let Some(due) = network.next_deadline() {
            while let Some(item) = network.poll(due) {
                arrived.push((due.as_micros(), item));
            }
        }
        arrived
    }

    #[test]
    fn a_perfect_link_delivers_at_once_and_in_order() {
        let mut network = network(Impairment::default());
        let now = Time::from_millis(3);
        (0..3).for_each(|item| network.send(now, 0, item, 0));
        assert_eq!(drain(&mut network), [(3000, 0), (3000, 1), (3000, 2)]);
    }

    #[test]
    fn latency_delays_every_datagram_and_nothing_arrives_before_it() {
        let mut network = network(Impairment {
            latency: Duration::from_millis(5),
            ..Impairment::default()
        });
        network.send(Time::ZERO, 0, 1, 0);
        assert_eq!(network.poll(Time::from_micros(4_999)), None);
        assert_eq!(network.next_deadline(), Some(Time::from_millis(5)));
        assert_eq!(network.poll(Time::from_millis(5)), Some(1));
        assert_eq!(network.in_flight(), 0);
    }

    #[test]
    fn jitter_stays_within_its_range_and_uses_it() {
        let latency = Duration::from_millis(5);
        let jitter = Duration::from_millis(2);
        let mut network = network(Impairment {
            latency,
            jitter,
            ..Impairment::default()
        });
        (0..1000).for_each(|item| network.send(Time::ZERO, 0, item, 0));
        let arrived = drain(&mut network);
        assert!(arrived.iter().all(|(due, _)| (5_000..=7_000).contains(due)));
        assert!(arrived[0].0 < 5_100 && arrived[999].0 > 6_900);
    }

    #[test]
    fn loss_duplication_and_reordering_happen_at_their_rates() {
        let impairment = Impairment {
            loss: 0.2,
            duplicate: 0.1,
            reorder: 0.05,
            ..Impairment::default()
        };
        let mut network = network(impairment);
        (0..10_000).for_each(|item| network.send(Time::from_micros(u64::from(item) * 1000), 0, item, 0));
        let arrived = drain(&mut network);
        let stats = network.stats();
        assert!((1_800..2_200).contains(&stats.lost), "{stats:?}");
        assert!((700..900).contains(&stats.duplicated), "{stats:?}");
        assert!((330..470).contains(&stats.reordered), "{stats:?}");
        assert_eq!(arrived.len() as u64, stats.sent - stats.lost + stats.duplicated);
        assert!(
            arrived.windows(2).any(|pair| pair[0].1 > pair[1].1),
            "a held-back datagram is overtaken"
        );
    }

    #[test]
    fn what_is_larger_than_the_mtu_vanishes_and_is_counted() {
        let mut network = network(Impairment {
            mtu: 100,
            ..Impairment::default()
        });
        network.send(Time::ZERO, 0, 1, 100);
        network.send(Time::ZERO, 0, 2, 101);
        assert_eq!(drain(&mut network), [(0, 1)]);
        assert_eq!(network.stats().too_large, 1);
    }

    #[test]
    fn a_copy_comes_up_to_its_own_delay_later() {
        let mut network = network(Impairment {
            duplicate: 1.0,
            duplicate_delay: Duration::from_secs(247),
            ..Impairment::default()
        });
        (0..1000).for_each(|item| network.send(Time::ZERO, 0, item, 0));
        let arrived = drain(&mut network);
        assert_eq!(arrived.len(), 2000);
        assert!(arrived[..1000].iter().all(|(due, _)| *due == 0));
        assert!(arrived[1999].0 > 240_000_000 && arrived[1999].0 <= 247_000_000);
    }

    #[test]
    fn the_same_seed_does_the_same_to_every_datagram() {
        let impairment = Impairment {
            loss: 0.3,
            jitter: Duration::from_millis(9),
            ..Impairment::default()
        };
        let run = || {
            let mut network = network(impairment);
            (0..500).for_each(|item| network.send(Time::ZERO, 0, item, 0));
            drain(&mut network)
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn each_kind_of_link_does_what_is_its_own() {
        let slow = Impairment {
            latency: Duration::from_millis(9),
            ..Impairment::default()
        };
        let random = ChaCha8Rng::seed_from_u64(7);
        let mut network = Network::new(vec![slow, Impairment::default()], random, 10);
        network.send(Time::ZERO, 0, 1, 0);
        network.send(Time::ZERO, 1, 2, 0);
        assert_eq!(drain(&mut network), [(0, 2), (9000, 1)]);
    }

    #[test]
    fn more_than_the_limit_is_dropped_and_counted() {
        let latency = Duration::from_millis(1);
        let impairment = Impairment {
            latency,
            ..Impairment::default()
        };
        let mut network = Network::new(vec![impairment], ChaCha8Rng::seed_from_u64(1), 2);
        (0..5).for_each(|item| network.send(Time::ZERO, 0, item, 0));
        assert_eq!(network.stats().overflowed, 3);
        assert_eq!(drain(&mut network), [(1000, 0), (1000, 1)]);
    }

    #[test]
    fn a_changed_impairment_holds_for_what_leaves_afterwards() {
        let mut network = network(Impairment {
            latency: Duration::from_millis(5),
            ..Impairment::default()
        });
        network.send(Time::ZERO, 0, 1, 0);
        network.set_impairments(vec![Impairment {
            loss: 1.0,
            ..Impairment::default()
        }]);
        network.send(Time::ZERO, 0, 2, 0);
        assert_eq!(drain(&mut network), [(5000, 1)]);
    }
}
