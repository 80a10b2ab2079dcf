//! When service was disturbed: from each fault that harms to the recovery of those whom it hit, and a little longer.
//!
//! In: the faults of a history, and who recovered when. Out: whether a ticket's life lies in such a span. At the end of a
//! ticket all is known that can reach into its life, so nothing has to be kept of it.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::checker::Rules;
use crate::fault::FaultAction;
use crate::fault::{FaultKind, Until, Victim};
use crate::history::{Entry, Event};
use crate::scenario::Scenario;

/// ACK_TIMEOUT × ACK_RANDOM_FACTOR (RFC 7252, 4.8): how long a lost datagram delays an exchange that is otherwise well.
const RETRANSMISSION_US: u64 = 3_000_000;
/// Devices that stay away for longer after the end of a fault disturb nobody but themselves.
const LONGEST_ABSENCE_US: u64 = 60_000_000;
/// Spans that ended so long ago reach into no ticket's life.
const FORGOTTEN_US: u64 = 3_600_000_000;

/// From a fault to the recovery from it.
struct Span {
    from: u64,
    /// When the fault itself was over, or the last device that it hit answered again.
    over: u64,
    /// What ends the fault, if it has not happened.
    undone_by: Option<FaultKind>,
    /// Devices that have not answered since.
    waiting: u64,
}

/// All spans so far.
pub struct Disturbances {
    /// F, and a retransmission: so long after its end a fault is felt.
    settle_us: u64,
    /// The first one has this number; those before are forgotten.
    first: usize,
    spans: VecDeque<Span>,
    /// Devices that a fault took away themselves, and from when to when.
    devices: FxHashMap<Box<str>, (u64, u64)>,
    /// For each `network` fault to come, whether the network is another than the scenario's from then on.
    networks: VecDeque<bool>,
    /// The span of a network that is another than the scenario's.
    other_network: Option<usize>,
}

impl Disturbances {
    pub fn of(scenario: &Scenario) -> Self {
        let network = |action: &FaultAction| match action {
            FaultAction::Network(networks) => {
                let usual = scenario.devices.groups.iter().map(|group| &group.network);
                Some(!usual.eq(networks))
            }
            _ => None,
        };
        Disturbances {
            settle_us: Rules::of(scenario).bound_us.saturating_add(RETRANSMISSION_US),
            first: 0,
            spans: VecDeque::new(),
            devices: FxHashMap::default(),
            networks: scenario
                .fault
                .iter()
                .filter_map(|fault| network(&fault.action))
                .collect(),
            other_network: None,
        }
    }

    /// Takes the next entry. The number of the span that begins with it, if one does.
    pub fn observe(&mut self, entry: &Entry) -> Option<usize> {
        let Event::Fault {
            action,
            affected,
            harmful,
            lasts_us,
            ..
        } = &entry.event
        else {
            return None;
        };
        let (at, until) = (entry.at_us, entry.at_us.saturating_add(lasts_us.unwrap_or(0)));
        for span in self
            .spans
            .iter_mut()
            .filter(|span| span.undone_by == Some(*action))
        {
            span.undone_by = None;
            span.over = span.over.max(at);
        }
        let harm = action.harm();
        if harm.is_some_and(|harm| harm.whom == Victim::Devices) {
            let absence = (at, until.saturating_add(self.settle_us));
            let names = affected.iter().map(|ep| ep.as_str().into());
            self.devices.extend(names.map(|ep| (ep, absence)));
        }
        if *action == FaultKind::Network {
            self.network_changes(at);
        }
        harmful.then(|| {
            let undone_by = harm.and_then(|harm| match harm.until {
                Until::Undone(by) => Some(by),
                Until::Lasts | Until::TakenOver => None,
            });
            self.begin(Span {
                from: at,
                over: until,
                undone_by,
                waiting: affected.len() as u64,
            })
        })
    }

    /// One of the devices that a fault hit answers again.
    pub fn recovered(&mut self, span: usize, at: u64) {
        let span = span
            .checked_sub(self.first)
            .and_then(|index| self.spans.get_mut(index));
        if let Some(span) = span {
            span.waiting = span.waiting.saturating_sub(1);
            span.over = span.over.max(at);
        }
    }

    /// True if any part of the life of a ticket lies in a span. To be asked when it ends.
    pub fn touch(&self, ep: &str, from: u64, to: u64) -> bool {
        let away = self.devices.get(ep);
        away.is_some_and(|(begin, end)| *begin <= to && from <= *end)
            || self
                .spans
                .iter()
                .any(|span| span.from <= to && from <= self.end_of(span))
    }

    fn end_of(&self, span: &Span) -> u64 {
        let away = if span.waiting > 0 { LONGEST_ABSENCE_US } else { 0 };
        match span.undone_by {
            Some(_) => u64::MAX,
            None => span.over.saturating_add(self.settle_us).saturating_add(away),
        }
    }

    fn begin(&mut self, span: Span) -> usize {
        let now = span.from;
        while self
            .spans
            .front()
            .is_some_and(|old| self.end_of(old).saturating_add(FORGOTTEN_US) < now)
        {
            self.spans.pop_front();
            self.first += 1;
        }
        self.spans.push_back(span);
        self.first + self.spans.len() - 1
    }

    fn network_changes(&mut self, at: u64) {
        let other = self.networks.pop_front().unwrap_or(true);
        match (self.other_network, other) {
            (None, true) => {
                let span = self.begin(Span {
                    from: at,
                    over: at,
                    undone_by: Some(FaultKind::Network),
                    waiting: 0,
                });
                self.other_network = Some(span);
            }
            (Some(span), true) => {
                // The one before was ended by this fault, and it goes on.
                let span = span
                    .checked_sub(self.first)
                    .and_then(|index| self.spans.get_mut(index));
                if let Some(span) = span {
                    span.undone_by = Some(FaultKind::Network);
                }
            }
            (_, false) => self.other_network = None,
        }
    }
}
