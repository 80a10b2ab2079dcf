//! What happened in a run: the only source of verdicts and figures.

pub mod event;

pub use event::{Entry, Event, RegistrationChannel};
