//! The back end's end of a connection to the broker, which comes back by itself as in `real::northbound`. Those of an
//! instance are [`server::link`]'s.
//!
//! In: what arrives, and the time. Out: when to try again.

use lwm2m::time::Time;

use super::connection::{Arrival, ConnectionId};

/// One connection of the back end, or the wait for the next attempt to make it.
#[derive(Debug, Default)]
pub struct Link {
    /// The channels to subscribe; none on the one that publishes.
    pub channels: Vec<String>,
    /// The connection, or the attempt.
    pub connection: Option<ConnectionId>,
    /// The client has heard that it stands.
    pub up: bool,
    /// The next attempt.
    pub retry_at: Option<Time>,
}

impl Link {
    /// An attempt has begun. Returns what it replaces.
    pub fn begin(&mut self, connection: ConnectionId) -> Option<ConnectionId> {
        self.up = false;
        self.retry_at = None;
        self.connection.replace(connection)
    }

    /// The client gives it up. Returns what is to be closed.
    pub fn drop_connection(&mut self) -> Option<ConnectionId> {
        self.up = false;
        self.retry_at = None;
        self.connection.take()
    }

    /// It broke, or could not be made: the next attempt begins at `at`. Returns what is to be closed.
    pub fn retry(&mut self, at: Time) -> Option<ConnectionId> {
        let connection = self.drop_connection();
        self.retry_at = Some(at);
        connection
    }

    /// The back end reads something from it.
    pub fn read(&mut self, arrival: &Arrival) {
        let usable = match arrival {
            Arrival::Opened => self.channels.is_empty(),
            Arrival::Subscribed => true,
            _ => false,
        };
        self.up |= usable;
    }
}
