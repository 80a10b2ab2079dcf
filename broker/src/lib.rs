//! The subset of Redis 7.0 that a cluster of LwM2M servers uses: a pure [`Keyspace`], and a RESP server around it.
//!
//! In: commands, and the time. Out: replies, and messages for subscribers. The same test suite holds the key space,
//! the server and a real redis-server to equal replies.

mod append_log;
mod command;
mod commands;
mod database;
mod error;
mod glob;
mod journal;
mod keyspace;
mod number;
mod pubsub;
mod reply;
mod script;
mod server;
mod state;
mod value;

pub use append_log::{AppendLog, AppendLogError, Sync};
pub use journal::{Record, RecordError};
pub use keyspace::{Keyspace, Snapshot};
pub use pubsub::Push;
pub use reply::Reply;
pub use server::{RunOptions, ServeError, ServerOptions, run, serve};
pub use state::{ClientId, Limits};
