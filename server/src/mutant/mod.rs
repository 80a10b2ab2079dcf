//! Planted bugs: each takes one safeguard of the cluster away, so that a test can show that the search and the checker
//! would notice its loss.
//!
//! They exist only in a build with the feature `mutants`, where `--mutant NAME` switches one on; without the feature
//! [`Planted`] is empty and [`Planted::is`] is `false` for the compiler too. A bug in Rust asks [`Planted::is`] at its
//! place; one in Lua is a replacement of text ([`edits`]) in the source of the scripts that the brokers are given.

#[cfg(feature = "mutants")]
mod edits;
#[cfg(feature = "mutants")]
mod service;

use crate::store::{Call, Script};
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
    /// Every request is refused with `UNKNOWN_ENDPOINT`.
    AllUnknown,
    /// Devices whose owner died are `UNKNOWN_ENDPOINT`.
    OrphansUnknown,
    /// `OVERLOADED` from the second request on that waits for a device.
    OverloadedByOne,
    /// What may be executed once is a `BAD_REQUEST` while another request waits for the device.
    BadRequestsWhileBusy,
    /// An answer that comes while others wait for the device is published as `UNREACHABLE`.
    UnreachableWhileBusy,
    /// An answer that comes while others wait for the device is published as `UNDECODABLE`.
    UndecodableWhileBusy,
    /// An answer that is heard by another instance than the holder is published as `INTERNAL`.
    InternalForStrays,
    /// A device that answers 2.04 is said to have answered 4.05.
    AnotherCode,
    /// Every ticket ends with `TIMEOUT` after 0.7 s, whatever it asked for.
    HastyTimeouts,
    /// A ticket ends with `TIMEOUT` long after its time.
    LateTimeouts,
    /// A read that a dead instance held ends with `OUTCOME_UNKNOWN` instead of going on.
    ReadsEndWithHolder,
    /// What a dead instance may have sent ends with `GONE`.
    GoneWithHolder,
    /// What was with a device that registers again ends with `REJECTED`.
    RejectedByRegister,
    /// The values of two devices are swapped.
    SwappedAnswers,
    /// Registrations never expire.
    NeverExpires,
    /// Registrations expire after five lifetimes.
    LateExpiry,
    /// A registration expires without a `REG_DEL`.
    UnsaidExpiry,
    /// A device de-registers without a `REG_DEL`.
    UnsaidDeregistration,
    /// An Update from another address leaves the address as it was.
    StaleAddress,
    /// The id of a registration that was replaced is kept.
    KeptIds,
    /// The id of a registration that ended is remembered for ever.
    ImmortalTombstones,
    /// Outcomes are remembered for ever.
    ImmortalOutcomes,
    /// What a sweep ends keeps its place (NSTART).
    SlotKeptBySweep,
    /// What somebody else was steward of is taken and never held.
    UnheldTakeover,
    /// Nobody is ever declared dead.
    NobodyBuried,
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

/// What a driver does to the calls of instances on their way to the broker, for bugs that need no line in an instance.
#[derive(Debug, Default)]
pub struct Saboteur {
    #[cfg(feature = "mutants")]
    planted: Planted,
    /// The value that the device before answered.
    #[cfg(feature = "mutants")]
    kept: Option<Vec<u8>>,
}

#[cfg(feature = "mutants")]
impl Saboteur {
    /// With this bug, or none.
    pub fn new(planted: Planted) -> Self {
        let kept = None;
        Saboteur { planted, kept }
    }

    /// What is called in the place of a call; `None`: the call itself.
    pub fn change(&mut self, call: &Call) -> Option<Call> {
        let value = b",\"resp\":{\"kind\":\"read\",\"code\":\"CONTENT\"";
        let body = call
            .args
            .iter()
            .position(|argument| argument.starts_with(value))?;
        if call.script != Script::Finish || !self.planted.is(Mutant::SwappedAnswers) {
            return None;
        }
        let before = self.kept.replace(call.args[body].clone())?;
        let mut changed = call.clone();
        changed.args[body] = before;
        Some(changed)
    }
}

#[cfg(not(feature = "mutants"))]
impl Saboteur {
    /// None: no bug is planted in this build.
    pub fn new(_: Planted) -> Self {
        Saboteur::default()
    }

    /// `None`: the call itself.
    #[inline(always)]
    pub fn change(&mut self, _: &Call) -> Option<Call> {
        None
    }
}
