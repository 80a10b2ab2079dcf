//! Who is at the other end of a conversation with a device: the name under which the message layer, the store and the other
//! members know it.
//!
//! With plain CoAP that is the address that a datagram came from, which proves nothing; with DTLS it will be an association,
//! whose address is one of its attributes. Nobody but the sockets' side asks for the address, so that this is the one place
//! where it will differ.

use std::fmt;
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

/// A device on the wire.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct PeerId(SocketAddr);

impl PeerId {
    /// Where its datagrams come from, and go to.
    pub fn address(self) -> SocketAddr {
        self.0
    }

    /// The host behind it, which may be many devices.
    pub fn host(self) -> IpAddr {
        self.0.ip()
    }
}

impl From<SocketAddr> for PeerId {
    fn from(address: SocketAddr) -> Self {
        PeerId(address)
    }
}

/// As the store and the other members have it.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PeerId {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.parse().map(PeerId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_the_store_is_read_back() {
        for text in ["127.0.0.1:5683", "[2001:db8::1]:61616"] {
            let peer: PeerId = text.parse().unwrap();
            assert_eq!(
                (peer.to_string(), peer.address().to_string()),
                (text.into(), text.into())
            );
        }
        assert!("127.0.0.1".parse::<PeerId>().is_err());
    }
}
