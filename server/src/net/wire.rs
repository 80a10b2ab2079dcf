//! One connection to the broker: bytes in, bytes out, nothing decided.

use crate::link::resp::{Read, read};
use crate::link::{Command, resp};
use redis::{ConnectionAddr, ConnectionInfo};
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Bytes read by one system call.
const READ: usize = 64 << 10;
/// A connection over which nothing passes is probed after this time, and so often.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// What was sent and is not acknowledged for so long ends the connection, if the lease has not done so before.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the broker listens.
#[derive(Clone)]
pub enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// Where a URL says that it listens; without TLS, which is not built in.
    pub fn of(info: &ConnectionInfo) -> Option<Address> {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => Some(Address::Tcp(host.clone(), *port)),
            ConnectionAddr::Unix(path) => Some(Address::Unix(path.clone())),
            _ => None,
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that stands.
pub struct Wire {
    stream: Stream,
    /// Read, and not understood yet.
    unread: Vec<u8>,
    /// Said, and not written yet.
    unsent: Vec<u8>,
}

impl Wire {
    /// Makes a connection.
    pub async fn connect(address: Address) -> io::Result<Wire> {
        let stream = match address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                let socket = SockRef::from(&stream);
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
                socket.set_tcp_keepalive(&keepalive)?;
                socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        Ok(Wire {
            stream,
            unread: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Says something; [`Wire::write`] writes it.
    pub fn say(&mut self, command: &Command) {
        resp::encode(command, &mut self.unsent);
    }

    /// Writes what the kernel takes of what was said.
    pub fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.unsent.len() {
            let rest = &self.unsent[written..];
            let result = match &self.stream {
                Stream::Tcp(stream) => stream.try_write(rest),
                Stream::Unix(stream) => stream.try_write(rest),
            };
            match result {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..written);
        Ok(())
    }

    /// Reads what is there, at most one piece, and takes it apart; `None` if nothing is.
    pub fn read(&mut self, listens: bool, mut take: impl FnMut(Read)) -> io::Result<Option<()>> {
        self.unread.reserve(READ);
        let result = match &self.stream {
            Stream::Tcp(stream) => stream.try_read_buf(&mut self.unread),
            Stream::Unix(stream) => stream.try_read_buf(&mut self.unread),
        };
        match result {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker closed it")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut at = 0;
        while let Some((item, length)) = read(&self.unread[at..], listens).map_err(io::Error::other)? {
            at += length;
            take(item);
        }
        self.unread.drain(..at);
        Ok(Some(()))
    }

    /// Ready when there is something to read, if that is `wanted`, or room for what waits to be written.
    pub fn poll_ready(&self, context: &mut Context<'_>, wanted: bool) -> Poll<()> {
        let readable = wanted && self.poll(context, false);
        let writable = !self.unsent.is_empty() && self.poll(context, true);
        if readable || writable {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// An error shows when it is read or written.
    fn poll(&self, context: &mut Context<'_>, to_write: bool) -> bool {
        let polled = match (&self.stream, to_write) {
            (Stream::Tcp(stream), false) => stream.poll_read_ready(context),
            (Stream::Tcp(stream), true) => stream.poll_write_ready(context),
            (Stream::Unix(stream), false) => stream.poll_read_ready(context),
            (Stream::Unix(stream), true) => stream.poll_write_ready(context),
        };
        polled.is_ready()
    }
}
