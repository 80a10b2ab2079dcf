//! The journal as a file: what has been written to it survives the end of the process.
//!
//! The file opens with a line that names its format; then follow [`Record`]s. A record that is cut off at the end of
//! the file was being written when the process ended, and nobody was told of it: it is removed. Any other damage is
//! an error, because what follows it cannot be trusted.

mod compaction;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::journal::{Record, RecordError};
use crate::keyspace::Keyspace;
use crate::state::Limits;

const MAGIC: &[u8] = b"lwm2m broker append log 2\n";
const FILE_NAME: &str = "broker.log";
/// A log smaller than this is never compacted while it is in use.
const COMPACT_FROM_BYTES: u64 = 64 << 20;
/// A log is compacted when it is this many times as large as after the last compaction.
const COMPACT_AT_GROWTH: u64 = 2;

/// What must fit before a full disk counts as usable again.
const PROBE_BYTES: usize = 64 << 10;

/// When what was written is also forced to the disk, to survive a power failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Once in a second, beside the work.
    #[default]
    EverySecond,
    /// Before each answer.
    Always,
}

/// Why the append log cannot be used.
#[derive(Debug, Error)]
pub enum AppendLogError {
    #[error("cannot {action} {}: {source}; check that the directory exists, is writable and has room", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{} is not an append log of this broker: it does not begin with {:?}; give another directory or move the file \
         away", path.display(), String::from_utf8_lossy(MAGIC).trim_end()
    )]
    NotALog { path: PathBuf },
    #[error(
        "{} is damaged at byte {offset} of {size}: {source}; restore it from a copy, or cut it there with \
         `truncate -s {offset}` and lose what follows", path.display()
    )]
    Damaged {
        path: PathBuf,
        offset: usize,
        size: usize,
        source: RecordError,
    },
}

/// An open log, positioned at its end.
#[derive(Debug)]
pub struct AppendLog {
    path: PathBuf,
    file: File,
    /// How many bytes of the file are whole records.
    length: u64,
    compacted_length: u64,
    sync: Sync,
    unsynced: bool,
}

impl AppendLog {
    /// Opens the log in `directory`, or begins one, and rebuilds the data from it. `now_us` is the present time; keys
    /// that have expired by then are left out.
    ///
    /// # Errors
    /// The file cannot be read or written, is something else, or is damaged other than at its very end.
    pub fn open(
        directory: &Path,
        limits: &Limits,
        sync: Sync,
        now_us: u64,
    ) -> Result<(AppendLog, Keyspace), AppendLogError> {
        let path = directory.join(FILE_NAME);
        let mut keyspace = Keyspace::new(limits.clone());
        if path.exists() {
            replay(&path, &mut keyspace)?;
        }
        let (file, length) = compaction::write(&path, &keyspace, now_us)?;
        keyspace.record_journal();
        let log = AppendLog {
            path,
            file,
            length,
            compacted_length: length,
            sync,
            unsynced: false,
        };
        Ok((log, keyspace))
    }

    /// Writes records behind the others. After an error the file is as before.
    ///
    /// # Errors
    /// The disk is full, or broken.
    pub fn append(&mut self, records: &[u8]) -> Result<(), AppendLogError> {
        if records.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(records).and_then(|()| match self.sync {
            Sync::Always => self.file.sync_data(),
            Sync::EverySecond => Ok(()),
        });
        if let Err(source) = written {
            // Half a record must not stay in front of the next one.
            let cut = self
                .file
                .set_len(self.length)
                .and_then(|()| self.file.seek(SeekFrom::End(0)));
            if let Err(error) = cut {
                tracing::error!(%error, path = %self.path.display(), "the append log cannot be cut back");
            }
            return Err(self.error("write to", source));
        }
        self.length += records.len() as u64;
        self.unsynced = self.sync == Sync::EverySecond;
        Ok(())
    }

