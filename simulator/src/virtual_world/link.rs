//! The client's end of a connection to the broker, which comes back by itself as in `server::net` and `real::northbound`.
//!
//! In: what arrives, and the time. Out: when to try again.

use std::time::Duration;

use lwm2m::time::Time;

use super::connection::{Arrival, ConnectionId};

/// How long a new connection may take until it is usable, as in `server::net`.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Which of the two connections of a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkKind {
    /// The one for calls, or to publish.
    Command,
    /// The one that listens.
    Subscriber,
}

/// One connection of a client, or the wait for the next attempt to make it.
#[derive(Debug, Default)]
pub struct Link {
    /// The channels to subscribe; none on the one for calls.
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

    /// The client reads something from it; true if the client is to be told.
    pub fn read(&mut self, arrival: &Arrival) -> bool {
        match arrival {
            Arrival::CommandConnected | Arrival::SubscriberConnected => {
                self.up = true;
                true
            }
            // An attempt that fails is the connection's own business.
            Arrival::Lost => self.up,
            Arrival::Reply(..) | Arrival::Message(_) => true,
        }
    }
}
