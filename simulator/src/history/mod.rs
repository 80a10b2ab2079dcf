//! What happened in a run: the only source of verdicts and figures.

pub mod event;
mod file;
mod words;

#[cfg(test)]
mod tests;

pub use event::{Entry, Event, RegistrationChannel};
pub use file::{Header, HistoryError, HistoryReader, HistoryWriter, SCHEMA};
pub use words::{BACK_END, CoapCode, ExitStatus, LossReason, REDIS, instance_id};
