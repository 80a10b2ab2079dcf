//! The balancer's own address: from here its health pings leave, apart from the devices' traffic, as in a real network.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use tokio::net::UdpSocket;

/// The socket of the health check.
pub struct HealthSocket {
    socket: UdpSocket,
    instances: Vec<SocketAddrV4>,
}

impl HealthSocket {
    /// A socket to ping these instances.
    pub async fn bind(instances: Vec<SocketAddrV4>) -> io::Result<Self> {
        Ok(HealthSocket {
            socket: UdpSocket::bind("127.0.0.1:0").await?,
            instances,
        })
    }

    /// Waits until there may be an answer.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Sends a ping. One that is not sent is one that is not answered.
    pub fn send(&self, instance: usize, datagram: &[u8]) {
        let _ = self
            .socket
            .try_send_to(datagram, SocketAddr::V4(self.instances[instance]));
    }

    /// Hands every datagram that is there to `take`, with the index of its sender.
    pub fn receive(&self, mut take: impl FnMut(usize, &[u8])) {
        // A Reset has four bytes; anything longer is no answer to a ping and may be cut.
        let mut buffer = [0; 64];
        while let Ok((length, source)) = self.socket.try_recv_from(&mut buffer) {
            let sender = self
                .instances
                .iter()
                .position(|instance| SocketAddr::V4(*instance) == source);
            if let Some(sender) = sender {
                take(sender, &buffer[..length]);
            }
        }
    }
}