    /// Tries whether there is room to write again. The file is as before in any case.
    ///
    /// # Errors
    /// There is none.
    pub fn probe(&mut self) -> Result<(), AppendLogError> {
        // Should the process end in between: zeros at the end of a log are recognised and removed.
        let written = self.file.write_all(&[0; PROBE_BYTES]);
        let cut = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::End(0)));
        written
            .and(cut)
            .map(drop)
            .map_err(|source| self.error("write to", source))
    }

    /// Whether the log has grown so much that [`Self::compact`] pays.
    pub fn wants_compaction(&self) -> bool {
        self.length >= COMPACT_FROM_BYTES.max(self.compacted_length.saturating_mul(COMPACT_AT_GROWTH))
    }

    /// Replaces the log by the shortest one that gives the data of `keyspace`.
    ///
    /// # Errors
    /// The new file could not be written; the old one stays in use.
    pub fn compact(&mut self, keyspace: &Keyspace, now_us: u64) -> Result<(), AppendLogError> {
        // Whatever comes of it, the next attempt waits for the same growth again.
        self.compacted_length = self.length;
        let (file, length) = compaction::write(&self.path, keyspace, now_us)?;
        (self.file, self.length, self.compacted_length, self.unsynced) = (file, length, length, false);
        Ok(())
    }

    /// Rebuilds the data from what is in the file, as it was before a failed [`Self::append`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reload(&self, limits: &Limits) -> Result<Keyspace, AppendLogError> {
        let mut keyspace = Keyspace::new(limits.clone());
        replay(&self.path, &mut keyspace)?;
        Ok(keyspace)
    }

    /// A handle on which to force to the disk what was written since the last call, if anything was.
    ///
    /// # Errors
    /// The handle cannot be made.
    pub fn take_unsynced(&mut self) -> Result<Option<File>, AppendLogError> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(None);
        }
        self.file
            .try_clone()
            .map(Some)
            .map_err(|source| self.error("open", source))
    }

    /// Forces everything to the disk.
    ///
    /// # Errors
    /// The disk is broken.
    pub fn sync(&mut self) -> Result<(), AppendLogError> {
        self.unsynced = false;
        self.file.sync_data().map_err(|source| self.error("sync", source))
    }

    /// Puts another file in the place of the open one, to see what a broken disk does.
    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    fn error(&self, action: &'static str, source: io::Error) -> AppendLogError {
        AppendLogError::File {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

/// Executes all records of the file; a record cut off at its end is removed from the file.
fn replay(path: &Path, keyspace: &mut Keyspace) -> Result<(), AppendLogError> {
    let file_error = |action| {
        move |source| AppendLogError::File {
            action,
            path: path.to_path_buf(),
            source,
        }
    };
    let bytes = fs::read(path).map_err(file_error("read"))?;
    if !bytes.starts_with(MAGIC) {
        // A crash while the very first line was written leaves a part of it.
        if MAGIC.starts_with(&bytes) {
            return Ok(());
        }
        return Err(AppendLogError::NotALog {
            path: path.to_path_buf(),
        });
    }
    let mut offset = MAGIC.len();
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        match Record::decode(rest) {
            Ok((record, length)) => {
                keyspace.replay(&record);
                offset += length;
            }
            Err(error) if is_torn(&error, rest) => {
                tracing::warn!(
                    path = %path.display(), offset, removed = rest.len(),
                    "the last record of the append log was not completely written and is removed"
                );
                let file = OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map_err(file_error("open"))?;
                file.set_len(offset as u64).map_err(file_error("cut"))?;
                break;
            }
            Err(source) => {
                let (path, size) = (path.to_path_buf(), bytes.len());
                return Err(AppendLogError::Damaged {
                    path,
                    offset,
                    size,
                    source,
                });
            }
        }
    }
    Ok(())
}

/// Whether a bad record is what a crash leaves at the end of a file: cut off, or of the right length but not all of it
/// on the disk, or zeros that the file system put there.
fn is_torn(error: &RecordError, rest: &[u8]) -> bool {
    match error {
        RecordError::CutOff { .. } => true,
        RecordError::Body { end } => *end == rest.len(),
        RecordError::Length | RecordError::Malformed => rest.iter().all(|byte| *byte == 0),
    }
}
