//! A replica takes over from the broker's master, without its last moments, and the old master speaks on for a while to
//! those who have not noticed.
//!
//! In: who has not noticed. Out: what is to be said of the era that begins. A client that stays with the old master
//! finds it again when it connects anew, until it is gone; all others find the new one. No data of the old master comes
//! back: it is the new one's replica afterwards.

use std::time::Duration;

use lwm2m::time::Time;

use super::connection::{Arrival, ConnectionId, Party};
use super::master::{Master, OldMaster, Staying};
use super::message_broker::MessageBroker;

impl MessageBroker {
    /// A replica takes over that does not know what was executed in the last `lag`. How many steps it lacks.
    pub fn fail_over(&mut self, now: Time, lag: Duration, staying: Staying) -> Result<usize, String> {
        if self.down.is_some() {
            return Err("the broker does not run".to_owned());
        }
        if self.old.is_some() {
            return Err("an old master speaks on, and there is no other replica".to_owned());
        }
        let (data, lost) = match &self.storage {
            Some(storage) if !lag.is_zero() => {
                storage.recall(Time::ZERO + (now - Time::ZERO).saturating_sub(lag))
            }
            _ => (self.master.keyspace.snapshot(), 0),
        };
        let master = std::mem::replace(&mut self.master, Master::knowing(data));
        self.begin_anew(now);
        for connection in self.connections.values_mut() {
            connection.at_old_master = true;
        }
        let stays = |it: (Party, bool)| staying.contains(&it);
        let ids = self.connections.iter();
        let ids = ids.filter(|(_, it)| !it.broken && !it.client_gone && !stays((it.party, it.listens)));
        let ids: Vec<ConnectionId> = ids.map(|(&id, _)| id).collect();
        self.old = Some(OldMaster {
            master,
            clients: staying,
        });
        ids.into_iter()
            .for_each(|id| self.break_off(now, id, Duration::ZERO));
        Ok(lost)
    }

    /// The old master is no more, and all connections to it with it.
    pub fn end_old_master(&mut self, now: Time) {
        self.lose_connections(now, true);
        self.old = None;
    }

    /// Ends the connections to one of the two masters; of what it had sent, a part that is drawn for each arrives.
    pub(super) fn lose_connections(&mut self, now: Time, to_old_master: bool) {
        let ids = self.connections.iter();
        let ids = ids.filter(|(_, it)| it.at_old_master == to_old_master);
        let ids: Vec<ConnectionId> = ids.map(|(&id, _)| id).collect();
        for id in ids {
            self.send_back(now, id, Arrival::Lost);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.broken = true;
                connection.up.cut_all();
            }
            self.forget(id);
        }
    }

    /// What came from the old master on connections that broke has arrived by now, or never will.
    pub fn settle(&mut self) {
        let connections = self.connections.values_mut();
        let broken = connections.filter(|it| it.at_old_master && it.broken);
        broken.for_each(|it| it.down.cut_all());
    }
}
