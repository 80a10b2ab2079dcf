//! Judges a history against the ticket contract of the northbound interface.
//!
//! In: the entries of a history in their order, by [`Checker::observe`]. Out: a [`Judgement`]: how often each rule was
//! broken, with counter-examples. Each invariant has its own file in `invariant/`; the registration events theirs in
//! `registration.rs`. A correct cluster is never accused: where a history leaves room for a lawful explanation (the
//! back end was disconnected, every instance that heard a request died), nothing is counted.

mod book;
mod breach;
mod clocks;
mod device;
mod endpoint;
mod invariant;
mod judged;
mod registration;
mod rules;
mod story;
mod timeline;
mod unrest;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::history::Entry;

use crate::dialect::message;
pub use crate::dialect::message::{Body, ErrorBody, Message, Response, Speaker};
pub use book::{Mark, Outcome, Terminal, Ticket};
pub use breach::Breach;
pub use judged::{Excuse, Judged};
pub use rules::Rules;
pub use story::tell_stories;
pub use unrest::Span;

use book::Book;
use invariant::Invariant;

/// Counter-examples kept per rule: enough to see a pattern, few enough to read.
const EXAMPLES_PER_BREACH: usize = 5;

/// One counter-example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The rule.
    pub breach: Breach,
    /// When it was seen, microseconds since the start of the run.
    pub at_us: u64,
    /// The endpoint, empty if the message named none.
    pub ep: String,
    /// The ticket, empty for registration events.
    pub ticket: String,
    /// What is wrong, in a sentence.
    pub explanation: String,
    /// Every entry about the ticket (or the endpoint's registration), in order; filled by [`tell_stories`].
    pub story: Vec<Entry>,
}

/// In front of an explanation, whose it is: `dev-1 t1: `, `dev-1: ` for a registration, nothing for what is about no endpoint.
pub fn whose(ep: &str, ticket: &str) -> String {
    let mut text = [ep, ticket].join(" ").trim().to_owned();
    if !text.is_empty() {
        text.push_str(": ");
    }
    text
}

/// What a history amounts to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// How often each rule was broken.
    pub counts: BTreeMap<Breach, u64>,
    /// The first counter-examples of each.
    pub violations: Vec<Violation>,
    /// How often each rule was applied, and how often it looked away.
    pub judged: std::collections::BTreeMap<Breach, Judged>,
    /// Tickets that were open when the broker forgot, and never ended.
    pub lost_with_broker: u64,
    /// Tickets that were open when the run was interrupted, within their time.
    pub open: u64,
    /// Copies of acks and outcomes that repeats brought.
    pub repeat_copies: u64,
    /// Registration events that the back end did not see while it was disconnected.
    pub event_gaps: u64,
}

impl Judgement {
    /// How often a rule was broken.
    pub fn count(&self, breach: Breach) -> u64 {
        self.counts.get(&breach).copied().unwrap_or(0)
    }

    /// How often each rule about tickets was broken; those that were not are there with 0.
    pub fn tickets(&self) -> BTreeMap<Breach, u64> {
        Breach::tickets()
            .map(|breach| (breach, self.count(breach)))
            .collect()
    }
}

/// Where invariants put what they find.
#[derive(Default)]
pub struct Found {
    judgement: Judgement,
    counts: judged::Counts,
}

impl Found {
    /// A rule was applied.
    fn judged(&mut self, rule: Breach) {
        self.counts.judged(rule);
    }

    /// A rule looked away.
    fn excused(&mut self, rule: Breach, why: Excuse) {
        self.counts.excused(rule, why);
    }

    fn add(
        &mut self,
        breach: Breach,
        at_us: u64,
        ep: &str,
        ticket: &str,
        explanation: impl FnOnce() -> String,
    ) {
        let count = self.judgement.counts.entry(breach).or_default();
        *count += 1;
        if *count <= EXAMPLES_PER_BREACH as u64 {
            self.judgement.violations.push(Violation {
                breach,
                at_us,
                ep: ep.into(),
                ticket: ticket.into(),
                explanation: explanation(),
                story: Vec::new(),
            });
        }
    }

    fn about(
        &mut self,
        breach: Breach,
        at_us: u64,
        book: &Book,
        ticket: &Ticket,
        explanation: impl FnOnce() -> String,
    ) {
        self.add(
            breach,
            at_us,
            book.endpoint_name(ticket.endpoint),
            &ticket.name,
            explanation,
        );
    }
}

/// Judges a history while it is read.
pub struct Checker {
    book: Book,
    invariants: Vec<Box<dyn Invariant>>,
    registrations: registration::Registrations,
    found: Found,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new(rules: Rules) -> Self {
        Checker {
            book: Book::new(rules),
            invariants: invariant::all(),
            registrations: registration::Registrations::default(),
            found: Found::default(),
        }
    }

    /// Takes the next entry.
    pub fn observe(&mut self, entry: &Entry) {
        self.observe_parsed(entry, Message::of(entry).as_ref());
    }

    /// Takes the next entry and what [`Message::of`] made of it, for callers that need it too.
    pub fn observe_parsed(&mut self, entry: &Entry, parsed: Option<&Result<Message<'_>, String>>) {
        if let Some(Err(why)) = parsed {
            self.found.add(Breach::Orphan, entry.at_us, "", "", || {
                format!("a message about no ticket: {why}")
            });
        }
        let message = parsed.and_then(|parsed| parsed.as_ref().ok());
        self.book.prepare(entry, message);
        for invariant in &mut self.invariants {
            invariant.observe(entry, message, &self.book, &mut self.found);
        }
        let change = self
            .registrations
            .observe(entry, &self.book.timeline, &mut self.found);
        if let Some((ep, change)) = change {
            self.book.registration_announced(entry.at_us, &ep, change);
        }
        self.book.record(entry, message);
    }

    /// The spans in which the cluster had something to get over.
    pub fn unrest(&self) -> &[Span] {
        self.book.timeline.unrest()
    }

    /// The ticket that a message is about.
    pub fn ticket_of(&self, message: &Message<'_>) -> Option<&Ticket> {
        self.book.find(message).map(|id| self.book.ticket(id))
    }

    /// The tickets so far, in the order in which they were first sent.
    pub fn tickets(&self) -> &[Ticket] {
        &self.book.tickets
    }

    /// The end of the history. Hands back the tickets too.
    pub fn finish(mut self) -> (Judgement, Vec<Ticket>) {
        for invariant in &mut self.invariants {
            invariant.finish(&self.book, &mut self.found);
        }
        self.registrations.finish(&self.book.timeline, &mut self.found);
        let mut judgement = self.found.judgement;
        judgement.judged = self.found.counts.by_rule();
        let copies = |ticket: &Ticket| u64::from(ticket.ack_copies) + u64::from(ticket.terminal_copies);
        judgement.repeat_copies = self.book.tickets.iter().map(copies).sum();
        judgement.event_gaps = self.registrations.gaps;
        judgement.violations.sort_by_key(|violation| violation.at_us);
        (judgement, self.book.tickets)
    }
}
