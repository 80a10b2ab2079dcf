//! The one UDP socket of the fleet: every device has its own loopback address, and no device has a descriptor.
//!
//! On Linux all of 127.0.0.0/8 is local, and `IP_PKTINFO` (ip(7)) lets one socket send from, and receive for, any of
//! these addresses. In: datagrams with the device's address. Out: the same. Datagrams are received in batches
//! (`recvmmsg`); what does not come from a known server is dropped, because the socket is bound to all addresses.

use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What is asked of the kernel as buffer, in each direction: a second of a large fleet. It may give less.
const BUFFER_BYTES: usize = 8 << 20;
/// Room for the largest CoAP datagram that a server of this cluster sends, and as many as the kernel may coalesce.
const RECEIVE_BYTES: usize = 65_536;

/// A datagram that came from a server.
pub struct Received<'a> {
    /// The device's address.
    pub device: Ipv4Addr,
    /// Which of the servers sent it.
    pub server: usize,
    /// The datagram.
    pub datagram: &'a [u8],
}

/// The socket of the fleet.
pub struct FleetSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    port: u16,
    buffers: Vec<Vec<u8>>,
    servers: Vec<SocketAddrV4>,
    foreign: u64,
    unsent: u64,
}

impl FleetSocket {
    /// Binds to a free port of every loopback address; only datagrams from `servers` are let in.
    pub fn bind(servers: Vec<SocketAddrV4>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Best effort: old kernels allow it only to root. The list of servers protects the fleet anyway.
        let _ = socket.bind_device(Some(b"lo"));
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = UdpSocket::from_std(socket.into())?;
        let port = socket.local_addr()?.port();
        let buffers = (0..BATCH_SIZE).map(|_| vec![0; RECEIVE_BYTES]).collect();
        Ok(FleetSocket {
            socket,
            state,
            port,
            buffers,
            servers,
            foreign: 0,
            unsent: 0,
        })
    }

    /// The port of all devices.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until there may be something to receive.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives one batch and hands each datagram to `take`. False when there was nothing.
    pub fn receive(&mut self, mut take: impl FnMut(Received<'_>)) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<IoSliceMut<'_>> = self
            .buffers
            .iter_mut()
            .map(|buffer| IoSliceMut::new(buffer))
            .collect();
        let received = self.socket.try_io(Interest::READABLE, || {
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
            let (SocketAddr::V4(source), Some(IpAddr::V4(device))) = (meta.addr, meta.dst_ip) else {
                self.foreign += 1;
                continue;
            };
            let Some(server) = self.servers.iter().position(|known| *known == source) else {
                self.foreign += 1;
                continue;
            };
            // The kernel may have coalesced datagrams of one flow: each is `stride` long.
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                take(Received {
                    device,
                    server,
                    datagram,
                });
            }
        }
        Ok(true)
    }

    /// Sends a datagram from a device's address. One that the kernel does not take is lost, as UDP may be, and counted.
    pub fn send(&mut self, device: Ipv4Addr, server: SocketAddrV4, datagram: &[u8]) {
        let transmit = Transmit {
            destination: server.into(),
            ecn: None,
            contents: datagram,
            segment_size: None,
            src_ip: Some(device.into()),
        };
        if self
            .state
            .try_send(UdpSockRef::from(&self.socket), &transmit)
            .is_err()
        {
            self.unsent += 1;
        }
    }

    /// Datagrams that did not come from a server, and datagrams that the kernel refused to send.
    pub fn foreign_and_unsent(&self) -> (u64, u64) {
        (self.foreign, self.unsent)
    }

    /// Datagrams that the kernel dropped because the simulator did not read them in time: the harness's own fault,
    /// never the cluster's.
    pub fn kernel_drops(&self) -> u64 {
        let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
        drops(&table, self.port).unwrap_or(0)
    }
}

/// The last column of the row whose local address ends in `port` (proc_net_udp(5)).
fn drops(table: &str, port: u16) -> Option<u64> {
    let suffix = format!(":{port:04X}");
    let is_ours = |line: &&str| {
        line.split_ascii_whitespace()
            .nth(1)
            .is_some_and(|local| local.ends_with(&suffix))
    };
    table
        .lines()
        .find(is_ours)?
        .split_ascii_whitespace()
        .last()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn one_socket_speaks_for_any_loopback_address_and_hears_who_was_meant() {
        runtime().block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let SocketAddr::V4(address) = server.local_addr().unwrap() else {
                panic!("IPv4")
            };
            let mut fleet = FleetSocket::bind(vec![address]).unwrap();
            let devices = [Ipv4Addr::new(127, 1, 2, 3), Ipv4Addr::new(127, 200, 0, 9)];
            for device in devices {
                fleet.send(device, address, b"hello");
                let mut buffer = [0; 16];
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                assert_eq!(
                    (&buffer[..length], from),
                    (&b"hello"[..], SocketAddr::from((device, fleet.port())))
                );
                server.send_to(b"answer", from).await.unwrap();
            }
            let mut heard = Vec::new();
            while heard.len() < 2 {
                fleet.readable().await.unwrap();
                let take = |received: Received<'_>| heard.push((received.device, received.datagram.to_vec()));
                fleet.receive(take).unwrap();
            }
            assert_eq!(heard, devices.map(|device| (device, b"answer".to_vec())));
        });
    }

    #[test]
    fn a_datagram_from_a_stranger_is_dropped_and_counted() {
        runtime().block_on(async {
            let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut fleet = FleetSocket::bind(vec![SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9)]).unwrap();
            stranger
                .send_to(b"boo", (Ipv4Addr::new(127, 1, 2, 3), fleet.port()))
                .await
                .unwrap();
            fleet.readable().await.unwrap();
            while fleet.foreign_and_unsent() == (0, 0) {
                fleet.receive(|_| panic!("nothing comes from a server")).unwrap();
            }
            assert_eq!(fleet.foreign_and_unsent(), (1, 0));
        });
    }

    #[test]
    fn the_kernels_drops_are_read_from_the_row_of_the_port() {
        let table = "  sl  local_address rem_address ... drops\n   1: 00000000:1633 00000000:0000 07 0 0 0 0 0 1 2 x 17\n";
        assert_eq!(drops(table, 0x1633), Some(17));
        assert_eq!(drops(table, 0x1634), None);
    }
}
