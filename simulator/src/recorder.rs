//! Writes the history while the run goes on. A disk that fails ends the run: a verdict from half a history is none.

use lwm2m::time::Time;

use crate::history::{Entry, Event, HistoryWriter};
use crate::run::EnvironmentError;

/// The history of a run in the making.
pub struct Recorder {
    writer: HistoryWriter,
    last: Time,
    failed: Option<EnvironmentError>,
}

impl Recorder {
    /// Goes on with a history that has its header.
    pub fn new(writer: HistoryWriter) -> Self {
        Recorder {
            writer,
            last: Time::ZERO,
            failed: None,
        }
    }

    /// Appends an event that was seen at `now`. Times never go back.
    pub fn record(&mut self, now: Time, event: Event) {
        self.last = self.last.max(now);
        let entry = Entry {
            at_us: self.last.as_micros(),
            event,
        };
        if let Err(error) = self.writer.append(&entry) {
            self.failed.get_or_insert_with(|| cannot_write(&error));
        }
    }

    /// The first failure, if there was one.
    pub fn check(&mut self) -> Result<(), EnvironmentError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Closes the history.
    pub fn finish(mut self) -> Result<(), EnvironmentError> {
        self.check()?;
        self.writer.finish().map_err(|error| cannot_write(&error))
    }
}

/// The history could not be written.
pub fn cannot_write(error: &crate::history::HistoryError) -> EnvironmentError {
    EnvironmentError::new(format!(
        "the history cannot be written: {error}; is the disk full?"
    ))
}
