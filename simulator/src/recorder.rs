//! Writes the history while the run goes on, on a thread of its own: a slow disk is not to be measured as a slow cluster. A
//! disk that fails ends the run: a verdict from half a history is none.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use lwm2m::time::Time;

use crate::history::{Entry, Event, HistoryError, HistoryWriter};
use crate::run::EnvironmentError;

/// Entries that are handed over together.
const BATCH: usize = 256;
/// Batches that wait for the disk; beyond it the run waits, which is seen as a late harness.
const WAITING_BATCHES: usize = 1024;
/// Entries that are held back at most. What is beyond goes out, whether it is known to which era it belongs or not.
const MOST_HELD: usize = 1 << 18;

/// The history of a run in the making.
pub struct Recorder {
    /// In the order in which they were seen, if they are held back.
    held: VecDeque<Entry>,
    holds: bool,
    batch: Vec<Entry>,
    batches: Option<SyncSender<Vec<Entry>>>,
    writer: Option<JoinHandle<Result<(), HistoryError>>>,
    last: Time,
}

impl Recorder {
    /// Goes on with a history that has its header.
    pub fn new(writer: HistoryWriter) -> Result<Self, EnvironmentError> {
        let (batches, waiting) = sync_channel(WAITING_BATCHES);
        let write = move || {
            let mut writer = writer;
            let batches: std::sync::mpsc::Receiver<Vec<Entry>> = waiting;
            for entry in batches.into_iter().flatten() {
                writer.append(&entry)?;
            }
            writer.finish()
        };
        let thread = thread::Builder::new().name("history".to_owned()).spawn(write);
        let writer =
            thread.map_err(|error| EnvironmentError::new(format!("no thread for the history: {error}")))?;
        Ok(Recorder {
            held: VecDeque::new(),
            holds: false,
            batch: Vec::with_capacity(BATCH),
            batches: Some(batches),
            writer: Some(writer),
            last: Time::ZERO,
        })
    }

    /// From now on entries wait for [`Recorder::release`], so that it can still be said that an era began before them.
    pub fn hold(&mut self) {
        self.holds = true;
    }

    /// Appends an event that was seen at `now`. Times never go back.
    pub fn record(&mut self, now: Time, event: Event) {
        self.last = self.last.max(now);
        let entry = Entry {
            at_us: self.last.as_micros(),
            event,
        };
        if !self.holds {
            return self.append(entry);
        }
        self.held.push_back(entry);
        if self.held.len() > MOST_HELD
            && let Some(entry) = self.held.pop_front()
        {
            self.append(entry);
        }
    }

    /// Writes what was seen until then.
    pub fn release(&mut self, until: Time) {
        let until = until.as_micros();
        while self.held.front().is_some_and(|entry| entry.at_us <= until) {
            if let Some(entry) = self.held.pop_front() {
                self.append(entry);
            }
        }
    }

    /// Writes an event that happened before all that is held back.
    pub fn record_before_held(&mut self, event: Event) {
        let at_us = self
            .held
            .front()
            .map_or(self.last.as_micros(), |entry| entry.at_us);
        self.append(Entry { at_us, event });
    }

    /// The first failure, if there was one.
    pub fn check(&mut self) -> Result<(), EnvironmentError> {
        match self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            true => self.join(),
            false => Ok(()),
        }
    }

    /// Closes the history.
    pub fn finish(mut self) -> Result<(), EnvironmentError> {
        self.release(Time::MAX);
        self.hand_over();
        self.batches = None;
        self.join()
    }

    fn append(&mut self, entry: Entry) {
        self.batch.push(entry);
        if self.batch.len() >= BATCH {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if let Some(batches) = &self.batches {
            // A writer that is gone has failed, and says so when it is asked.
            let _ = batches.send(batch);
        }
    }

    fn join(&mut self) -> Result<(), EnvironmentError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        match writer.join() {
            Ok(written) => written.map_err(|error| cannot_write(&error)),
            Err(_) => Err(EnvironmentError::new(
                "the thread that writes the history panicked",
            )),
        }
    }
}

/// The history could not be written.
pub fn cannot_write(error: &HistoryError) -> EnvironmentError {
    EnvironmentError::new(format!(
        "the history cannot be written: {error}; is the disk full?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Header, HistoryReader, SCHEMA};

    fn header() -> Header {
        Header {
            schema: SCHEMA.into(),
            scenario: "x".into(),
            file: "x.toml".into(),
            text: String::new(),
            overrides: Vec::new(),
            seed: 1,
            version: "0".into(),
            world: "real".into(),
            started_ms: 0,
        }
    }

    fn said(what: &str) -> Event {
        Event::Heard { message: what.into() }
    }

    #[test]
    fn an_era_that_is_noticed_late_stands_before_what_was_held_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history");
        let writer = HistoryWriter::create(&path, &header()).unwrap();
        let mut recorder = Recorder::new(writer).unwrap();
        recorder.record(Time::from_millis(1), said("at once"));
        recorder.hold();
        for millis in [10, 20, 30] {
            recorder.record(Time::from_millis(millis), said(&millis.to_string()));
        }
        recorder.release(Time::from_millis(15));
        recorder.record_before_held(Event::Era {
            reason: "forgot".into(),
        });
        recorder.record(Time::from_millis(40), said("40"));
        recorder.finish().unwrap();
        let entries: Vec<_> = HistoryReader::open(&path).unwrap().map(Result::unwrap).collect();
        let seen = |entry: &Entry| match &entry.event {
            Event::Heard { message } => (entry.at_us / 1000, message.clone()),
            Event::Era { reason } => (entry.at_us / 1000, reason.clone()),
            other => panic!("{other:?}"),
        };
        let expected = [
            (1, "at once"),
            (10, "10"),
            (20, "forgot"),
            (20, "20"),
            (30, "30"),
            (40, "40"),
        ];
        let expected = expected.map(|(at, text)| (at, text.to_owned()));
        assert_eq!(entries.iter().map(seen).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_disk_that_is_full_ends_the_run() {
        let full = std::path::Path::new("/dev/full");
        let Ok(writer) = HistoryWriter::create(full, &header()) else {
            return; // It says so at once, which is as good.
        };
        let recorder = Recorder::new(writer).unwrap();
        let error = recorder.finish().unwrap_err().to_string();
        assert!(
            error.starts_with("the history cannot be written: /dev/full"),
            "{error}"
        );
    }
}
