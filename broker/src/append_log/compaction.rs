//! The shortest log that gives the present data: written beside the old one, then put in its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;

use super::{AppendLogError, MAGIC};
use crate::journal;
use crate::keyspace::{Keyspace, Snapshot};
use crate::number::format_float;
use crate::value::{Value, owned};

/// Elements of a container in one record.
const ELEMENTS_PER_RECORD: usize = 64;
/// Bytes collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Writes a compact log to `path` and returns it, open at its end, with its length.
pub(super) fn write(path: &Path, keyspace: &Keyspace, now_us: u64) -> Result<(File, u64), AppendLogError> {
    let temporary = path.with_extension("new");
    let attempt = || {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&temporary)?;
        let length = write_snapshot(&mut file, &keyspace.snapshot(), now_us)?;
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        // The new name is in the directory, which is a file of its own.
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok((file, length))
    };
    attempt().map_err(|source: io::Error| {
        // What could not be finished is of no use, and on a full disk it is in the way.
        drop(fs::remove_file(&temporary));
        AppendLogError::File {
            action: "write",
            path: temporary.clone(),
            source,
        }
    })
}

fn write_snapshot(file: &mut File, snapshot: &Snapshot, now_us: u64) -> io::Result<u64> {
    let mut out = Output {
        file,
        pending: MAGIC.to_vec(),
        length: 0,
        now_us,
    };
    for script in snapshot.scripts.values() {
        out.command(0, &[b"SCRIPT", b"LOAD", &script.text])?;
    }
    for (index, database) in snapshot.databases.iter().enumerate() {
        for (key, value, deadline) in database.sorted(now_us / 1000) {
            out.value(index as u8, key, value)?;
            if let Some(deadline) = deadline {
                out.command(index as u8, &[b"PEXPIREAT", key, deadline.to_string().as_bytes()])?;
            }
        }
    }
    out.flush()?;
    Ok(out.length)
}

struct Output<'a> {
    file: &'a mut File,
    pending: Vec<u8>,
    length: u64,
    now_us: u64,
}

impl Output<'_> {
    fn value(&mut self, database: u8, key: &[u8], value: &Value) -> io::Result<()> {
        match value {
            Value::String(bytes) => self.command(database, &[b"SET", key, bytes]),
            Value::List(list) => {
                self.elements(database, b"RPUSH", key, list.iter().map(|item| [item.clone()]))
            }
            Value::Set(set) => {
                self.elements(database, b"SADD", key, set.iter().map(|member| [member.clone()]))
            }
            Value::Hash(hash) => {
                let fields = hash.iter().map(|(field, value)| [owned(field), owned(value)]);
                self.elements(database, b"HSET", key, fields)
            }
            Value::SortedSet(set) => {
                let scored =
                    |(member, score): (&Bytes, f64)| [Bytes::from(format_float(score)), member.clone()];
                self.elements(database, b"ZADD", key, set.iter().map(scored))
            }
        }
    }

    fn elements<const N: usize>(
        &mut self,
        database: u8,
        name: &'static [u8],
        key: &[u8],
        elements: impl Iterator<Item = [Bytes; N]>,
    ) -> io::Result<()> {
        let elements: Vec<[Bytes; N]> = elements.collect();
        for chunk in elements.chunks(ELEMENTS_PER_RECORD) {
            let mut command: Vec<&[u8]> = vec![name, key];
            command.extend(chunk.iter().flatten().map(|part| &part[..]));
            self.command(database, &command)?;
        }
        Ok(())
    }

    fn command(&mut self, database: u8, arguments: &[&[u8]]) -> io::Result<()> {
        journal::encode(&mut self.pending, self.now_us, database, &[arguments]);
        if self.pending.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.pending)?;
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}
