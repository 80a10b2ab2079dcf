//! Planted bugs: each takes one safeguard of the cluster away, so that a test can show that the search and the checker
//! would notice its loss.
//!
//! They exist only in a build with the feature `mutants`, where `--mutant NAME` switches one on; without the feature
//! [`Planted`] is empty and [`Planted::is`] is `false` for the compiler too. A bug in Rust asks [`Planted::is`] at its
//! place; one in Lua is a replacement of text ([`edits`]) in the source of the scripts that the brokers are given.

#[cfg(feature = "mutants")]
mod edits;

use crate::store::Script;
use std::borrow::Cow;

/// The bugs that can be planted. Each comment says what is wrong then.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[cfg_attr(feature = "mutants", derive(clap::ValueEnum))]
pub enum Mutant {
    /// After a take, the requests that the former steward may have read and not stored are not accepted again.
    NoRing,
    /// A refusal is said and not remembered.
    UnrecordedRefusal,
    /// Whoever once was steward accepts on: no script checks the term.
    UncheckedTerm,
    /// Message IDs come from the instance, not from the store: a survivor goes on with another one.
    LocalMessageIds,
    /// An outcome is taken from the owner of the endpoint instead of the holder of the ticket.
    OwnerFinishes,
    /// What may be sent only once is sent again, in a new exchange, when its holder died.
    ResentAnew,
    /// What may be sent only once is sent without the mark in the store that it may have been.
    NoBegin,
    /// The ack is a step of its own, before the one that stores the request.
    EarlyAck,
    /// A request is stored without its deadline.
    DroppedDeadline,
    /// The queue of an endpoint is served from its end.
    QueueBackwards,
    /// An Update does not move the end of the lifetime.
    StaleExpiry,
    /// The former registration of a device that registers again is replaced without a word.
    SilentReplacement,
    /// A request that is replayed after a take is answered with a copy that nobody asked for.
    ReplayCopies,
    /// A ticket stays open when its outcome was published.
    TicketKept,
    /// Outcomes are remembered by the ticket's name, whatever its endpoint.
    OutcomeWithoutEndpoint,
    /// Copies of acks and outcomes are not marked.
    UnmarkedCopies,
    /// An Update does not count in `rev`.
    UncountedUpdates,
    /// What dead instances held is not looked for.
    DeadHoldersKept,
    /// Outcomes are not remembered.
    ForgottenOutcomes,
    /// An ended exchange keeps its place (NSTART).
    SlotKept,
    /// Requests to one endpoint do not wait for each other.
    NoTurns,
    /// An error says `"sent":false` of what may have been sent.
    SentDenied,
    /// A request that is stored already is stored again.
    OpenTicketForgotten,
    /// A member is given partitions before it has listened for long enough to remember their requests.
    NewbornSteward,
    /// The end of an exchange does not call the next in the queue.
    StalledQueue,
    /// A device is told that its Update succeeded before it is stored.
    PrematureAnswer,
    /// A copy of a Register is served like a new one.
    RegisterTwice,
    /// No instance compares the clock with its lease.
    BlindToLease,
    /// The lease is measured on a clock that stands still while the instance does.
    StoppedClock,
    /// What waited in the sockets during a stall is read after it.
    OldMail,
    /// A partition is held from the reply of the take on, not from its mark on the subscription.
    UnmarkedTake,
    /// An instance that is started again within its lease goes on as the former one.
    SameIncarnation,
    /// A renewal counts without a heartbeat that came back.
    DeafMember,
    /// The repeat of a request calls the next in the queue.
    RepeatCallsNext,
    /// A De-register ends whatever registration the endpoint has by now.
    OldDeregister,
    /// What is heard counts, though the two connections may be to different masters.
    MixedPair,
    /// What waits is called on a new connection before its broker is known to know the member. Incarnations are counted anew
    /// too, because with either safeguard 2500 seeds show nothing.
    UnconfirmedCalls,
    /// A broker that lost its memory counts the incarnations of a process anew.
    CountedAnew,
}

/// Which bug an instance has.
#[derive(Copy, Clone, Debug, Default)]
pub struct Planted(#[cfg(feature = "mutants")] Option<Mutant>);

#[cfg(feature = "mutants")]
impl Planted {
    /// With this bug, or none.
    pub fn new(mutant: Option<Mutant>) -> Self {
        Planted(mutant)
    }

    /// True if this bug is planted.
    pub(crate) fn is(self, mutant: Mutant) -> bool {
        self.0 == Some(mutant)
    }

    /// The Lua text of a script, with the bug.
    ///
    /// # Panics
    ///
    /// If the text that the bug replaces is not there exactly once: then the script has changed, and the bug has to.
    pub fn source(self, script: Script) -> Cow<'static, str> {
        match self.0 {
            Some(mutant) => edits::apply(mutant, script),
            None => Cow::Borrowed(script.source()),
        }
    }
}

#[cfg(not(feature = "mutants"))]
impl Planted {
    /// False: no bug is planted in this build.
    #[inline(always)]
    pub(crate) const fn is(self, _: Mutant) -> bool {
        false
    }

    /// The Lua text of a script.
    pub fn source(self, script: Script) -> Cow<'static, str> {
        Cow::Borrowed(script.source())
    }
}
