//! The file form of a history: JSON lines under Zstandard, a [`Header`] and then one [`Entry`] a line.
//!
//! Written entry by entry while the run goes on, so memory stays bounded whatever the length of the run; read the same
//! way. A file whose end is missing (its writer was killed) reads up to its last complete line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Entry;

/// The version of the format, in every header.
pub const SCHEMA: &str = "history/2";
/// Level 3 takes 1.7 times as long for such text, and makes the file a tenth larger.
const LEVEL: i32 = 1;
/// No entry is longer: a message on the response channel is far below this.
const MAX_LINE: u64 = 16 << 20;

/// The first line: what is needed to judge the run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`]
    pub schema: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's file name, as in messages.
    pub file: String,
    /// The text of the scenario file.
    pub text: String,
    /// The `--set` options.
    pub overrides: Vec<String>,
    /// The seed in force.
    pub seed: u64,
    /// The simulator's version.
    pub version: String,
    /// `real` or `virtual`.
    pub world: String,
    /// The start of the run, milliseconds since the Unix epoch; 0 in the virtual world.
    pub started_ms: u64,
}

/// A history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system said no.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Something else than a history.
    #[error("{}:{line}: expected {expected}, found {found}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// From 1, after decompression.
        line: u64,
        /// What should stand there.
        expected: &'static str,
        /// What the parser said.
        found: String,
    },
}

/// Writes a history while it happens.
pub struct HistoryWriter {
    path: PathBuf,
    encoder: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    line: Vec<u8>,
}

impl HistoryWriter {
    /// Creates the file and writes its header.
    pub fn create(path: &Path, header: &Header) -> Result<HistoryWriter, HistoryError> {
        let fail = |source| HistoryError::Io {
            path: path.into(),
            source,
        };
        let file = BufWriter::new(File::create(path).map_err(fail)?);
        let encoder = zstd::stream::write::Encoder::new(file, LEVEL).map_err(fail)?;
        let mut writer = HistoryWriter {
            path: path.into(),
            encoder,
            line: Vec::with_capacity(512),
        };
        writer.write(header)?;
        Ok(writer)
    }

    /// Appends an entry. Entries are in the order in which the harness saw them.
    pub fn append(&mut self, entry: &Entry) -> Result<(), HistoryError> {
        self.write(entry)
    }

    /// Brings everything so far to the file, so that it survives the death of this process.
    pub fn flush(&mut self) -> Result<(), HistoryError> {
        self.encoder.flush().map_err(|source| HistoryError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Ends the file.
    pub fn finish(self) -> Result<(), HistoryError> {
        let path = self.path;
        let fail = |source| HistoryError::Io {
            path: path.clone(),
            source,
        };
        self.encoder
            .finish()
            .and_then(|mut file| file.flush())
            .map_err(fail)
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), HistoryError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)
            .map_err(io::Error::from)
            .and_then(|()| {
                self.line.push(b'\n');
                self.encoder.write_all(&self.line)
            })
            .map_err(|source| HistoryError::Io {
                path: self.path.clone(),
                source,
            })
    }
}

/// Reads a history: the header at once, then an iterator over its entries.
pub struct HistoryReader {
    path: PathBuf,
    header: Header,
    lines: BufReader<zstd::stream::read::Decoder<'static, BufReader<File>>>,
    line: u64,
    text: Vec<u8>,
    truncated: bool,
}

impl HistoryReader {
    /// Opens a history and reads its header.
    pub fn open(path: &Path) -> Result<HistoryReader, HistoryError> {
        let fail = |source| HistoryError::Io {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(fail)?;
        let decoder = zstd::stream::read::Decoder::new(file).map_err(fail)?;
        let mut lines = BufReader::new(decoder);
        let wrong = |found: String| HistoryError::Format {
            path: path.into(),
            line: 1,
            expected: "a history's header",
            found,
        };
        let mut text = Vec::new();
        read_line(&mut lines, &mut text).map_err(|error| wrong(error.to_string()))?;
        let header: Header = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if header.schema != SCHEMA {
            return Err(wrong(format!(
                "schema \"{}\", while this version reads \"{SCHEMA}\"",
                header.schema
            )));
        }
        Ok(HistoryReader {
            path: path.into(),
            header,
            lines,
            line: 1,
            text,
            truncated: false,
        })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// True once the iterator came to an end that is not the end of a finished file.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

impl Iterator for HistoryReader {
    type Item = Result<Entry, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.truncated {
            return None;
        }
        self.line += 1;
        match read_line(&mut self.lines, &mut self.text) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.truncated = true;
                return None;
            }
            Err(source) => {
                self.truncated = true;
                return Some(Err(HistoryError::Io {
                    path: self.path.clone(),
                    source,
                }));
            }
        }
        Some(
            serde_json::from_slice(&self.text).map_err(|error| HistoryError::Format {
                path: self.path.clone(),
                line: self.line,
                expected: "an entry of a history",
                found: error.to_string(),
            }),
        )
    }
}

/// Replaces `text` by the next line without its newline; false if there is none, `UnexpectedEof` for one that stops in
/// the middle.
fn read_line(lines: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    text.clear();
    io::Read::take(lines, MAX_LINE).read_until(b'\n', text)?;
    match text.pop() {
        None => Ok(false),
        Some(b'\n') => Ok(true),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "a line without an end",
        )),
    }
}
