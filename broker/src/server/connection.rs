//! One client's connection: bytes in, commands executed, bytes out.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::broker::{Broker, Outbox, Then};
use super::request::{Decoder, RequestError};
use crate::reply::Reply;
use crate::state::ClientId;

/// Bytes read at a time; what they contain is executed together.
const READ_BYTES: usize = 64 << 10;
/// While more than this waits to be sent to a client, nothing more is read from it.
const READ_PAUSES_AT: usize = 1 << 20;
/// An idle connection keeps no larger buffer than this.
const KEEP_BYTES: usize = 256 << 10;

/// Serves a client until it leaves, breaks the protocol, or is cut off.
pub(super) async fn converse(
    stream: TcpStream,
    broker: Rc<RefCell<Broker>>,
    client: ClientId,
    outbox: Rc<Outbox>,
) {
    let mut connection = Connection::new(&stream, &broker, client, &outbox);
    if let Err(error) = connection.run().await {
        tracing::debug!(client = client.0, %error, "the connection ended");
    }
    broker.borrow_mut().disconnect(client);
}

struct Connection<'a> {
    stream: &'a TcpStream,
    broker: &'a RefCell<Broker>,
    client: ClientId,
    outbox: &'a Outbox,
    decoder: Decoder,
    input: Vec<u8>,
    closing: bool,
}

impl<'a> Connection<'a> {
    fn new(stream: &'a TcpStream, broker: &'a RefCell<Broker>, client: ClientId, outbox: &'a Outbox) -> Self {
        let decoder = {
            let broker = broker.borrow();
            let options = broker.options();
            Decoder::new(options.limits.max_value_bytes, options.max_command_bytes)
        };
        Connection {
            stream,
            broker,
            client,
            outbox,
            decoder,
            input: Vec::new(),
            closing: false,
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let waiting = self.outbox.bytes.borrow().len();
            if self.outbox.cut_off.get() || (self.closing && waiting == 0) {
                return Ok(());
            }
            let reads = !self.closing && waiting < READ_PAUSES_AT;
            let interest = match (reads, waiting > 0) {
                (true, true) => Interest::READABLE | Interest::WRITABLE,
                (true, false) => Interest::READABLE,
                (false, _) => Interest::WRITABLE,
            };
            tokio::select! {
                ready = self.stream.ready(interest) => {
                    if reads && ready?.is_readable() && self.read()? == Read::End {
                        return Ok(());
                    }
                }
                () = self.outbox.wake.notified() => {}
            }
            self.write()?;
        }
    }

    /// Reads once and executes what is complete.
    fn read(&mut self) -> io::Result<Read> {
        self.input.reserve(READ_BYTES);
        let read = self.stream.try_read_buf(&mut self.input);
        match read {
            Ok(0) => return Ok(Read::End),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::More),
            Err(error) => return Err(error),
        }
        let (commands, broken) = self.decode();
        if !commands.is_empty() {
            let then = self
                .broker
                .borrow_mut()
                .execute(self.client, &commands, self.outbox);
            self.closing = then == Then::Close;
        }
        if let Some(error) = broken.filter(|_| !self.closing) {
            Reply::error(error.to_string()).encode(&mut self.outbox.bytes.borrow_mut());
            self.closing = true;
        }
        Ok(Read::More)
    }

    /// Takes the complete commands out of the input, and the error that ends it, if there is one.
    fn decode(&mut self) -> (Vec<Vec<Bytes>>, Option<RequestError>) {
        let (mut at, mut commands, mut broken) = (0, Vec::new(), None);
        loop {
            match self.decoder.next(&self.input, &mut at) {
                Ok(Some(command)) => commands.push(command),
                Ok(None) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        self.input.drain(..at);
        if self.input.is_empty() && self.input.capacity() > KEEP_BYTES {
            self.input = Vec::new();
        }
        (commands, broken)
    }

    /// Sends what the socket takes at once.
    fn write(&mut self) -> io::Result<()> {
        let mut bytes = self.outbox.bytes.borrow_mut();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.try_write(&bytes[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        bytes.drain(..sent);
        if bytes.is_empty() && bytes.capacity() > KEEP_BYTES {
            *bytes = Vec::new();
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// More may come.
    More,
    /// The client closed its side.
    End,
}
