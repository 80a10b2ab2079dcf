//! The UDP load balancer in front of the cluster: devices see one address, and this decides which instance gets a datagram.
//!
//! In: the source address of each datagram, answers to health pings, the time. Out: the instance to forward to, ping
//! datagrams, and changes of mind about an instance's health. Modelled after what sits before real clusters (LVS, a
//! cloud's network load balancer): a flow table, health checks that need several failures, and a choice of what to do
//! when nothing is healthy. The health check is a CoAP ping (RFC 7252, section 4.3): an empty Confirmable message, answered by a Reset.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::Duration;

use lwm2m::time::Time;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rustc_hash::FxHashMap;

use crate::scenario::{self, BalancerPolicy, HealthCheck, Unhealthy};

/// First byte of an empty Confirmable message: version 1, type CON, no token (RFC 7252, section 3).
const EMPTY_CONFIRMABLE: u8 = 0x40;
/// First byte of a Reset.
const RESET: u8 = 0x70;
/// Most flows in the table: a bound for the harness's memory, far above any fleet.
const MAX_FLOWS: usize = 4_000_000;

/// What the balancer is like.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerOptions {
    /// How an instance is chosen.
    pub policy: BalancerPolicy,
    /// A flow that was silent for this long is forgotten.
    pub flow_timeout: Duration,
    /// How instances are checked. An answer may take as long as the interval.
    pub health: HealthCheck,
    /// What happens when no instance is healthy.
    pub unhealthy: Unhealthy,
    /// Most flows in the table. The flows beyond it are hashed anew for each datagram.
    pub max_flows: usize,
}

impl From<&scenario::Balancer> for BalancerOptions {
    fn from(balancer: &scenario::Balancer) -> Self {
        BalancerOptions {
            policy: balancer.policy,
            flow_timeout: balancer.flow_timeout,
            health: balancer.health.clone(),
            unhealthy: balancer.unhealthy,
            max_flows: MAX_FLOWS,
        }
    }
}

/// An instance's health as the balancer sees it changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HealthChange {
    /// The index of the instance.
    pub instance: usize,
    /// True: it gets traffic again.
    pub healthy: bool,
}

/// A health ping to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping {
    /// The index of the instance.
    pub instance: usize,
    /// The datagram.
    pub datagram: [u8; 4],
}

struct Flow {
    instance: usize,
    last_seen: Time,
}

struct Backend {
    healthy: bool,
    /// Unanswered pings in a row.
    failures: u32,
    /// The message ID of the ping that waits for its answer.
    outstanding: Option<u16>,
}

/// The balancer.
pub struct Balancer {
    options: BalancerOptions,
    backends: Vec<Backend>,
    /// Indices of the instances that get traffic. If none is healthy: all of them, or none.
    eligible: Vec<usize>,
    flows: FxHashMap<SocketAddrV4, Flow>,
    /// Part of the hash: another one sends flows elsewhere.
    salt: u64,
    next_sweep: Time,
    turn: usize,
    dropped: u64,
    next_check: Time,
    message_id: u16,
    pings: VecDeque<Ping>,
    changes: VecDeque<HealthChange>,
    random: ChaCha8Rng,
}

impl Balancer {
    /// A balancer before `instances` instances (at least one), all of them believed healthy, whose first health check
    /// is due at `now`.
    pub fn new(now: Time, options: BalancerOptions, instances: usize, random: ChaCha8Rng) -> Self {
        assert!(instances > 0, "a balancer needs an instance to forward to");
        let next_sweep = now + options.flow_timeout;
        let backend = || Backend {
            healthy: true,
            failures: 0,
            outstanding: None,
        };
        Balancer {
            options,
            backends: std::iter::repeat_with(backend).take(instances).collect(),
            eligible: (0..instances).collect(),
            flows: FxHashMap::default(),
            salt: 0,
            next_sweep,
            turn: 0,
            dropped: 0,
            next_check: now,
            message_id: 0,
            pings: VecDeque::new(),
            changes: VecDeque::new(),
            random,
        }
    }

