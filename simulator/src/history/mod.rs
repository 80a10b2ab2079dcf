//! What happened in a run: the only source of verdicts and figures.

pub mod event;
mod file;
mod words;

#[cfg(test)]
mod tests;

pub use crate::parties::{BACK_END, REDIS, instance_id};
pub use event::{Entry, Event, RegistrationChannel};
pub use file::{Header, HistoryError, HistoryReader, HistoryWriter, SCHEMA};
pub use words::{CoapCode, ExitStatus, LossReason};
