//! What an instance is told at its start.

use super::admission::Shares;
use crate::member::InstanceId;
use crate::mutant::Planted;
use crate::store::protocol::times;
use lwm2m::coap;
use std::net::SocketAddr;
use std::time::Duration;

/// The critical options of devices' responses: what an answer in blocks means for a ticket is said by whoever reads it.
pub(super) const KNOWN_IN_RESPONSES: &[u16] = &[coap::option::BLOCK1, coap::option::BLOCK2];

/// Which shapes of JSON the cluster emits. All members of a cluster speak one.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Dialect {
    /// The shapes of the wiki page, with the additions of the ticket contract.
    Wiki,
}

impl Dialect {
    /// Its name on the command line and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Wiki => "wiki",
        }
    }
}

/// Limits on everything that an outsider can make grow.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests that wait for one device.
    pub queue_per_endpoint: usize,
    /// Open requests of one partition (1/256 of the endpoints).
    pub open_per_partition: usize,
    /// Remembered outcomes of one partition.
    pub retained_outcomes: usize,
    /// The longest request of a back end, in bytes.
    pub request_bytes: usize,
    /// Requests of the last moments, kept for partitions that this instance may have to take, in bytes.
    pub ring_bytes: usize,
    /// Registrations, updates and de-registrations that wait for the broker at one time.
    pub uplinks_pending: usize,
    /// What may be asked of the store by whom nobody knows.
    pub shares: Shares,
    /// Calls that wait for the broker; beyond it, requests of devices are answered 5.03.
    pub calls_pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            queue_per_endpoint: 64,
            open_per_partition: 4096,
            retained_outcomes: 4096,
            request_bytes: 64 * 1024,
            ring_bytes: 64 * 1024 * 1024,
            uplinks_pending: 16_384,
            shares: Shares::default(),
            calls_pending: 65_536,
        }
    }
}

/// The configuration of one instance.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: InstanceId,
    /// Distinguishes processes that are started with one id.
    pub nonce: String,
    /// The address at which devices reach it: `regAddr` and `regPort`.
    pub address: SocketAddr,
    /// How long the cluster waits for a sign of life before it takes over.
    pub lease: Duration,
    /// Stands before every channel and every key.
    pub prefix: String,
    /// The shapes of its JSON.
    pub dialect: Dialect,
    /// How long outcomes are remembered for repeats.
    pub retention: Duration,
    /// Exchanges at a time with one device (RFC 7252, 4.7).
    pub nstart: usize,
    /// CoAP's transmission parameters (RFC 7252, 4.8).
    pub parameters: coap::TransmissionParameters,
    /// Limits.
    pub limits: Limits,
    /// The bug that it has, for tests.
    pub planted: Planted,
}

impl Config {
    /// The message layer: turns, and what was answered before, are the store's business.
    pub(super) fn coap(&self) -> coap::Config {
        coap::Config {
            parameters: coap::TransmissionParameters {
                nstart: usize::MAX,
                ..self.parameters.clone()
            },
            limits: coap::Limits {
                exchanges_per_peer: 4096,
                // Acknowledged responses, 0.3 KiB each: what waits for the store is newer than nearly all of them.
                remembered: 1 << 17,
                ..coap::Limits::default()
            },
            deduplication: coap::Deduplication::WhilePending,
            known_in_responses: KNOWN_IN_RESPONSES,
            ..coap::Config::default()
        }
    }

    /// Whether times stand to each other as the ticket contract needs it; if not, what was expected and found.
    pub fn check(&self) -> Result<(), String> {
        times::check_transmission(&self.parameters)?;
        let least = times::least_retention(self.lease);
        if self.retention < least {
            return Err(format!(
                "--ticket-retention {} ms: expected at least {} ms, because with --lease {} ms a request may be replayed, and \
                 executed again, for so long",
                self.retention.as_millis(),
                least.as_millis(),
                self.lease.as_millis()
            ));
        }
        Ok(())
    }

    /// The lease ends here a little earlier than at the broker.
    pub(super) fn lease_margin(&self) -> Duration {
        self.lease / 20
    }
}
