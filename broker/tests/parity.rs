//! The key space, our server and a real redis-server get the same commands and must give the same replies, byte for
//! byte. The commands are in `parity_cases/`, a line each.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, VecDeque};

use broker::{ClientId, Keyspace, Limits, ServerOptions};
use support::{Connection, OwnServer, RealServer, now_us, sorted, words};

/// Something that answers commands. Connections are numbered and open at their first use.
trait Peer {
    fn call(&mut self, connection: u32, command: &[String]) -> Vec<u8>;
    fn push(&mut self, connection: u32) -> Vec<u8>;
}

struct OverTcp<S> {
    _server: S,
    address: std::net::SocketAddr,
    connections: BTreeMap<u32, Connection>,
}

impl<S> OverTcp<S> {
    fn new(server: S, address: std::net::SocketAddr) -> Self {
        OverTcp {
            _server: server,
            address,
            connections: BTreeMap::new(),
        }
    }

    fn connection(&mut self, number: u32) -> &mut Connection {
        self.connections
            .entry(number)
            .or_insert_with(|| Connection::open(self.address))
    }
}

impl<S> Peer for OverTcp<S> {
    fn call(&mut self, connection: u32, command: &[String]) -> Vec<u8> {
        let connection = self.connection(connection);
        connection.send(command);
        (0..reply_count(command))
            .flat_map(|_| connection.receive())
            .collect()
    }

    fn push(&mut self, connection: u32) -> Vec<u8> {
        self.connection(connection).receive()
    }
}

/// SUBSCRIBE and its like answer once for each name.
fn reply_count(command: &[String]) -> usize {
    match command[0].to_ascii_lowercase().as_str() {
        "subscribe" | "psubscribe" | "unsubscribe" | "punsubscribe" => (command.len() - 1).max(1),
        _ => 1,
    }
}

struct Direct {
    keyspace: Keyspace,
    clients: BTreeMap<u32, ClientId>,
    pushes: BTreeMap<ClientId, VecDeque<Vec<u8>>>,
}

impl Direct {
    fn new() -> Self {
        let keyspace = Keyspace::new(Limits {
            max_memory: 0,
            ..Limits::default()
        });
        Direct {
            keyspace,
            clients: BTreeMap::new(),
            pushes: BTreeMap::new(),
        }
    }

    fn client(&mut self, number: u32) -> ClientId {
        *self
            .clients
            .entry(number)
            .or_insert_with(|| self.keyspace.connect())
    }
}

impl Peer for Direct {
    fn call(&mut self, connection: u32, command: &[String]) -> Vec<u8> {
        let client = self.client(connection);
        let mut bytes = Vec::new();
        self.keyspace
            .execute(now_us(), client, command)
            .encode(&mut bytes);
        for (subscriber, push) in self.keyspace.take_pushes() {
            let mut message = Vec::new();
            push.encode(&mut message);
            self.pushes.entry(subscriber).or_default().push_back(message);
        }
        bytes
    }

    fn push(&mut self, connection: u32) -> Vec<u8> {
        let client = self.client(connection);
        self.pushes
            .entry(client)
            .or_default()
            .pop_front()
            .expect("a message was published")
    }
}

/// Runs the lines on all three. A line is a command; `@2 ` before it chooses connection 2, and `@2 <` takes the next
/// message that was pushed to that connection.
fn same_replies(lines: &str) {
    let real = RealServer::start();
    let own = OwnServer::start(ServerOptions {
        limits: Limits {
            max_memory: 0,
            ..Limits::default()
        },
        ..ServerOptions::default()
    });
    let (real_address, own_address) = (real.address, own.address);
    let mut real = OverTcp::new(real, real_address);
    let mut own = OverTcp::new(own, own_address);
    let mut direct = Direct::new();
    let peers: [(&str, &mut dyn Peer); 3] = [
        ("redis-server", &mut real),
        ("our server", &mut own),
        ("Keyspace", &mut direct),
    ];
    let mut peers = peers;
    let mut differences = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (connection, command) = match line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
            Some((number, command)) => (number.parse().unwrap(), command),
            None => (1, line),
        };
        let command = words(command);
        let replies: Vec<Vec<u8>> = peers
            .iter_mut()
            .map(|(_, peer)| {
                if command == ["<"] {
                    peer.push(connection)
                } else {
                    comparable(&command, peer.call(connection, &command))
                }
            })
            .collect();
        if replies.iter().any(|reply| *reply != replies[0]) {
            differences.push(line.to_string());
            for ((name, _), reply) in peers.iter().zip(&replies) {
                differences.push(format!(
                    "    {name:>12}: {:.500}",
                    reply.escape_ascii().to_string()
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "replies differ:\n{}",
        differences.join("\n")
    );
}

/// The reply in a form in which equal replies are equal bytes.
fn comparable(command: &[String], reply: Vec<u8>) -> Vec<u8> {
    let unordered = ["smembers", "keys", "pubsub"];
    let name = command
        .iter()
        .find(|word| unordered.contains(&word.to_ascii_lowercase().as_str()));
    if name.is_some() { sorted(&reply) } else { reply }
}

macro_rules! parity {
    ($($cases:ident)*) => {
        $(
            #[test]
            fn $cases() {
                same_replies(include_str!(concat!("parity_cases/", stringify!($cases), ".txt")));
            }
        )*
    };
}

parity! {
    connection_commands
    databases_are_apart
    strings
    keys_and_deadlines
    hashes
    lists
    sets
    sorted_sets
    publish_and_subscribe
    transactions
    script_values
    script_calls
    script_failures
    script_cache
    memory_limit
}
