//! Every error has a lawful cause: here is each `err.code`, each error code of a device, and when it is lawful.
//!
//! | code | lawful if |
//! | --- | --- |
//! | `BAD_REQUEST` | what was published is no request |
//! | `UNKNOWN_ENDPOINT` | the endpoint was not registered at some time since the request was published |
//! | `TIMEOUT` | the timeout is over by the broker's clock; whether the device could have been asked is `unserved`'s question |
//! | `CANCELLED` | never: the load cannot cancel yet |
//! | `UNREACHABLE` | the time of all retransmissions is over, and the last one met a fault, a loss or a device that is away |
//! | `REJECTED` | the device sent a Reset since the request was published |
//! | `UNDECODABLE` | the device answered the read with nonsense |
//! | `OUTCOME_UNKNOWN` | the kind may be sent once only, and an instance may have died, or the registration ended or was replaced |
//! | `GONE` | the registration ended |
//! | `OVERLOADED` | as many requests as may wait for the device, or in all, were open |
//! | `INTERNAL` | never |
//! | 4.xx, 5.xx in a `resp` | the device answered this request so |
//!
//! The end of a registration is announced right behind the errors that it causes, so those wait for it.

use std::collections::VecDeque;

use super::Invariant;
use crate::checker::book::{Book, EndpointId, Ticket};
use crate::checker::endpoint::Registered;
use crate::checker::message::{Body, ErrorBody, Message, Response};
use crate::checker::registration::{Ending, ending_of};
use crate::checker::{Breach, Excuse, Found};
use crate::dialect::ErrorCode;
use crate::history::{CoapCode, Entry, Event};
use crate::operation::RequestKind;

/// Open requests of one partition at most, and calls of one instance that may wait for its broker: the limits of the server
/// that no argument changes.
const OPEN_PER_PARTITION: usize = 4096;
const CALLS_PENDING: usize = 65_536;
/// Times are cut to milliseconds on the way.
const ROUNDING_US: u64 = 10_000;

/// What is to be thought of an error.
enum Verdict {
    Lawful,
    Excused(Excuse),
    /// Lawful if the end of the registration is announced right behind it.
    Awaits(&'static [Ending]),
    Unlawful(String),
}

use Verdict::{Awaits, Excused, Lawful, Unlawful};

fn unlawful(why: &str) -> Verdict {
    Unlawful(why.to_owned())
}

/// An error whose cause is still to be announced.
struct Waiting {
    endpoint: EndpointId,
    ticket: Box<str>,
    code: Box<str>,
    at_us: u64,
    /// When the request was first sent: what ended it was announced after that.
    sent_us: u64,
    causes: &'static [Ending],
}

#[derive(Default)]
pub struct UnlawfulError {
    /// In the order of time.
    waiting: VecDeque<Waiting>,
}

/// An error and all that is asked of the history about it.
struct Case<'a> {
    book: &'a Book,
    ticket: &'a Ticket,
    /// When it was heard.
    at_us: u64,
    /// Since when the cluster may have decided it.
    asked_us: u64,
    /// It is a copy.
    again: bool,
    error: &'a ErrorBody,
}

impl Invariant for UnlawfulError {
    fn observe(&mut self, entry: &Entry, message: Option<&Message<'_>>, book: &Book, found: &mut Found) {
        if let Event::Registration { .. } = &entry.event
            && !self.waiting.is_empty()
        {
            self.registration_ended(entry, book, found);
        }
        self.give_up(entry.at_us.saturating_sub(book.rules.bound_us), book, found);
        let Some(message) = message else { return };
        let Some(ticket) = book.find(message).map(|id| book.ticket(id)) else {
            return;
        };
        if ticket.ended() {
            return;
        }
        let (code, verdict) = match &message.body {
            Body::Error(error) => (
                error.code.as_str(),
                of_cluster(entry, message.again, error, ticket, book),
            ),
            Body::Response(response) if !response.success() => {
                (response.code.as_str(), of_device(response, ticket, book))
            }
            _ => return,
        };
        match verdict {
            Lawful => found.judged(Breach::UnlawfulError),
            Excused(why) => found.excused(Breach::UnlawfulError, why),
            Awaits(causes) => self.waiting.push_back(Waiting {
                endpoint: ticket.endpoint,
                ticket: ticket.name.clone(),
                code: code.into(),
                at_us: entry.at_us,
                sent_us: ticket.first_sent_us,
                causes,
            }),
            Unlawful(why) => {
                found.judged(Breach::UnlawfulError);
                found.about(Breach::UnlawfulError, entry.at_us, book, ticket, || {
                    format!("{code}, but {why}")
                });
            }
        }
    }

    fn finish(&mut self, book: &Book, found: &mut Found) {
        let seen = book.timeline.end_us().saturating_sub(book.rules.bound_us);
        self.give_up(seen, book, found);
        self.waiting
            .iter()
            .for_each(|_| found.excused(Breach::UnlawfulError, Excuse::Unfinished));
    }
}

