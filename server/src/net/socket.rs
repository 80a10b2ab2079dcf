//! The CoAP socket: datagrams are read in batches (`recvmmsg`) and written one by one.

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
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
}

impl Socket {
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        Ok(Socket {
            socket: UdpSocket::from_std(socket)?,
            state,
            buffers: vec![[0; LONGEST]; BATCH],
            metas: [RecvMeta::default(); BATCH],
            datagrams: Vec::new(),
            drained: false,
            unsent: 0,
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
        (self.metas[*buffer].addr, &self.buffers[*buffer][range.clone()])
    }

    fn find_datagrams(&mut self, buffers: usize) {
        self.datagrams.clear();
        for (buffer, meta) in self.metas[..buffers].iter().enumerate() {
            let len = meta.len.min(LONGEST);
            let starts = (0..len).step_by(meta.stride.max(1));
            let ranges = starts.map(|start| (buffer, start..len.min(start + meta.stride.max(1))));
            self.datagrams.extend(ranges);
        }
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
        if let Err(error) = self.socket.try_send_to(data, to) {
            self.unsent += 1;
            tracing::debug!(%to, unsent = self.unsent, "a datagram was not sent: {error}");
        }
    }
}
