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
    /// Whoever once was steward accepts on: no script checks the term.
    UncheckedTerm,
    /// A refusal is said and not remembered.
    UnrecordedRefusal,
    /// Message IDs come from the instance, not from the store: a survivor goes on with another one.
    LocalMessageIds,
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
