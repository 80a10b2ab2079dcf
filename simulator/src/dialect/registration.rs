//! What a registration event says: all of it for the checker, or what a back end needs to know of the owner.

use std::borrow::Cow;

use serde::Deserialize;

use crate::history::RegistrationChannel;

/// A registration, as an event tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// The endpoint client name.
    pub ep: String,
    /// The registration id.
    pub reg_id: String,
    /// The number of the event for this endpoint.
    pub rev: Option<u64>,
    /// Why it ended: `replaced`, `deregistered`, `expired`.
    pub reason: Option<String>,
    /// The lifetime in seconds.
    pub lt: Option<u64>,
}

/// Who served a device last: the port of an instance, by which those of a run differ.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Served<'a> {
    /// The endpoint client name.
    #[serde(borrow)]
    pub ep: Cow<'a, str>,
    /// The port.
    pub reg_port: u16,
}

/// An Update has the registration as it was, too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update<T> {
    reg_updated: T,
}

fn read<'a, T: Deserialize<'a>>(
    channel: RegistrationChannel,
    message: &'a str,
) -> Result<T, serde_json::Error> {
    match channel {
        RegistrationChannel::Up => {
            serde_json::from_str::<Update<T>>(message).map(|update| update.reg_updated)
        }
        RegistrationChannel::New | RegistrationChannel::Del => serde_json::from_str(message),
    }
}

impl Registration {
    /// Reads an event of this channel.
    pub fn read(channel: RegistrationChannel, message: &str) -> Result<Registration, serde_json::Error> {
        read(channel, message)
    }
}

impl<'a> Served<'a> {
    /// Reads an event of this channel.
    pub fn read(channel: RegistrationChannel, message: &'a str) -> Result<Served<'a>, serde_json::Error> {
        read(channel, message)
    }
}