    /// The instance that gets a datagram from this source; none if there is none to get it.
    pub fn route(&mut self, now: Time, source: SocketAddrV4) -> Option<usize> {
        if self.eligible.is_empty() {
            self.dropped += 1;
            return None;
        }
        Some(match self.options.policy {
            BalancerPolicy::SourceHash => self.route_flow(now, source),
            BalancerPolicy::RoundRobin => {
                self.turn = (self.turn + 1) % self.eligible.len();
                self.eligible[self.turn]
            }
            BalancerPolicy::Random => self.eligible[self.random.random_range(0..self.eligible.len())],
        })
    }

    /// Datagrams that went nowhere because no instance was healthy.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets every flow and hashes anew, as a balancer does that is replaced by one that knows nothing of it. False if
    /// the policy knows no flows.
    pub fn reset_flows(&mut self) -> bool {
        self.flows.clear();
        self.salt = self.random.random();
        self.options.policy == BalancerPolicy::SourceHash
    }

    /// The number of flows in the table.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// True if the instance counts as healthy.
    pub fn is_healthy(&self, instance: usize) -> bool {
        self.backends[instance].healthy
    }

    /// Takes a datagram that an instance sent to the balancer's own address. Anything but the Reset that answers the
    /// outstanding ping is ignored.
    pub fn handle_datagram(&mut self, instance: usize, datagram: &[u8]) {
        let &[RESET, 0, high, low] = datagram else { return };
        let Some(backend) = self.backends.get_mut(instance) else {
            return;
        };
        if backend.outstanding != Some(u16::from_be_bytes([high, low])) {
            return;
        }
        backend.outstanding = None;
        backend.failures = 0;
        if !backend.healthy {
            backend.healthy = true;
            self.note_change(instance, true);
        }
    }

    /// Judges the pings of the last interval and sends the next ones, if it is time.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.next_check {
            return;
        }
        self.next_check = now + self.options.health.interval;
        for instance in 0..self.backends.len() {
            let backend = &mut self.backends[instance];
            if backend.outstanding.is_some() {
                backend.failures = backend.failures.saturating_add(1);
                if backend.healthy && backend.failures >= self.options.health.failures {
                    backend.healthy = false;
                    self.note_change(instance, false);
                }
            }
            self.send_ping(instance);
        }
    }

    /// When the next health check is due.
    pub fn next_deadline(&self) -> Time {
        self.next_check
    }

    /// The next ping to send.
    pub fn poll_transmit(&mut self) -> Option<Ping> {
        self.pings.pop_front()
    }

    /// The next change of an instance's health.
    pub fn poll_event(&mut self) -> Option<HealthChange> {
        self.changes.pop_front()
    }

    fn send_ping(&mut self, instance: usize) {
        self.message_id = self.message_id.wrapping_add(1);
        self.backends[instance].outstanding = Some(self.message_id);
        let [high, low] = self.message_id.to_be_bytes();
        self.pings.push_back(Ping {
            instance,
            datagram: [EMPTY_CONFIRMABLE, 0, high, low],
        });
    }

    fn note_change(&mut self, instance: usize, healthy: bool) {
        self.changes.push_back(HealthChange { instance, healthy });
        self.eligible = (0..self.backends.len())
            .filter(|&index| self.backends[index].healthy)
            .collect();
        if self.eligible.is_empty() && self.options.unhealthy == Unhealthy::FailOpen {
            // Fail open: a check that finds everything dead is more likely wrong than right.
            self.eligible = (0..self.backends.len()).collect();
        }
    }

    fn route_flow(&mut self, now: Time, source: SocketAddrV4) -> usize {
        self.sweep_flows(now);
        if let Some(flow) = self.flows.get_mut(&source) {
            let alive = now - flow.last_seen < self.options.flow_timeout;
            if alive && self.eligible.contains(&flow.instance) {
                flow.last_seen = now;
                return flow.instance;
            }
        }
        let instance = rendezvous(source, self.salt, &self.eligible);
        if self.flows.len() < self.options.max_flows || self.flows.contains_key(&source) {
            self.flows.insert(
                source,
                Flow {
                    instance,
                    last_seen: now,
                },
            );
        }
        instance
    }

    /// Drops flows that timed out, once per timeout, so that the table does not fill with the departed.
    fn sweep_flows(&mut self, now: Time) {
        if now < self.next_sweep {
            return;
        }
        let timeout = self.options.flow_timeout;
        self.next_sweep = now + timeout;
        self.flows.retain(|_, flow| now - flow.last_seen < timeout);
    }
}

