//! The key space with its clock, its append log and the outgoing bytes of its clients.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{ServeError, ServerOptions};
use crate::append_log::{AppendLog, AppendLogError};
use crate::keyspace::Keyspace;
use crate::reply::Reply;
use crate::state::ClientId;

/// Keys swept out of each database at a time.
const EXPIRED_PER_SWEEP: usize = 1_000;

/// The bytes on their way to one client.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: RefCell<Vec<u8>>,
    /// Wakes the connection when somebody else's command put something in.
    pub(super) wake: Notify,
    /// The client does not read fast enough and is given up.
    pub(super) cut_off: Cell<bool>,
}

/// What is left to do with a connection after its commands were executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Continue,
    Close,
}

#[derive(Debug)]
pub(super) struct Broker {
    keyspace: Keyspace,
    log: Option<AppendLog>,
    /// Why the log cannot be written at the moment.
    log_failure: Option<String>,
    /// Set when the data could not be rebuilt after a failure: the server must end.
    fatal: Option<AppendLogError>,
    outboxes: BTreeMap<ClientId, Rc<Outbox>>,
    last_us: u64,
    options: ServerOptions,
}

impl Broker {
    pub(super) fn open(options: ServerOptions) -> Result<Self, ServeError> {
        let (log, keyspace) = match &options.append_to {
            Some(directory) => {
                let (log, keyspace) =
                    AppendLog::open(directory, &options.limits, options.sync, wall_clock_us())?;
                (Some(log), keyspace)
            }
            None => (None, Keyspace::new(options.limits.clone())),
        };
        let outboxes = BTreeMap::new();
        Ok(Broker {
            keyspace,
            log,
            log_failure: None,
            fatal: None,
            outboxes,
            last_us: 0,
            options,
        })
    }

    /// Admits a client, unless there are too many.
    pub(super) fn connect(&mut self) -> Option<(ClientId, Rc<Outbox>)> {
        if self.outboxes.len() >= self.options.max_clients {
            return None;
        }
        let client = self.keyspace.connect();
        let outbox = Rc::new(Outbox::default());
        self.outboxes.insert(client, Rc::clone(&outbox));
        Some((client, outbox))
    }

    pub(super) fn disconnect(&mut self, client: ClientId) {
        self.keyspace.disconnect(client);
        self.outboxes.remove(&client);
    }

    pub(super) fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Executes the commands that arrived together; their answers go to the client's outbox.
    pub(super) fn execute(&mut self, client: ClientId, commands: &[Vec<Bytes>], outbox: &Outbox) -> Then {
        let mut out = outbox.bytes.borrow_mut();
        let before = out.len();
        let mut then = Then::Continue;
        let mut executed = 0;
        for command in commands {
            let now_us = self.now_us();
            self.keyspace.execute(now_us, client, command).encode(&mut out);
            executed += 1;
            if command
                .first()
                .is_some_and(|name| name.eq_ignore_ascii_case(b"quit"))
            {
                then = Then::Close;
                break;
            }
        }
        if let Err(error) = self.write_journal() {
            // Nothing of this has happened: neither the answers nor the messages may leave.
            out.truncate(before);
            let refusal = Reply::error(error);
            (0..executed).for_each(|_| refusal.encode(&mut out));
            // The client's own state may have moved with the others of its commands; a new connection begins afresh.
            return if executed == 1 { then } else { Then::Close };
        }
        drop(out);
        self.forward_pushes();
        then
    }

    /// Writes down what the last commands changed. If that fails, the data is put back to what the log says.
    fn write_journal(&mut self) -> Result<(), String> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let records = self.keyspace.take_journal();
        let Err(error) = log.append(&records) else {
            return Ok(());
        };
        tracing::error!(%error, "changes are refused until the append log can be written again");
        let refusal = format!("MISCONF Errors writing to the append log: {error}");
        match log.reload(&self.options.limits) {
            Ok(before) => self.keyspace.restore(before.snapshot()),
            Err(error) => self.fatal = Some(error),
        }
        drop(self.keyspace.take_pushes());
        self.keyspace.refuse_changes(Some(refusal.clone()));
        self.log_failure = Some(refusal.clone());
        Err(refusal)
    }

    fn forward_pushes(&mut self) {
        for (subscriber, push) in self.keyspace.take_pushes() {
            let Some(outbox) = self.outboxes.get(&subscriber) else {
                continue;
            };
            let mut bytes = outbox.bytes.borrow_mut();
            push.encode(&mut bytes);
            if bytes.len() > self.options.max_output_bytes {
                tracing::warn!(
                    client = subscriber.0,
                    bytes = bytes.len(),
                    "a subscriber is cut off because it does not read what it subscribed"
                );
                outbox.cut_off.set(true);
                *bytes = Vec::new();
                drop(bytes);
                outbox.wake.notify_one();
                // Nothing more is collected for it while its connection ends.
                self.keyspace.disconnect(subscriber);
                self.outboxes.remove(&subscriber);
                continue;
            }
            drop(bytes);
            outbox.wake.notify_one();
        }
    }

    /// Sweeps out expired keys; compacts the log when it pays; tries again to write after a failure.
    pub(super) fn keep_house(&mut self) -> Result<(), ServeError> {
        if let Some(error) = self.fatal.take() {
            return Err(error.into());
        }
        let now_us = self.now_us();
        self.keyspace.expire_due(now_us, EXPIRED_PER_SWEEP);
        let Some(log) = &mut self.log else { return Ok(()) };
        if self.log_failure.is_some() && log.probe().is_ok() {
            tracing::info!("the append log can be written again; changes are accepted");
            self.log_failure = None;
            self.keyspace.refuse_changes(None);
        }
        if self.log_failure.is_none()
            && log.wants_compaction()
            && let Err(error) = log.compact(&self.keyspace, now_us)
        {
            tracing::warn!(%error, "the append log could not be compacted and grows on");
        }
        Ok(())
    }

    pub(super) fn take_unsynced(&mut self) -> Option<File> {
        match self.log.as_mut()?.take_unsynced() {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(%error, "the append log could not be synced to the disk");
                None
            }
        }
    }

    pub(super) fn close(&mut self) -> Result<(), ServeError> {
        match &mut self.log {
            Some(log) => Ok(log.sync()?),
            None => Ok(()),
        }
    }

    /// Unix time in microseconds that never runs backwards: a key that has expired must not come back.
    fn now_us(&mut self) -> u64 {
        self.last_us = self.last_us.max(wall_clock_us());
        self.last_us
    }
}

