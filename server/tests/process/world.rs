//! Real things: a redis-server of the test's own, the server program, a device with a UDP socket, a back end. Nothing
//! sleeps: everything waits for a line, a message or the end of a process, and gives up after a generous while.

use lwm2m::coap::{Code, Kind, Message, Options, Token, option};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long to wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines that a process writes.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status()
        .unwrap();
    assert!(sent.success(), "SIG{name}");
}

/// A redis-server in a private directory.
pub struct Redis {
    child: Child,
    directory: TempDir,
    port: u16,
    append_only: bool,
}

impl Redis {
    pub fn start(append_only: bool) -> Redis {
        // Somebody else may take the free port before redis-server does.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let directory = TempDir::new().unwrap();
            if let Some(child) = Redis::spawn(&directory, port, append_only) {
                return Redis {
                    child,
                    directory,
                    port,
                    append_only,
                };
            }
        }
        panic!("redis-server found no free port in ten attempts");
    }

    fn spawn(directory: &TempDir, port: u16, append_only: bool) -> Option<Child> {
        let mut child = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendfsync",
                "always",
                "--port",
            ])
            .arg(port.to_string())
            .args(["--appendonly", if append_only { "yes" } else { "no" }, "--dir"])
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(directory.path().join("redis.sock"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs a redis-server; install it: apt-get install redis-server");
        let output = lines(child.stdout.take().unwrap());
        let ready = output
            .iter()
            .any(|line| line.contains("Ready to accept connections"));
        ready.then_some(child)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The same, but for clients on this machine only.
    pub fn socket_url(&self) -> String {
        format!("unix://{}", self.directory.path().join("redis.sock").display())
    }

    /// Where a user has to log in, to a database of its own.
    pub fn url_with_login(&self, user: &str, password: &str, database: u8) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.child =
            Redis::spawn(&self.directory, self.port, self.append_only).expect("its port is free still");
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub fn command(&self, words: &[&str]) -> redis::Value {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd(words[0])
            .arg(&words[1..])
            .query(&mut connection)
            .unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server program.
pub struct Server {
    child: Child,
    output: Receiver<String>,
    errors: Receiver<String>,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_server"))
            .args(arguments)
            .env_remove("REDIS_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = lines(child.stdout.take().unwrap());
        let errors = lines(child.stderr.take().unwrap());
        Server {
            child,
            output,
            errors,
        }
    }

    pub fn instance(redis: &Redis, id: &str) -> Server {
        Server::start(&["-n", id, "--coap", "127.0.0.1:0", "-r", &redis.url()])
    }

    /// Waits until it says that it is this member, and where it listens.
    pub fn ready(&self, member: &str) -> SocketAddr {
        let line = self.output.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!(
                "{member} did not get ready: {:?}",
                self.errors.try_iter().collect::<Vec<_>>()
            )
        });
        let address = line
            .strip_prefix(&format!("ready {member} coap="))
            .unwrap_or_else(|| panic!("expected {member}, found {line}"));
        address.parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it logs a line with these words.
    pub fn logs(&self, words: &str) -> String {
        let begun = Instant::now();
        while let Ok(line) = self.errors.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            if line.contains(words) {
                return line;
            }
        }
        panic!("it did not say `{words}`");
    }

    /// Waits for the end of the process: its code, and what it wrote as standard output and as errors.
    pub fn end(mut self) -> (i32, Vec<String>, Vec<String>) {
        let (output, errors): (Vec<String>, Vec<String>) =
            (self.output.iter().collect(), self.errors.iter().collect());
        (self.child.wait().unwrap().code().unwrap_or(-1), output, errors)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A device.
pub struct Device {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    message_id: u16,
}

impl Device {
    pub fn new(server: SocketAddr) -> Device {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Device {
            socket,
            server,
            message_id: 100,
        }
    }

    pub fn send(&self, message: &Message) {
        let mut data = Vec::new();
        message.encode(&mut data);
        self.socket.send_to(&data, self.server).unwrap();
    }

    fn receive(&self) -> Option<Message> {
        let mut data = [0; 9000];
        match self.socket.recv(&mut data) {
            Ok(length) => Some(Message::decode(&data[..length]).unwrap()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Half a second without a datagram.
    pub fn hears_nothing(&self) {
        let heard = self.receive();
        assert!(heard.is_none(), "{heard:?}");
    }

    fn wait_for(&self, repeat: Option<&Message>, wanted: impl Fn(&Message) -> bool) -> Message {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(message) = repeat {
                self.send(message);
            }
            while let Some(message) = self.receive() {
                if wanted(&message) {
                    return message;
                }
            }
        }
        panic!("nothing came for the device");
    }

    pub fn message(&mut self, code: Code, path: &str, queries: &[&str], payload: &str) -> Message {
        self.message_id += 1;
        let token = Token::try_from(&self.message_id.to_be_bytes()[..]).unwrap();
        let mut message = Message::new(Kind::Confirmable, code, self.message_id, token);
        message.options.push_uri_path(path);
        for query in queries {
            message.options.push(option::URI_QUERY, query.as_bytes());
        }
        message.payload = payload.into();
        message
    }

    /// Sends a request, again every half second, until its response comes.
    pub fn ask(&mut self, code: Code, path: &str, queries: &[&str], payload: &str) -> Message {
        let request = self.message(code, path, queries, payload);
        self.wait_for(Some(&request), |m| {
            m.code.is_response() && m.token == request.token
        })
    }

    /// Registers, trying for as long as the store can't be reached; its location.
    pub fn register(&mut self, ep: &str) -> String {
        let query = format!("ep={ep}");
        let begun = Instant::now();
        loop {
            let answer = self.ask(
                Code::POST,
                "/rd",
                &[&query, "lwm2m=1.0", "lt=3600"],
                "</1/0>,</3/0>",
            );
            if answer.code == Code::CREATED {
                return location(&answer);
            }
            assert_eq!(answer.code, Code::SERVICE_UNAVAILABLE);
            assert!(begun.elapsed() < PATIENCE, "the device can't register");
        }
    }

    /// The next request of the server.
    pub fn request(&self) -> Message {
        self.wait_for(None, |m| m.code.is_request())
    }

    pub fn answer(&self, request: &Message, code: Code, payload: &str) {
        self.send(&Message {
            kind: Kind::Acknowledgement,
            code,
            message_id: request.message_id,
            token: request.token,
            options: Options::new(),
            payload: payload.into(),
        });
    }
}

pub fn location(answer: &Message) -> String {
    let parts = answer.options.all(option::LOCATION_PATH);
    parts.fold(String::new(), |path, part| {
        path + "/" + std::str::from_utf8(part).unwrap()
    })
}

/// A back end: what it hears on the response and registration channels.
pub struct BackEnd {
    url: String,
    heard: Receiver<(String, String)>,
}

impl BackEnd {
    pub fn new(redis: &Redis) -> BackEnd {
        let (sender, heard) = channel();
        let (subscribed, confirmed) = channel();
        let client = redis::Client::open(redis.url()).unwrap();
        thread::spawn(move || {
            let mut connection = client.get_connection().unwrap();
            let mut subscriber = connection.as_pubsub();
            subscriber.psubscribe("LESHAN_RE[SG]*").unwrap();
            subscribed.send(()).unwrap();
            while let Ok(message) = subscriber.get_message() {
                let text = message.get_payload().unwrap();
                if sender
                    .send((message.get_channel_name().to_owned(), text))
                    .is_err()
                {
                    return;
                }
            }
        });
        confirmed.recv_timeout(PATIENCE).unwrap();
        BackEnd {
            url: redis.url(),
            heard,
        }
    }

    pub fn publish(&self, text: &str) {
        let mut connection = redis::Client::open(self.url.as_str())
            .unwrap()
            .get_connection()
            .unwrap();
        let _: i64 = redis::cmd("PUBLISH")
            .arg("LESHAN_REQ")
            .arg(text)
            .query(&mut connection)
            .unwrap();
    }

    /// Publishes many requests in one write.
    pub fn publish_at_once(&self, requests: impl Iterator<Item = String>) {
        let mut connection = redis::Client::open(self.url.as_str())
            .unwrap()
            .get_connection()
            .unwrap();
        let mut pipe = redis::pipe();
        requests.for_each(|text| {
            pipe.cmd("PUBLISH").arg("LESHAN_REQ").arg(text).ignore();
        });
        pipe.exec(&mut connection).unwrap();
    }

    /// The next message on a channel; what came on others before it is skipped.
    pub fn hear(&self, channel: &str) -> String {
        loop {
            let (found, text) = self
                .heard
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("nothing on {channel}"));
            if found == channel {
                return text;
            }
        }
    }

    /// Publishes a request again and again until something with its ticket comes back.
    pub fn ask_until_heard(&self, request: &str, ticket: &str) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.publish(request);
            while let Ok((_, text)) = self.heard.recv_timeout(Duration::from_secs(1)) {
                if text.contains(&format!(r#""ticket":"{ticket}""#)) {
                    return text;
                }
            }
        }
        panic!("no instance answers {ticket}");
    }
}