/// The instance with the highest hash of (source, salt, instance): when one leaves, only its own flows move.
fn rendezvous(source: SocketAddrV4, salt: u64, eligible: &[usize]) -> usize {
    let source = (u64::from(u32::from(*source.ip())) << 16) | u64::from(source.port());
    let weight = |instance: usize| mix(mix(source ^ salt) ^ (instance as u64 + 1));
    eligible
        .iter()
        .copied()
        .max_by_key(|&instance| weight(instance))
        .expect("nothing is routed when nobody is eligible")
}

/// A fixed 64-bit mixing function (the finaliser of SplitMix64), so that routes are the same on every machine.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::net::Ipv4Addr;

    const INTERVAL: Duration = Duration::from_millis(200);

    fn balancer(policy: BalancerPolicy, instances: usize) -> Balancer {
        let options = BalancerOptions {
            policy,
            flow_timeout: Duration::from_secs(300),
            health: HealthCheck {
                interval: INTERVAL,
                failures: 2,
            },
            unhealthy: Unhealthy::FailOpen,
            max_flows: 100_000,
        };
        Balancer::new(Time::ZERO, options, instances, ChaCha8Rng::seed_from_u64(1))
    }

    fn device(number: u32) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(0x7f01_0000 + number), 5683)
    }

    /// Runs one health check at `now` in which only `alive` answer; returns the changes.
    fn check(balancer: &mut Balancer, now: Time, alive: &[usize]) -> Vec<HealthChange> {
        balancer.handle_timeout(now);
        while let Some(ping) = balancer.poll_transmit() {
            if alive.contains(&ping.instance) {
                let [_, _, high, low] = ping.datagram;
                balancer.handle_datagram(ping.instance, &[0x70, 0, high, low]);
            }
        }
        std::iter::from_fn(|| balancer.poll_event()).collect()
    }

    #[test]
    fn the_source_hash_spreads_devices_evenly_and_keeps_each_where_it_is() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 3);
        let first: Vec<usize> = (0..3000)
            .map(|n| balancer.route(Time::ZERO, device(n)).unwrap())
            .collect();
        let again: Vec<usize> = (0..3000)
            .map(|n| balancer.route(Time::from_millis(9), device(n)).unwrap())
            .collect();
        assert_eq!(first, again);
        for instance in 0..3 {
            let share = first.iter().filter(|&&chosen| chosen == instance).count();
            assert!((900..1100).contains(&share), "{share}");
        }
    }

    #[test]
    fn an_instance_is_down_after_two_missed_pings_and_up_after_one_answer() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 2);
        let at = |check: u32| Time::ZERO + INTERVAL * check;
        assert_eq!(check(&mut balancer, at(0), &[0, 1]), []);
        assert_eq!(check(&mut balancer, at(1), &[0]), []);
        assert_eq!(check(&mut balancer, at(2), &[0]), []);
        assert_eq!(
            check(&mut balancer, at(3), &[0]),
            [HealthChange {
                instance: 1,
                healthy: false
            }]
        );
        assert!(!balancer.is_healthy(1));
        assert_eq!(
            check(&mut balancer, at(4), &[0, 1]),
            [HealthChange {
                instance: 1,
                healthy: true
            }]
        );
    }

    #[test]
    fn only_the_flows_of_a_dead_instance_move_and_they_stay_when_it_comes_back() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 3);
        let before: Vec<usize> = (0..300)
            .map(|n| balancer.route(Time::ZERO, device(n)).unwrap())
            .collect();
        (0..4).for_each(|n| drop(check(&mut balancer, Time::ZERO + INTERVAL * n, &[0, 2])));
        let now = Time::from_millis(900);
        let after: Vec<usize> = (0..300)
            .map(|n| balancer.route(now, device(n)).unwrap())
            .collect();
        for (before, after) in before.iter().zip(&after) {
            assert!(if *before == 1 {
                *after != 1
            } else {
                before == after
            });
        }
        check(&mut balancer, Time::from_millis(1000), &[0, 1, 2]);
        let later: Vec<usize> = (0..300)
            .map(|n| balancer.route(now, device(n)).unwrap())
            .collect();
        assert_eq!(later, after);
    }

    #[test]
    fn a_reset_sends_flows_anew_and_some_of_them_elsewhere() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 3);
        let route = |balancer: &mut Balancer| -> Vec<usize> {
            (0..300)
                .map(|n| balancer.route(Time::ZERO, device(n)).unwrap())
                .collect()
        };
        let before = route(&mut balancer);
        assert!(balancer.reset_flows());
        assert_eq!(balancer.flows(), 0);
        let after = route(&mut balancer);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!((150..250).contains(&moved), "{moved}");
        assert_eq!(route(&mut balancer), after);
    }

    #[test]
    fn a_silent_flow_times_out_and_is_swept_from_the_table() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 2);
        balancer.route(Time::ZERO, device(1));
        balancer.route(Time::from_millis(200_000), device(2));
        assert_eq!(balancer.flows(), 2);
        balancer.route(Time::from_millis(300_000), device(2));
        assert_eq!(balancer.flows(), 1);
    }

    #[test]
    fn a_full_flow_table_still_routes() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 2);
        balancer.options.max_flows = 1;
        let first = balancer.route(Time::ZERO, device(1)).unwrap();
        balancer.route(Time::ZERO, device(2));
        assert_eq!(balancer.flows(), 1);
        assert_eq!(balancer.route(Time::ZERO, device(1)).unwrap(), first);
    }

    #[test]
    fn with_everything_down_the_balancer_fails_open() {
        let mut balancer = balancer(BalancerPolicy::RoundRobin, 2);
        (0..4).for_each(|n| drop(check(&mut balancer, Time::ZERO + INTERVAL * n, &[])));
        let routes: Vec<usize> = (0..4)
            .map(|n| balancer.route(Time::ZERO, device(n)).unwrap())
            .collect();
        assert_eq!(routes, [1, 0, 1, 0]);
    }

    #[test]
    fn with_everything_down_a_closed_balancer_drops_until_somebody_answers() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 2);
        balancer.options.unhealthy = Unhealthy::FailClosed;
        (0..4).for_each(|n| drop(check(&mut balancer, Time::ZERO + INTERVAL * n, &[])));
        let routes: Vec<_> = (0..4).map(|n| balancer.route(Time::ZERO, device(n))).collect();
        assert_eq!((routes, balancer.dropped()), (vec![None; 4], 4));
        check(&mut balancer, Time::from_millis(800), &[1]);
        assert_eq!(balancer.route(Time::ZERO, device(1)), Some(1));
    }

    #[test]
    fn round_robin_and_random_skip_the_unhealthy() {
        for policy in [BalancerPolicy::RoundRobin, BalancerPolicy::Random] {
            let mut balancer = balancer(policy, 3);
            (0..4).for_each(|n| drop(check(&mut balancer, Time::ZERO + INTERVAL * n, &[0, 2])));
            let mut seen: Vec<usize> = (0..50)
                .map(|_| balancer.route(Time::ZERO, device(1)).unwrap())
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, [0, 2]);
        }
    }

    #[test]
    fn a_late_or_foreign_datagram_is_no_sign_of_life() {
        let mut balancer = balancer(BalancerPolicy::SourceHash, 1);
        (0..4).for_each(|n| drop(check(&mut balancer, Time::ZERO + INTERVAL * n, &[])));
        balancer.handle_datagram(0, &[0x70, 0, 0, 1]);
        balancer.handle_datagram(0, &[0x60, 0, 0, 4]);
        balancer.handle_datagram(9, &[0x70, 0, 0, 4]);
        assert!(!balancer.is_healthy(0));
        balancer.handle_datagram(0, &[0x70, 0, 0, 4]);
        assert!(balancer.is_healthy(0));
    }
}