fn wall_clock_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use tempfile::TempDir;

    use super::*;

    fn call(broker: &mut Broker, client: ClientId, commands: &[&[&str]]) -> (String, Then) {
        let own = |command: &&[&str]| {
            command
                .iter()
                .map(|word| Bytes::copy_from_slice(word.as_bytes()))
                .collect()
        };
        let commands: Vec<Vec<Bytes>> = commands.iter().map(own).collect();
        let outbox = Outbox::default();
        let then = broker.execute(client, &commands, &outbox);
        (String::from_utf8(outbox.bytes.take()).unwrap(), then)
    }

    #[test]
    fn on_a_full_disk_changes_are_refused_and_undone_until_there_is_room() {
        let directory = TempDir::new().unwrap();
        let append_to = Some(directory.path().to_path_buf());
        let mut broker = Broker::open(ServerOptions {
            append_to,
            ..ServerOptions::default()
        })
        .unwrap();
        let (client, _) = broker.connect().unwrap();
        let (listener, heard) = broker.connect().unwrap();
        call(&mut broker, listener, &[&["SUBSCRIBE", "c"]]);
        assert_eq!(call(&mut broker, client, &[&["SET", "k", "kept"]]).0, "+OK\r\n");

        // Every write to this device fails with "no space left on device".
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let room = broker.log.as_mut().unwrap().replace_file(full);
        let script = "redis.call('PUBLISH', 'c', 'm') return redis.call('SET', 'k', 'lost')";
        let (reply, then) = call(&mut broker, client, &[&["EVAL", script, "0"]]);
        assert!(
            reply.starts_with("-MISCONF Errors writing to the append log: "),
            "{reply}"
        );
        assert!(reply.contains("No space left on device"), "{reply}");
        assert_eq!(then, Then::Continue);
        assert_eq!(heard.bytes.take(), b"");
        assert_eq!(call(&mut broker, client, &[&["GET", "k"]]).0, "$4\r\nkept\r\n");
        for change in [
            &["DEL", "k"][..],
            &["EVAL", "return redis.call('DEL', 'k')", "0"],
            &["SCRIPT", "FLUSH"],
        ] {
            let (reply, _) = call(&mut broker, client, &[change]);
            assert!(reply.starts_with("-MISCONF "), "{change:?}: {reply}");
        }
        broker.keep_house().unwrap();
        assert!(
            call(&mut broker, client, &[&["SET", "k", "still refused"]])
                .0
                .starts_with("-MISCONF ")
        );

        broker.log.as_mut().unwrap().replace_file(room);
        broker.keep_house().unwrap();
        assert_eq!(call(&mut broker, client, &[&["APPEND", "k", "!"]]).0, ":5\r\n");
        drop(broker);
        let append_to = Some(directory.path().to_path_buf());
        let mut again = Broker::open(ServerOptions {
            append_to,
            ..ServerOptions::default()
        })
        .unwrap();
        let (client, _) = again.connect().unwrap();
        assert_eq!(call(&mut again, client, &[&["GET", "k"]]).0, "$5\r\nkept!\r\n");
    }

    #[test]
    fn commands_sent_together_fail_together_when_they_cannot_be_written_down() {
        let directory = TempDir::new().unwrap();
        let append_to = Some(directory.path().to_path_buf());
        let mut broker = Broker::open(ServerOptions {
            append_to,
            ..ServerOptions::default()
        })
        .unwrap();
        let (client, _) = broker.connect().unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        broker.log.as_mut().unwrap().replace_file(full);
        let (replies, then) = call(
            &mut broker,
            client,
            &[&["PING"], &["SET", "k", "v"], &["GET", "k"]],
        );
        assert_eq!(replies.matches("-MISCONF ").count(), 3, "{replies}");
        assert_eq!(then, Then::Close);
    }
}
