//! The channels of the northbound interface.

use crate::history::RegistrationChannel;

/// One of them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Back ends publish their requests on it.
    Request,
    /// They hear the answers on it.
    Response,
    /// They hear of registrations on these.
    Registration(RegistrationChannel),
}

impl Channel {
    /// Those that a back end hears, in the order in which it subscribes to them.
    pub const HEARD: [Channel; 4] = [
        Channel::Response,
        Channel::Registration(RegistrationChannel::New),
        Channel::Registration(RegistrationChannel::Up),
        Channel::Registration(RegistrationChannel::Del),
    ];

    /// Its name without the prefix of a cluster.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Request => "LESHAN_REQ",
            Channel::Response => "LESHAN_RESP",
            Channel::Registration(RegistrationChannel::New) => "LESHAN_REG_NEW",
            Channel::Registration(RegistrationChannel::Up) => "LESHAN_REG_UP",
            Channel::Registration(RegistrationChannel::Del) => "LESHAN_REG_DEL",
        }
    }

    /// The one of this name, whatever the prefix of its cluster is.
    pub fn of(name: &[u8]) -> Option<Channel> {
        let all = Channel::HEARD.into_iter().chain([Channel::Request]);
        all.into_iter()
            .find(|channel| name.ends_with(channel.name().as_bytes()))
    }
}

/// The channels of one cluster.
#[derive(Clone, Debug)]
pub struct Channels {
    prefix: String,
}

impl Channels {
    /// Those with the prefix that was set for the cluster.
    pub fn new(prefix: &str) -> Self {
        Channels {
            prefix: prefix.to_owned(),
        }
    }

    /// What stands before every name.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole name of one.
    pub fn name(&self, channel: Channel) -> String {
        [&self.prefix, channel.name()].concat()
    }

    /// The whole names of those that a back end hears.
    pub fn heard(&self) -> Vec<String> {
        Channel::HEARD.map(|channel| self.name(channel)).to_vec()
    }

    /// The one with this whole name, if it is this cluster's.
    pub fn of(&self, name: &[u8]) -> Option<Channel> {
        let own = name.strip_prefix(self.prefix.as_bytes())?;
        Channel::of(own).filter(|channel| channel.name().as_bytes() == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_a_clusters_own_if_its_prefix_is() {
        let channels = Channels::new("x:");
        assert_eq!(channels.of(b"x:LESHAN_RESP"), Some(Channel::Response));
        assert_eq!(channels.of(b"LESHAN_RESP"), None);
        assert_eq!(channels.of(b"x:y:LESHAN_RESP"), None);
        assert_eq!(Channel::of(b"x:y:LESHAN_REQ"), Some(Channel::Request));
        assert_eq!(channels.heard()[3], "x:LESHAN_REG_DEL");
    }
}
