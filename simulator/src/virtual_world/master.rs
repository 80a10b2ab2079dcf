//! A Redis that clients can write to: a key space, and which connection listens as which of its clients.
//!
//! In: commands of clients, with the time that its clock shows. Out: replies, and messages with the connections that hear
//! them. Connections themselves are the [`MessageBroker`](super::message_broker::MessageBroker)'s: after a failover there
//! may be two masters for a while, and one world around them.

use std::collections::{BTreeMap, BTreeSet};

use broker::{ClientId, Keyspace, Limits, Push, Reply, Snapshot};

use super::connection::{ConnectionId, Party};
use super::left_over::Kept;

/// One master.
pub struct Master {
    /// Its data.
    pub keyspace: Keyspace,
    subscribers: BTreeMap<ClientId, ConnectionId>,
    /// Who asks for what no client of the cluster asks for.
    observer: ClientId,
}

/// Whose connection stays with the old master: a party, and true for the one that listens.
pub type Staying = BTreeSet<(Party, bool)>;

/// A master that was replaced and does not know it.
pub struct OldMaster {
    /// The master.
    pub master: Master,
    /// Who talks to it.
    pub clients: Staying,
}

impl Master {
    /// One that knows nothing.
    pub fn empty() -> Self {
        let mut keyspace = Keyspace::new(Limits::default());
        Master {
            observer: keyspace.connect(),
            keyspace,
            subscribers: BTreeMap::new(),
        }
    }

    /// One without clients that knows this.
    pub fn knowing(data: Snapshot) -> Self {
        let mut master = Master::empty();
        master.keyspace.restore(data);
        master
    }

    /// A connection is accepted; it hears messages if it is there to listen.
    pub fn accept(&mut self, connection: ConnectionId, listens: bool) -> ClientId {
        let client = self.keyspace.connect();
        if listens {
            self.subscribers.insert(client, connection);
        }
        client
    }

    /// A client is gone.
    pub fn forget(&mut self, client: ClientId) {
        self.subscribers.remove(&client);
        self.keyspace.disconnect(client);
    }

    /// Executes a command, at this Unix time in microseconds.
    pub fn execute(&mut self, unix_us: u64, client: ClientId, words: &[&[u8]]) -> Reply {
        self.keyspace.execute(unix_us, client, words)
    }

    /// Sets one of its options.
    pub fn configure(&mut self, unix_us: u64, option: &[u8], value: &[u8]) {
        self.execute(unix_us, self.observer, &[b"CONFIG", b"SET", option, value]);
    }

    /// Forgets all data (FLUSHALL).
    pub fn flush(&mut self, unix_us: u64) {
        self.execute(unix_us, self.observer, &[b"FLUSHALL"]);
        self.keyspace.take_records();
    }

    /// What was published since the last call, and who hears it.
    pub fn take_messages(&mut self) -> Vec<(Option<ConnectionId>, Push)> {
        let pushes = self.keyspace.take_pushes().into_iter();
        pushes
            .map(|(client, push)| (self.subscribers.get(&client).copied(), push))
            .collect()
    }

    /// All hashes with their fields and values, for who looks at the cluster from outside.
    pub fn hashes(&mut self, unix_us: u64) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let keys = texts(self.execute(unix_us, self.observer, &[b"KEYS", b"*"]));
        let hashes = keys.into_iter().map(|key| {
            let fields = self.execute(unix_us, self.observer, &[b"HGETALL", &key]);
            (key, texts(fields))
        });
        hashes.collect()
    }

    /// All that it keeps, for who looks at the cluster from outside.
    pub fn kept(&mut self, unix_us: u64) -> Vec<Kept> {
        let keys = texts(self.execute(unix_us, self.observer, &[b"KEYS", b"*"]));
        let kept = keys.into_iter().map(|key| {
            let mut ask = |words: &[&[u8]]| self.execute(unix_us, self.observer, words);
            let content = match ask(&[b"TYPE", &key]) {
                Reply::Simple(kind) => match &kind[..] {
                    b"hash" => ask(&[b"HGETALL", &key]),
                    b"list" => ask(&[b"LRANGE", &key, b"0", b"-1"]),
                    b"zset" => ask(&[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"]),
                    _ => Reply::Array(Vec::new()),
                },
                _ => Reply::Array(Vec::new()),
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Kept {
                mortal: matches!(ask(&[b"PTTL", &key]), Reply::Integer(0..)),
                texts: texts(content).iter().map(|bytes| text(bytes)).collect(),
                key: text(&key),
            }
        });
        kept.collect()
    }

    /// A field of a hash, for who looks at the cluster from outside.
    pub fn look_up(&mut self, unix_us: u64, key: &str, field: &str) -> Option<String> {
        let words = [b"HGET".as_slice(), key.as_bytes(), field.as_bytes()];
        match self.execute(unix_us, self.observer, &words) {
            Reply::Bulk(text) => Some(String::from_utf8_lossy(&text).into_owned()),
            _ => None,
        }
    }
}

/// The texts of an array; none of anything else.
fn texts(reply: Reply) -> Vec<Vec<u8>> {
    let Reply::Array(items) = reply else {
        return Vec::new();
    };
    let texts = items.into_iter().filter_map(|item| match item {
        Reply::Bulk(text) => Some(text.to_vec()),
        _ => None,
    });
    texts.collect()
}
