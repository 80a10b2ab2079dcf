//! What the tests of this crate share: our server on a thread, a real redis-server as a child, and connections to
//! either whose replies are read by an independent codec.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker::ServerOptions;
use redis_protocol::bytes::Bytes;
use redis_protocol::resp2::decode::decode_bytes;
use redis_protocol::resp2::types::BytesFrame;
use tempfile::TempDir;

/// How long to wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros()
        .try_into()
        .unwrap()
}

/// Our server on its own thread; ends when dropped.
pub struct OwnServer {
    pub address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl OwnServer {
    pub fn start(options: ServerOptions) -> Self {
        let (announce, announced) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                announce.send(listener.local_addr().unwrap()).unwrap();
                let stop = async { stopped.await.unwrap_or(()) };
                broker::serve(listener, options, stop).await.unwrap();
            });
        });
        let address = announced.recv_timeout(PATIENCE).unwrap();
        OwnServer {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A server that has failed is gone already; joining it tells why.
            stop.send(()).unwrap_or(());
        }
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A real redis-server in a private directory; killed when dropped.
pub struct RealServer {
    pub address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl RealServer {
    pub fn start() -> Self {
        // Somebody else may take the free port before redis-server does.
        (0..10)
            .find_map(|_| Self::try_start())
            .expect("redis-server found no free port in ten attempts")
    }

    fn try_start() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut child = Command::new("redis-server")
            .args([
                "--port",
                &address.port().to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test compares with a real redis-server; install it: apt-get install redis-server");
        let output = BufReader::new(child.stdout.take().unwrap());
        let ready = output
            .lines()
            .any(|line| line.unwrap().contains("Ready to accept connections"));
        let server = RealServer {
            address,
            child,
            _directory: directory,
        };
        ready.then_some(server)
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client of either server.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection {
            stream,
            unread: Vec::new(),
        }
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, command: &[A]) {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            bytes.extend_from_slice(format!("${}\r\n", argument.as_ref().len()).as_bytes());
            bytes.extend_from_slice(argument.as_ref());
            bytes.extend_from_slice(b"\r\n");
        }
        self.send_raw(&bytes);
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The bytes of the next reply or message.
    pub fn receive(&mut self) -> Vec<u8> {
        self.try_receive().expect("the server sends a reply")
    }

    /// As [`Self::receive`]; `None` if the server closes the connection instead.
    pub fn try_receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((_, length)) = decode_bytes(&Bytes::copy_from_slice(&self.unread)).unwrap() {
                return Some(self.unread.drain(..length).collect());
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => self
                    .unread
                    .extend_from_slice(&chunk[..read.expect("the server answers in time")]),
            }
        }
    }

    /// Sends a command and returns the bytes of its one reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Vec<u8> {
        self.send(command);
        self.receive()
    }
}

/// Splits a command line at blanks; what stands between `«` and `»` stays together, and `\n` in it is a line break.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('«') {
            Some(quoted) => quoted.split_once('»').expect("a quoted word ends with »"),
            None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        words.push(word.replace("\\n", "\n"));
        rest = after.trim_start();
    }
    words
}

/// A reply with its elements sorted, for commands whose order of elements means nothing.
pub fn sorted(reply: &[u8]) -> Vec<u8> {
    let (frame, _) = decode_bytes(&Bytes::copy_from_slice(reply)).unwrap().unwrap();
    match frame {
        BytesFrame::Array(items) => {
            let mut items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
            items.sort();
            items.join("\n").into_bytes()
        }
        _ => reply.to_vec(),
    }
}
