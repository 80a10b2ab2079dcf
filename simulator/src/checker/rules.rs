//! The times and limits that the contract refers to, as a scenario sets them.
//!
//! In: a [`Scenario`]. Out: [`Rules`]. What an instance was started with counts: `--ack-timeout` and the like change what
//! is lawful.

use std::time::Duration;

use crate::fault::FaultAction;
use crate::network::Impairment;
use crate::scenario::{Scenario, parse_duration};

/// What a history is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// F in microseconds.
    pub bound_us: u64,
    /// The lease in microseconds.
    pub lease_us: u64,
    /// The longest that a datagram may be under way, in microseconds, its late copies included.
    pub way_us: u64,
    /// The longest that the first copy of one that is not lost is under way, in microseconds.
    pub delay_us: u64,
    /// Whether the network can lose datagrams: at the start, and after each fault of the network.
    pub lossy: Vec<bool>,
    /// Some devices answer in a message of their own, which may get lost where its receiver is.
    pub separate: bool,
    /// ACK_TIMEOUT (RFC 7252, 4.8) in microseconds.
    pub ack_timeout_us: u64,
    /// MAX_RETRANSMIT (RFC 7252, 4.8).
    pub max_retransmit: u32,
    /// How long after its end something may still come of a ticket, in microseconds.
    pub remembered_us: u64,
    /// How many requests may wait for one device before one is refused.
    pub queue_per_endpoint: usize,
}

/// Beside what the network of the scenario does to a datagram: the time that it may spend in the sockets.
const IN_SOCKETS: Duration = Duration::from_millis(500);
/// Added to the longest delay of a datagram that is held back to be overtaken.
const REORDER_HOLD: Duration = Duration::from_millis(10);
/// Requests and answers are never larger than this (RFC 7252, 4.6), so a network that carries it loses none for its size.
const LARGEST_DATAGRAM: u32 = 1280;

/// EXCHANGE_LIFETIME (RFC 7252, 4.8.2): so long a device remembers a message.
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// What comes after the cluster may have forgotten a ticket is called by its name for as long.
const BEYOND_RETENTION: Duration = Duration::from_secs(60);

impl Rules {
    /// Those of a scenario.
    pub fn of(scenario: &Scenario) -> Rules {
        let groups = &scenario.devices.groups;
        let at_first = groups.iter().any(|group| loses(&group.network));
        let changes = scenario.fault.iter().filter_map(|fault| match &fault.action {
            FaultAction::Network(networks) => Some(networks.iter().any(loses)),
            _ => None,
        });
        let longest = |way: fn(&Impairment) -> Duration| {
            let ways = scenario.networks().map(way);
            micros(ways.max().unwrap_or_default() + IN_SOCKETS)
        };
        let arguments = &scenario.cluster.arguments;
        let count = |name| argument(arguments, name).and_then(|text| text.parse::<u32>().ok());
        let ack_timeout = argument(arguments, "--ack-timeout").and_then(|text| parse_duration(text).ok());
        let retention = argument(arguments, "--ticket-retention").and_then(|text| parse_duration(text).ok());
        let retention = retention
            .unwrap_or(Duration::from_secs(300))
            .max(EXCHANGE_LIFETIME);
        let way_us = longest(|network| delay(network) + network.jitter + network.duplicate_delay);
        Rules {
            bound_us: micros(scenario.failover_bound()),
            lease_us: micros(scenario.cluster.lease),
            way_us,
            remembered_us: micros(retention + BEYOND_RETENTION).saturating_add(way_us),
            delay_us: longest(delay),
            lossy: [at_first].into_iter().chain(changes).collect(),
            separate: groups.iter().any(|group| group.separate > 0.0),
            ack_timeout_us: micros(ack_timeout.unwrap_or(Duration::from_secs(2))),
            max_retransmit: count("--max-retransmit").unwrap_or(4),
            queue_per_endpoint: count("--queue-per-endpoint").unwrap_or(64) as usize,
        }
    }

    /// The soonest after its first transmission that CoAP gives a request up, by the clock of who sends.
    pub fn gives_up_after_us(&self) -> u64 {
        let transmissions = (2u64 << self.max_retransmit.min(20)) - 1;
        self.ack_timeout_us.saturating_mul(transmissions)
    }

    /// The longest from the last transmission of a request to its being given up: ACK_RANDOM_FACTOR is 1.5.
    pub fn last_wait_us(&self) -> u64 {
        self.ack_timeout_us
            .saturating_mul(3 << self.max_retransmit.min(20))
            / 2
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A datagram that is held back to be overtaken has the whole way twice.
fn delay(network: &Impairment) -> Duration {
    let once = network.latency + network.jitter;
    if network.reorder > 0.0 {
        once * 2 + REORDER_HOLD
    } else {
        once
    }
}

fn loses(network: &Impairment) -> bool {
    network.loss > 0.0 || (network.mtu > 0 && network.mtu < LARGEST_DATAGRAM)
}

/// The last value of an option, `--name VALUE` or `--name=VALUE`.
fn argument<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let apart = arguments.windows(2).filter(|pair| pair[0] == name);
    let apart = apart.map(|pair| pair[1].as_str()).next_back();
    let joined = arguments
        .iter()
        .rev()
        .find_map(|text| text.strip_prefix(name)?.strip_prefix('='));
    apart.or(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_the_instances_and_every_network_count() {
        let text = "name = \"r\"\nquestion = \"?\"\nduration = \"9s\"\n[cluster]\narguments = [\"--ack-timeout\", \
                    \"200ms\", \"--max-retransmit=1\", \"--queue-per-endpoint\", \"3\"]\n[devices]\nnetwork = { latency = \
                    \"5ms\", jitter = \"2ms\" }\n[[fault]]\nat = \"1s\"\ndo = \"network\"\nnetwork = { latency = \"700ms\", \
                    reorder = 0.1, loss = 0.1 }\n[[fault]]\nat = \"2s\"\ndo = \"network\"\nnetwork = { mtu = 1280, loss = \
                    0.0 }\n";
        let rules = Rules::of(&Scenario::parse(text, "r.toml").unwrap());
        assert_eq!(rules.lossy, [false, true, false]);
        // Held back: 2 × (700 + 2) ms and 10 ms.
        assert_eq!((rules.delay_us, rules.way_us), (1_914_000, 1_916_000));
        assert_eq!(
            (rules.gives_up_after_us(), rules.last_wait_us()),
            (600_000, 600_000)
        );
        assert_eq!(rules.queue_per_endpoint, 3);
    }
}
