//! The cluster protocol: everything that crosses from Rust to Lua and back, each thing once.
//!
//! [`calls`] has one struct a script, whose fields are the names that the script finds its arguments under; [`replies`] what
//! scripts answer; [`orders`] what members tell each other; [`schema`] the names of keys and fields, [`times`] the times and
//! how they must stand to each other. Nothing outside knows a position. What does not have the shape that it must have is a
//! [`Malformed`], never a default.

pub mod calls;
pub mod orders;
pub mod replies;
pub mod schema;
pub mod times;

use std::fmt;

/// The broker's clock, in ms since 1970. It and the local clock ([`lwm2m::time::Time`]) never mix.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default)]
pub struct BrokerTime(pub i64);

/// The memory of a broker, between two times that it lost it: a number that only grows.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default)]
pub struct Generation(pub i64);

/// A stewardship of a partition, as the store counts them.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub struct Term(pub u64);

macro_rules! shown_as_number {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}
shown_as_number!(BrokerTime, Generation, Term);

/// What may be done with a request.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Class {
    /// It may be sent again by whoever takes it over.
    Repeatable,
    /// A device must not get it twice.
    Once,
    /// It is refused on arrival.
    Refused,
}

impl Class {
    /// As the store has it.
    pub fn letter(self) -> &'static str {
        match self {
            Class::Repeatable => schema::class::REPEATABLE,
            Class::Once => schema::class::ONCE,
            Class::Refused => schema::class::REFUSED,
        }
    }

    /// What [`Class::letter`] wrote.
    pub fn of_letter(letter: &str) -> Option<Class> {
        [Class::Repeatable, Class::Once, Class::Refused]
            .into_iter()
            .find(|class| class.letter() == letter)
    }
}

/// Where an open ticket is.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// Its holder was told, and may have sent it unless it is [`Class::Once`].
    Dispatched,
    /// It may have been sent.
    Sent,
}

impl State {
    /// As the store has it.
    pub fn letter(self) -> &'static str {
        match self {
            State::Queued => schema::state::QUEUED,
            State::Dispatched => schema::state::DISPATCHED,
            State::Sent => schema::state::SENT,
        }
    }

    /// What [`State::letter`] wrote.
    pub fn of_letter(letter: &str) -> Option<State> {
        [State::Queued, State::Dispatched, State::Sent]
            .into_iter()
            .find(|state| state.letter() == letter)
    }
}

/// Something from the store or from another member that does not have the shape that it must have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: expected {expected}, found {found:?}; is a member of another version in the cluster?")]
pub struct Malformed {
    /// The reply or the message.
    pub what: String,
    /// What should be there.
    pub expected: &'static str,
    /// What is.
    pub found: String,
}
