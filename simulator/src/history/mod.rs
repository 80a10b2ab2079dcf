//! What happened in a run: the only source of verdicts and figures.

pub mod event;
mod file;
mod words;

#[cfg(test)]
mod tests;

pub use event::{Entry, Event, REDIS, RegistrationChannel};
pub use file::{Header, HistoryError, HistoryReader, HistoryWriter, SCHEMA};
pub use words::{CoapCode, ExitStatus, LossReason};
