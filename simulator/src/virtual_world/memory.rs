//! The broker's memory: how it dies and comes back with all, some or nothing of it, is emptied, or has none left.
//!
//! In: faults. Out: whether they make sense now, and what is to be said of the era that begins.

use broker::{Keyspace, Limits, Snapshot};
use lwm2m::time::Time;

use super::master::Master;
use super::message_broker::MessageBroker;
use super::storage::Storage;
use crate::fault::Keeps;

impl MessageBroker {
    /// The broker dies. Of what it had sent, a part that is drawn for each connection arrives. An old master does not.
    pub fn kill(&mut self, now: Time, keeps: Keeps) -> Result<(), String> {
        if self.down.is_some() {
            return Err("the broker does not run".to_owned());
        }
        let (data, forgets) = self.what_stays(now, keeps);
        self.down = Some(forgets);
        self.lose_connections(now, false);
        self.master = Master::knowing(data);
        self.begin_anew(now);
        Ok(())
    }

    /// What the broker will know again, and how to say what it forgot, if it did.
    fn what_stays(&self, now: Time, keeps: Keeps) -> (Snapshot, Option<String>) {
        match (keeps, &self.storage) {
            (Keeps::AllBut(last), Some(storage)) => {
                let (data, lost) = storage.recall(Time::ZERO + (now - Time::ZERO).saturating_sub(last));
                let forgets = format!("the broker restarted without its last {lost} steps");
                (data, (lost > 0).then_some(forgets))
            }
            (Keeps::Nothing, _) => {
                let empty = Keyspace::new(Limits::default()).snapshot();
                (empty, Some("the broker restarted empty".to_owned()))
            }
            _ => (self.master.keyspace.snapshot(), None),
        }
    }

    /// The broker runs again. Says what it forgot, if it did.
    pub fn restart(&mut self) -> Result<Option<String>, String> {
        let forgets = self.down.take().ok_or("the broker runs already")?;
        // What it sent before it died has arrived by now, or never will.
        let connections = self.connections.values_mut();
        let broken = connections.filter(|it| it.broken && !it.at_old_master);
        broken.for_each(|it| it.down.cut_all());
        Ok(forgets)
    }

    /// From now on there is no memory for what begins something, until [`Self::make_room`].
    pub fn fill(&mut self, now: Time) {
        self.full += 1;
        self.limit_memory(now);
    }

    /// Ends one [`Self::fill`]; true if there is memory again.
    pub fn make_room(&mut self, now: Time) -> bool {
        self.full = self.full.saturating_sub(1);
        self.limit_memory(now);
        self.full == 0
    }

    fn limit_memory(&mut self, now: Time) {
        let bytes: &[u8] = if self.full > 0 { b"1" } else { b"0" };
        let unix_us = self.unix_us(now);
        self.master.configure(unix_us, b"maxmemory", bytes);
    }

    /// All data is gone, and nothing else.
    pub fn flush(&mut self, now: Time) -> Result<(), String> {
        if self.down.is_some() {
            return Err("the broker does not run".to_owned());
        }
        let unix_us = self.unix_us(now);
        self.master.flush(unix_us);
        self.begin_anew(now);
        Ok(())
    }

    /// The master knows something else than a moment ago.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.limit_memory(now);
        self.show_data(now);
        if let Some(storage) = &self.storage {
            self.storage = Some(Storage::new(now, &mut self.master.keyspace, storage.reach()));
        }
    }
}
