//! The journal: the commands that changed something, with the time at which each ran, as bytes.
//!
//! Running a journal again through a fresh key space gives the same data, because a command's effect depends only on
//! the data, its arguments and the clock. That is not true of a script, which sees how many heard a PUBLISH: of a script
//! the commands are recorded that it called and that changed something. One record holds what happened in one step (a
//! command, or all of a script or transaction):
//!
//! ```text
//! length of the body      u32   all numbers little-endian
//! CRC-32 of the length    u32   so that a damaged length is not mistaken for a record that was cut off
//! CRC-32 of the body      u32
//! body: time (Unix, µs)   u64
//!       database          u8
//!       number of commands u32, for each: number of arguments u32, for each: length u32, bytes
//! ```

use bytes::Bytes;
use thiserror::Error;

use crate::value::owned;

const HEADER: usize = 12;

/// Collects records until somebody takes them, if recording is on.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) recording: bool,
    pub(crate) bytes: Vec<u8>,
    /// Who takes the records lives in this process: they are kept as they are.
    pub(crate) unencoded: bool,
    pub(crate) records: Vec<Record>,
    /// What the present step has changed so far.
    step: Vec<Vec<Bytes>>,
}

impl Journal {
    /// A command changed something.
    pub(crate) fn note(&mut self, arguments: &[&[u8]]) {
        self.step
            .push(arguments.iter().map(|argument| owned(argument)).collect());
    }

    /// The step is over; one that changed nothing leaves no record.
    pub(crate) fn end_step(&mut self, now_us: u64, database: usize) {
        if self.step.is_empty() {
            return;
        }
        if self.unencoded {
            self.records.push(Record {
                now_us,
                database: database as u8,
                commands: std::mem::take(&mut self.step),
            });
        } else {
            encode(&mut self.bytes, now_us, database as u8, &self.step);
            self.step.clear();
        }
    }
}

/// One step as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Unix time in microseconds.
    pub now_us: u64,
    pub database: u8,
    pub commands: Vec<Vec<Bytes>>,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes end inside the record, as after a crash in the middle of a write.
    #[error("the record is cut off: {needed} bytes are expected, {found} are there")]
    CutOff { needed: usize, found: usize },
    #[error("the record's length does not match its checksum")]
    Length,
    /// `end` is where the record ends, counted from its beginning.
    #[error("the record's {end} bytes do not match their checksum")]
    Body { end: usize },
    #[error("the record matches its checksum but its counts do not add up")]
    Malformed,
}

impl Record {
    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let commands: Vec<Vec<&[u8]>> = self
            .commands
            .iter()
            .map(|command| command.iter().map(|argument| &argument[..]).collect())
            .collect();
        encode(out, self.now_us, self.database, &commands);
    }

    /// Reads the record at the beginning of `bytes`; returns it with its length.
    ///
    /// # Errors
    /// What [`RecordError`] says.
    pub fn decode(bytes: &[u8]) -> Result<(Record, usize), RecordError> {
        let cut_off = |needed| RecordError::CutOff {
            needed,
            found: bytes.len(),
        };
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or_else(|| cut_off(HEADER))?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(4) != crc32(&header[..4]) {
            return Err(RecordError::Length);
        }
        let end = HEADER + word(0) as usize;
        let body = bytes.get(HEADER..end).ok_or_else(|| cut_off(end))?;
        if word(8) != crc32(body) {
            return Err(RecordError::Body { end });
        }
        let record = Self::decode_body(body).ok_or(RecordError::Malformed)?;
        Ok((record, end))
    }

    fn decode_body(body: &[u8]) -> Option<Record> {
        let mut rest = Reader(body);
        let now_us = u64::from_le_bytes(*rest.take(8)?.first_chunk()?);
        let database = rest.take(1)?[0];
        let mut commands = Vec::new();
        for _ in 0..rest.number()? {
            let mut arguments = Vec::new();
            for _ in 0..rest.number()? {
                let length = rest.number()?;
                arguments.push(Bytes::copy_from_slice(rest.take(length)?));
            }
            commands.push(arguments);
        }
        rest.0.is_empty().then_some(Record {
            now_us,
            database,
            commands,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?) as usize)
    }
}

/// Appends a record of these commands to `out`.
pub(crate) fn encode<C, A>(out: &mut Vec<u8>, now_us: u64, database: u8, commands: &[C])
where
    C: AsRef<[A]>,
    A: AsRef<[u8]>,
{
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(&now_us.to_le_bytes());
    out.push(database);
    write_count(out, commands.len());
    for command in commands {
        write_count(out, command.as_ref().len());
        for argument in command.as_ref() {
            write_count(out, argument.as_ref().len());
            out.extend_from_slice(argument.as_ref());
        }
    }
    let length = u32::try_from(out.len() - start - HEADER).expect("the limits keep a step below 4 GiB");
    let body = crc32(&out[start + HEADER..]);
    let header = &mut out[start..start + HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&crc32(&length.to_le_bytes()).to_le_bytes());
    header[8..].copy_from_slice(&body.to_le_bytes());
}

fn write_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("the limits keep counts and lengths below 2^32");
    out.extend_from_slice(&count.to_le_bytes());
}

/// CRC-32 as in IEEE 802.3, eight bytes at a step.
fn crc32(bytes: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; 8] = crc_tables();
    let mut crc = !0_u32;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let low = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) ^ crc;
        let low = low.to_le_bytes();
        crc = 0;
        for (index, byte) in low.iter().chain(&chunk[4..]).enumerate() {
            crc ^= TABLES[7 - index][*byte as usize];
        }
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

const fn crc_tables() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut table = 1;
    while table < 8 {
        index = 0;
        while index < 256 {
            let previous = tables[table - 1][index];
            tables[table][index] = (previous >> 8) ^ tables[0][(previous & 0xff) as usize];
            index += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn steps_are_handed_over_as_they_are_to_who_wants_no_bytes() {
        let mut keyspace = crate::Keyspace::new(crate::Limits::default());
        keyspace.record_steps();
        let client = keyspace.connect();
        keyspace.execute(7, client, &["SET", "k", "v"]);
        keyspace.execute(8, client, &["GET", "k"]);
        let step = Record {
            now_us: 7,
            database: 0,
            commands: vec![["SET", "k", "v"].map(Bytes::from).to_vec()],
        };
        assert_eq!(keyspace.take_records(), [step]);
        assert_eq!(
            (keyspace.take_records(), keyspace.take_journal()),
            (vec![], vec![])
        );
    }

    #[test]
    fn a_record_reads_back_and_every_damaged_byte_is_noticed() {
        let command = vec![
            Bytes::from_static(b"SET"),
            Bytes::from_static(b"k"),
            Bytes::from_static(b"\0\r\n"),
        ];
        let record = Record {
            now_us: 7,
            database: 3,
            commands: vec![command.clone(), command],
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(Record::decode(&bytes), Ok((record, bytes.len())));
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert!(Record::decode(&damaged).is_err(), "byte {index}");
            assert!(
                matches!(Record::decode(&bytes[..index]), Err(RecordError::CutOff { .. })),
                "cut at {index}"
            );
        }
    }
}
