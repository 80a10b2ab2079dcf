//! A device that can be reached is served: no request ends with TIMEOUT because the cluster forgot to go on with it.
//!
//! A lossy network, a fault of the last moments or a busy device are lawful reasons for a TIMEOUT. So one is accused only
//! if the network of the scenario loses nothing, and for [`CALM_US`] before it nothing was done to the cluster and the
//! device answered no other request either: then whoever held its exchange, or should have, did not do so.

use rustc_hash::FxHashMap;

use super::Invariant;
use crate::checker::book::{Book, EndpointId};
use crate::checker::message::{Body, Message};
use crate::checker::{Breach, Found};
use crate::dialect::ErrorCode;
use crate::history::{Entry, Event};

/// Longer than a takeover, and than two retransmissions of CoAP (RFC 7252, 4.8: 3 s and 6 s at most) after it.
const CALM_US: u64 = 12_000_000;

#[derive(Default)]
pub struct Unserved {
    /// When the world last changed for the cluster.
    disturbed_us: u64,
    /// When each device last answered a request.
    answered_us: FxHashMap<EndpointId, u64>,
}

impl Invariant for Unserved {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        if matches!(
            entry.event,
            Event::Fault { .. }
                | Event::Era { .. }
                | Event::BackEnd { .. }
                | Event::BrokerFull { .. }
                | Event::InstanceStarted { .. }
                | Event::InstanceReady { .. }
                | Event::InstanceExited { .. }
        ) {
            self.disturbed_us = entry.at_us;
        }
        let Some(message) = message.filter(|_| book.rules.lossless) else {
            return;
        };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        let code = match &message.body {
            Body::Response(_) => {
                self.answered_us.insert(ticket.endpoint, entry.at_us);
                return;
            }
            Body::Error(error) => &error.code,
            _ => return,
        };
        let (Some(ack), ErrorCode::Timeout, None) = (ticket.ack, code, &ticket.terminal) else {
            return;
        };
        let answered = self.answered_us.get(&ticket.endpoint).copied().unwrap_or(0);
        let idle_since = ack.at_us.max(answered).max(self.disturbed_us);
        if entry.at_us.saturating_sub(idle_since) >= CALM_US {
            found.about(Breach::Unserved, entry.at_us, book, ticket, || {
                format!(
                    "TIMEOUT, though for {:.1} s nothing hindered anybody from asking the device",
                    (entry.at_us - idle_since) as f64 / 1e6
                )
            });
        }
    }
}