impl UnlawfulError {
    fn registration_ended(&mut self, entry: &Entry, book: &Book, found: &mut Found) {
        let Some((ep, ending)) = ending_of(&entry.event) else {
            return;
        };
        let Some(endpoint) = book.endpoint(&ep) else {
            return;
        };
        self.waiting.retain(|it| {
            let explained = it.endpoint == endpoint && it.causes.contains(&ending);
            if explained {
                found.judged(Breach::UnlawfulError);
            }
            !explained
        });
    }

    /// What was heard before `before` should have been explained.
    fn give_up(&mut self, before: u64, book: &Book, found: &mut Found) {
        while self.waiting.front().is_some_and(|it| it.at_us < before) {
            let Some(it) = self.waiting.pop_front() else {
                return;
            };
            if book.timeline.may_have_missed(it.sent_us, before) {
                found.excused(Breach::UnlawfulError, Excuse::Missed);
                continue;
            }
            found.judged(Breach::UnlawfulError);
            let ep = book.endpoint_name(it.endpoint);
            found.add(Breach::UnlawfulError, it.at_us, ep, &it.ticket, || {
                let harm = match &*it.code {
                    "GONE" => "the registration of the device did not end",
                    _ => "no instance died, and the registration of the device did not end",
                };
                format!("{}, but {harm}", it.code)
            });
        }
    }
}

fn of_cluster(entry: &Entry, again: bool, error: &ErrorBody, ticket: &Ticket, book: &Book) -> Verdict {
    let published = if again { None } else { ticket.first_published_us };
    let case = Case {
        book,
        ticket,
        at_us: entry.at_us,
        asked_us: published.unwrap_or(ticket.first_sent_us),
        again,
        error,
    };
    if ticket.crossed_eras {
        return Excused(Excuse::Era);
    }
    match error.code {
        ErrorCode::BadRequest => case.bad_request(),
        ErrorCode::UnknownEndpoint => case.unknown_endpoint(),
        ErrorCode::Timeout => case.timeout(),
        ErrorCode::Cancelled => unlawful("nobody cancelled it"),
        ErrorCode::Unreachable => case.unreachable(),
        ErrorCode::Rejected => case.rejected(),
        ErrorCode::Undecodable => case.undecodable(),
        ErrorCode::OutcomeUnknown => case.outcome_unknown(),
        ErrorCode::Gone => Awaits(&[Ending::Over]),
        ErrorCode::Overloaded => case.overloaded(),
        ErrorCode::Internal => unlawful("nothing that was asked can fail for a reason of the cluster's own"),
        ErrorCode::Other(_) => unlawful("the interface has no such code"),
    }
}

