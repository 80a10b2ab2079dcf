//! The CoAP socket: datagrams are read in batches (`recvmmsg`) and written one by one.

use super::room::{Drops, make_room};
use lwm2m::time::Time;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustc_hash::FxHashMap;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams read by one system call.
pub const BATCH: usize = 32;
/// What one buffer takes: a datagram of any length (the message layer refuses what is too long for CoAP), or several of
/// one flow, which the kernel may hand over in one piece (UDP_GRO).
const LONGEST: usize = 65_535;

pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<[u8; LONGEST]>,
    metas: [RecvMeta; BATCH],
    /// The datagrams of the last batch: buffer, and where in it.
    datagrams: Vec<(usize, Range<usize>)>,
    drained: bool,
    unsent: u64,
    drops: Drops,
    /// Bound to an IPv6 address: IPv4 addresses are mapped on the wire, and nowhere else.
    is_ipv6: bool,
    /// Set if the socket has any address of the host: a device accepts only what comes from the one that it spoke to (RFC
    /// 7252, 5.3.2), answers and later requests.
    spoken_to: Option<SpokenTo>,
}

/// Which of the host's addresses each device spoke to last. Two generations: the older is forgotten when the younger is full.
#[derive(Default)]
struct SpokenTo {
    young: FxHashMap<SocketAddr, IpAddr>,
    old: FxHashMap<SocketAddr, IpAddr>,
}

/// Devices in each generation.
const DEVICES: usize = 1 << 16;

impl SpokenTo {
    fn learn(&mut self, device: SocketAddr, own: IpAddr) {
        if self.young.len() >= DEVICES && !self.young.contains_key(&device) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(device, own);
    }

    fn by(&self, device: SocketAddr) -> Option<IpAddr> {
        self.young.get(&device).or_else(|| self.old.get(&device)).copied()
    }
}

/// An IPv4 address as such, also where an IPv6 socket shows it mapped.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Socket {
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        make_room(&socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        let own = socket.local_addr()?;
        Ok(Socket {
            is_ipv6: own.is_ipv6(),
            spoken_to: own.ip().is_unspecified().then(SpokenTo::default),
            socket: UdpSocket::from_std(socket)?,
            state,
            buffers: vec![[0; LONGEST]; BATCH],
            metas: [RecvMeta::default(); BATCH],
            datagrams: Vec::new(),
            drained: false,
            unsent: 0,
            drops: Drops::default(),
        })
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Reads what is there, at most a batch: how many datagrams; `None` when nothing is.
    pub fn receive(&mut self) -> io::Result<Option<usize>> {
        self.drained = false;
        let Socket {
            socket,
            state,
            buffers,
            metas,
            ..
        } = self;
        let mut slices = buffers.iter_mut();
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(slices.next().map_or(&mut [][..], |b| &mut b[..])));
        let read = socket.try_io(Interest::READABLE, || {
            state.recv(UdpSockRef::from(&*socket), &mut slices, &mut metas[..])
        });
        match read {
            Ok(count) => {
                self.find_datagrams(count);
                Ok(Some(self.datagrams.len()))
            }
            // ICMP errors of earlier datagrams are nothing to stop for: CoAP's retransmission copes.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The n-th datagram of the last batch.
    pub fn datagram(&self, n: usize) -> (SocketAddr, &[u8]) {
        let (buffer, range) = &self.datagrams[n];
        let source = canonical(self.metas[*buffer].addr);
        (source, &self.buffers[*buffer][range.clone()])
    }

    fn find_datagrams(&mut self, buffers: usize) {
        self.datagrams.clear();
        for (buffer, meta) in self.metas[..buffers].iter().enumerate() {
            if let (Some(spoken_to), Some(own)) = (&mut self.spoken_to, meta.dst_ip) {
                spoken_to.learn(canonical(meta.addr), own);
            }
            let len = meta.len.min(LONGEST);
            let starts = (0..len).step_by(meta.stride.max(1));
            let ranges = starts.map(|start| (buffer, start..len.min(start + meta.stride.max(1))));
            self.datagrams.extend(ranges);
        }
    }

    /// Says now and then what the kernel dropped.
    pub fn note_drops(&mut self, now: Time) -> io::Result<()> {
        self.drops.look(now, &self.socket)
    }

    /// Throws away everything that waits to be read.
    pub fn drain(&mut self) -> io::Result<()> {
        while self.receive()?.is_some() {}
        self.drained = true;
        Ok(())
    }

    /// True if the last batch was thrown away meanwhile.
    pub fn was_drained(&self) -> bool {
        self.drained
    }

    /// Sends a datagram. What the kernel does not take is lost, as on any network; CoAP repeats it.
    pub fn send(&mut self, to: SocketAddr, data: &[u8]) {
        let src_ip = self.spoken_to.as_ref().and_then(|own| own.by(to));
        let destination = match to {
            SocketAddr::V4(to) if self.is_ipv6 => SocketAddr::from((to.ip().to_ipv6_mapped(), to.port())),
            to => to,
        };
        let Socket { socket, state, .. } = self;
        let sent = socket.try_io(Interest::WRITABLE, || {
            let transmit = Transmit {
                destination,
                ecn: None,
                contents: data,
                segment_size: None,
                src_ip,
            };
            state.try_send(UdpSockRef::from(&*socket), &transmit)
        });
        if let Err(error) = sent {
            self.unsent += 1;
            tracing::debug!(%to, unsent = self.unsent, "a datagram was not sent: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

    use super::*;

    /// What a device sees that says something to `to`: from where it is answered.
    async fn answered_from(bound_to: &str, to: &str) -> (SocketAddr, SocketAddr) {
        let server = std::net::UdpSocket::bind((bound_to, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let mut server = Socket::new(server).unwrap();
        let device = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        device.send_to(b"question", (to, port)).unwrap();
        let source = loop {
            server.readable().await.unwrap();
            if server.receive().unwrap() == Some(1) {
                break server.datagram(0).0;
            }
        };
        assert_eq!(source, device.local_addr().unwrap());
        server.send(source, b"answer");
        let mut answer = [0; 16];
        let (length, from) = device.recv_from(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"answer");
        (from, SocketAddr::new(to.parse().unwrap(), port))
    }

    #[tokio::test]
    async fn a_device_is_answered_from_the_address_that_it_spoke_to() {
        for bound_to in ["0.0.0.0", "::"] {
            for to in ["127.0.0.1", "127.0.0.7"] {
                let (from, to) = answered_from(bound_to, to).await;
                assert_eq!(from, to, "bound to {bound_to}");
            }
        }
        let (from, to) = answered_from("127.0.0.3", "127.0.0.3").await;
        assert_eq!(from, to);
    }

    #[test]
    fn what_is_remembered_of_devices_has_a_limit() {
        let mut spoken_to = SpokenTo::default();
        let own = IpAddr::from([127, 0, 0, 7]);
        for n in 0..3 * DEVICES as u32 {
            let [_, a, b, c] = n.to_be_bytes();
            spoken_to.learn(SocketAddr::from(([10, a, b, c], 5683)), own);
        }
        assert_eq!(spoken_to.young.len() + spoken_to.old.len(), 2 * DEVICES);
        assert_eq!(spoken_to.by(SocketAddr::from(([10, 0, 0, 0], 5683))), None);
        assert_eq!(
            spoken_to.by(SocketAddr::from(([10, 2, 255, 255], 5683))),
            Some(own)
        );
    }
}
