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
mod expiry;
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
pub use breach::Breach;
pub use judged::{Applied, Excuse};
pub use rules::Rules;
pub use story::tell_stories;
pub use unrest::Span;

use book::{Book, Ticket};
use invariant::{Invariant, Open};

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
    pub judged: std::collections::BTreeMap<Breach, Applied>,
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
        let change = self.registrations.observe(entry, &self.book, &mut self.found);
        if let Some((ep, change)) = change {
            self.book.registration_announced(entry.at_us, &ep, change);
        }
        self.book.record(entry, message);
        while let Some(id) = self.book.next_look(entry.at_us) {
            self.look_at(entry.at_us, id);
        }
    }

    /// A ticket has had its time, or something of it was awaited: judges what it was owed, and forgets it when nothing can
    /// come of it any more.
    fn look_at(&mut self, now_us: u64, id: book::TicketId) {
        let ticket = self.book.ticket(id);
        let (over, forgotten) = (self.book.time_over(ticket), self.book.forgotten_at(ticket));
        if !ticket.settled {
            if now_us < over {
                return self.book.look_at(over, id);
            }
            if !self.judge_outcome(id, false) {
                return self.book.look_at(now_us + self.book.rules.bound_us, id);
            }
        }
        if now_us < forgotten {
            return self.book.look_at(forgotten, id);
        }
        if let Some(ticket) = self.book.evict(id) {
            self.leaves(&ticket);
        }
    }

    /// Judges whether a ticket got what it was owed; false if that cannot be said yet.
    fn judge_outcome(&mut self, id: book::TicketId, at_end: bool) -> bool {
        let ticket = self.book.ticket(id);
        let acked = ticket.ack.is_some();
        if ticket.ended() {
            self.found.judged(Breach::Lost);
            if acked {
                self.found.judged(Breach::NoTerminal);
            }
            self.book.settle(id);
            return true;
        }
        let (rule, thought) = if acked {
            let thought = invariant::no_terminal::judge(ticket, &self.book, &mut self.found);
            (Breach::NoTerminal, thought)
        } else {
            (
                Breach::Lost,
                invariant::lost::judge(ticket, &self.book, &mut self.found),
            )
        };
        match thought {
            Open::Waits(_) if !at_end => return false,
            Open::Waits(why) | Open::Excused(why) => {
                self.found.excused(rule, why);
                if why != Excuse::Era {
                    self.found.judgement.open += 1;
                }
            }
            Open::Accused => self.found.judged(rule),
        }
        self.book.settle(id);
        true
    }

    fn leaves(&mut self, ticket: &Ticket) {
        let copies = u64::from(ticket.ack_copies) + u64::from(ticket.terminal_copies);
        self.found.judgement.repeat_copies += copies;
    }

    /// How many tickets are kept, because something may still come of them.
    pub fn kept(&self) -> usize {
        self.book.len()
    }

    /// How often rules have been broken so far.
    pub fn violations(&self) -> u64 {
        self.found.judgement.counts.values().sum()
    }

    /// The spans in which the cluster had something to get over.
    pub fn unrest(&self) -> &[Span] {
        self.book.timeline.unrest()
    }

    /// The end of the history.
    pub fn finish(mut self) -> Judgement {
        for id in self.book.ids() {
            if !self.book.ticket(id).settled {
                self.judge_outcome(id, true);
            }
        }
        for invariant in &mut self.invariants {
            invariant.finish(&self.book, &mut self.found);
        }
        self.registrations.finish(&self.book.timeline, &mut self.found);
        let kept = self.book.take_all();
        kept.iter().for_each(|ticket| self.leaves(ticket));
        let mut judgement = self.found.judgement;
        judgement.judged = self.found.counts.by_rule();
        judgement.event_gaps = self.registrations.gaps;
        judgement.violations.sort_by_key(|violation| violation.at_us);
        judgement
    }
}