impl Case<'_> {
    fn bad_request(&self) -> Verdict {
        match self.ticket.kind {
            RequestKind::Malformed => Lawful,
            RequestKind::Read | RequestKind::Execute => unlawful("the request is well formed"),
            // Whether a text is a value for every path is the server's to know.
            _ if !is_text(&self.ticket.path) => Excused(Excuse::Unknown),
            _ => unlawful("the request is well formed"),
        }
    }

    fn unknown_endpoint(&self) -> Verdict {
        if self.ticket.ack.is_some() {
            return unlawful("the request had been acked");
        }
        match self.book.of_endpoint(self.ticket.endpoint).registered {
            Registered::Never | Registered::Ended => Lawful,
            Registered::Since { from_us, .. } if from_us >= self.asked_us => Lawful,
            Registered::Since { heard_us, .. }
                if self.book.timeline.may_have_missed(heard_us, self.at_us) =>
            {
                Excused(Excuse::Missed)
            }
            Registered::Since { from_us, .. } => Unlawful(format!(
                "the endpoint had been registered since {:.3} s",
                from_us as f64 / 1e6
            )),
        }
    }

    fn timeout(&self) -> Verdict {
        // It may have arrived at any time until it was acked; the clock may have been set back meanwhile.
        let arrived = self.book.arrived_by(self.ticket).unwrap_or(self.asked_us);
        let since = |from: u64| self.book.timeline.broker_time_between(from, self.at_us);
        let passed = since(self.asked_us).max(since(arrived.min(self.at_us)));
        let passed = u64::try_from(passed).unwrap_or(0).max(self.at_us - self.asked_us);
        if passed.saturating_add(ROUNDING_US) >= self.ticket.timeout_us {
            return Lawful;
        }
        if self.book.timeline.instance_clock_touched() {
            return Excused(Excuse::Clock);
        }
        Unlawful(format!(
            "only {:.3} s of its timeout of {} ms had passed",
            passed as f64 / 1e6,
            self.ticket.timeout_us / 1000
        ))
    }

    fn unreachable(&self) -> Verdict {
        let (book, rules) = (self.book, &self.book.rules);
        let asked = self
            .ticket
            .ack
            .map_or(self.asked_us, |ack| ack.at_us.min(self.at_us));
        let tried = self.at_us.saturating_sub(asked.min(self.asked_us));
        if book.timeline.instance_clock_touched() {
            return Excused(Excuse::Clock);
        }
        if tried.saturating_add(ROUNDING_US) < rules.gives_up_after_us() {
            return Unlawful(format!(
                "it had been tried for {:.3} s only: CoAP does so for {:.3} s at least",
                tried as f64 / 1e6,
                rules.gives_up_after_us() as f64 / 1e6
            ));
        }
        let endpoint = book.of_endpoint(self.ticket.endpoint);
        if rules.separate || endpoint.rejected_us >= Some(self.asked_us) {
            return Excused(Excuse::Device);
        }
        let Some(lossless) = book.timeline.lossless_since() else {
            return Excused(Excuse::Loss);
        };
        let Some(reachable) = endpoint.reachable_since(self.at_us) else {
            return Excused(Excuse::Device);
        };
        let Some(at_rest) = book.timeline.at_rest_since(self.at_us) else {
            return Excused(Excuse::Fault);
        };
        // The last copy left at this time at the latest, and it and its answer had all the time that they need.
        let last_copy = self.at_us.saturating_sub(rules.last_wait_us());
        let answered = 2 * rules.delay_us <= rules.last_wait_us() * 2 / 3;
        for (since, why) in [
            (lossless, Excuse::Loss),
            (reachable, Excuse::Device),
            (at_rest, Excuse::Fault),
        ] {
            if since.saturating_add(rules.delay_us) > last_copy || !answered {
                return Excused(why);
            }
        }
        unlawful("nothing stood between the cluster and the device when it was sent for the last time")
    }

    fn rejected(&self) -> Verdict {
        match self.book.of_endpoint(self.ticket.endpoint).rejected_us {
            Some(rejected) if rejected >= self.ticket.first_sent_us => Lawful,
            _ => unlawful("the device has rejected nothing since it was asked"),
        }
    }

    fn undecodable(&self) -> Verdict {
        if self.ticket.kind != RequestKind::Read {
            return unlawful("the answer of a device to such a request has nothing to decode");
        }
        match self.ticket.answers.iter().any(|answer| answer.nonsense) {
            true => Lawful,
            false if !self.book.ledger_has_reads => Excused(Excuse::Unknown),
            false => Unlawful(format!(
                "the device has not answered a read of {} with nonsense since it was asked",
                self.ticket.path
            )),
        }
    }

    fn outcome_unknown(&self) -> Verdict {
        if self.ticket.repeatable {
            return unlawful("a request of this kind can be sent again");
        }
        if self.error.sent == Some(false) {
            return unlawful("it was not sent");
        }
        if self.book.timeline.harmed_between(self.asked_us, self.at_us) {
            return Lawful;
        }
        Awaits(&[Ending::Over, Ending::Replaced])
    }

    fn overloaded(&self) -> Verdict {
        let book = self.book;
        if self.ticket.ack.is_some() {
            return unlawful("the request had been acked");
        }
        if self.again {
            // How many were open when the original was said is not known any more.
            return Excused(Excuse::Missed);
        }
        let waiting = book
            .of_endpoint(self.ticket.endpoint)
            .open
            .len()
            .saturating_sub(1);
        let calls = book.open_tickets + book.endpoints();
        let limit = book.rules.queue_per_endpoint;
        if waiting >= limit || book.open_tickets > OPEN_PER_PARTITION || calls >= CALLS_PENDING {
            return Lawful;
        }
        if book.timeline.era() > 1 {
            // What had ended may be open again.
            return Excused(Excuse::Era);
        }
        Unlawful(format!(
            "{waiting} other requests at most were open for this device: the limit is {limit}"
        ))
    }
}

/// Resources of virtual devices that hold a text which a server may write.
fn is_text(path: &str) -> bool {
    ["/3/0/14", "/3/0/15", "/3303/0/5750", "/3/0", "/3303/0"].contains(&path)
}

/// A CoAP error code in a `resp`.
fn of_device(response: &Response, ticket: &Ticket, book: &Book) -> Verdict {
    let (known, answered): (bool, Vec<CoapCode>) = if ticket.kind == RequestKind::Read {
        let codes = ticket.answers.iter().map(|answer| answer.code);
        (book.ledger_has_reads, codes.collect())
    } else {
        let codes = ticket.executions.iter().flat_map(|it| &it.codes);
        (book.ledger_has_changes, codes.copied().collect())
    };
    if answered.iter().any(|code| code.0.name() == response.code) {
        return Lawful;
    }
    if !known || ticket.crossed_eras {
        return Excused(Excuse::Unknown);
    }
    match answered.first() {
        None => unlawful("the device has not answered it"),
        Some(code) => Unlawful(format!("the device answered {code}")),
    }
}
