//! What goes wrong between an instance and its broker, and scripts that tell what they call or fail where they are told
//! to.

use super::{Delivery, World};
use broker::Reply as BrokerReply;
use server::partition::Partition;
use server::store::Script;

/// Commands of scripts that somebody outside the script can notice.
const EFFECTS: [&str; 17] = [
    "PUBLISH", "SET", "DEL", "PEXPIRE", "PERSIST", "HSET", "HSETNX", "HDEL", "HINCRBY", "RPUSH", "LPOP",
    "LREM", "ZADD", "ZREM", "SADD", "SREM", "LPUSH",
];

/// What happens to the calls of one instance until its command connection is cut.
#[derive(Default)]
pub struct Faults {
    /// Calls are executed, their replies never arrive.
    pub replies_are_lost: bool,
    /// Calls are executed, their replies wait in `late`.
    pub replies_wait: bool,
    /// So many more calls reach the broker.
    pub calls_left: Option<usize>,
}

/// What the broker's data were after a call of a script that was made to fail.
#[derive(Debug)]
pub struct Injected {
    /// True if they are what they were before the script.
    pub unchanged: bool,
}

impl World {
    /// From now on, the broker executes what this instance calls, and the replies vanish.
    pub fn lose_replies(&mut self, n: usize) {
        self.nodes[n].faults.replies_are_lost = true;
    }

    /// From now on the broker executes what this instance calls, and the replies are long under way.
    pub fn delay_replies(&mut self, n: usize) {
        self.nodes[n].faults.replies_wait = true;
    }

    /// The next replies that are under way arrive, so many of them.
    pub fn let_replies_arrive(&mut self, n: usize, count: usize) {
        for _ in 0..count {
            let late = self.nodes[n].late.pop_front();
            self.nodes[n].inbox.extend(late);
        }
        self.settle();
    }

    /// All replies that are under way arrive, and no more are delayed.
    pub fn let_all_replies_arrive(&mut self, n: usize) {
        self.nodes[n].faults.replies_wait = false;
        let late = self.nodes[n].late.len();
        self.let_replies_arrive(n, late);
    }

    /// Only so many more calls of this instance reach the broker; replies vanish too.
    pub fn cut_after_calls(&mut self, n: usize, calls: usize) {
        self.nodes[n].faults = Faults {
            replies_are_lost: true,
            calls_left: Some(calls),
            ..Faults::default()
        };
    }

    /// The instance loses its command connection; it is whole again once it is connected.
    pub fn cut_command(&mut self, n: usize) {
        if let Some(client) = self.nodes[n].command.take() {
            self.broker.disconnect(client);
        }
        self.nodes[n].faults = Faults::default();
        self.nodes[n].inbox.push_back(Delivery::CommandLost);
        self.settle();
    }

    pub fn connect_again(&mut self, n: usize) {
        self.connect_command(n);
        self.settle();
    }

    /// Every call of a script is executed twice, and only the second reply arrives.
    pub fn execute_everything_twice(&mut self) {
        self.twice = true;
    }

    /// The broker has this much memory more than it uses now.
    pub fn limit_memory(&mut self, more: u64) {
        let limit = self.broker.used_memory() + more;
        let client = self.broker.connect();
        self.command(
            client,
            &[b"CONFIG", b"SET", b"maxmemory", limit.to_string().as_bytes()],
        );
        self.broker.disconnect(client);
    }

    pub fn free_memory(&mut self) {
        let client = self.broker.connect();
        self.command(client, &[b"CONFIG", b"SET", b"maxmemory", b"0"]);
        self.broker.disconnect(client);
    }

    /// Somebody else writes into the store.
    pub fn command_of_operator(&mut self, words: &[&str]) {
        let client = self.broker.connect();
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.command(client, &words);
        self.broker.disconnect(client);
    }

    /// Writes into what the store has of an endpoint.
    pub fn set_field(&mut self, ep: &str, field: &str, value: &str) {
        let base = Partition::of(ep).key("");
        let key = format!("{}e:{ep}", base.trim_end_matches('m'));
        let client = self.broker.connect();
        self.command(
            client,
            &[b"HSET", key.as_bytes(), field.as_bytes(), value.as_bytes()],
        );
        self.broker.disconnect(client);
    }

    /// From now on every script publishes what it calls on `trace`: script, number of the call, command, key.
    pub fn trace_scripts(&mut self) {
        let client = self.back_end;
        self.command(client, &[b"SUBSCRIBE", b"trace"]);
        for script in Script::ALL {
            let opening = format!(
                "local real, count = redis, 0\nlocal redis = {{call = function(...)\n  count = count + 1\n  \
                 real.call('PUBLISH', 'trace', '{script:?}\\n' .. count .. '\\n' .. (...) .. '\\n' .. (select(2, ...) \
                 or ''))\n  return real.call(...)\nend, pcall = real.pcall}}"
            );
            self.load_variant(script, &opening);
        }
    }

    /// What scripts called since the last call: script, number of the call in its run, command, key.
    pub fn trace(&mut self) -> Vec<(String, usize, String, String)> {
        let (trace, rest) = std::mem::take(&mut self.heard)
            .into_iter()
            .partition(|(channel, _)| channel == "trace");
        self.heard = rest;
        let trace: Vec<(String, String)> = trace;
        let parse = |text: &str| {
            let mut fields = text.splitn(4, '\n').map(str::to_owned);
            let mut next = || fields.next().unwrap();
            (next(), next().parse().unwrap(), next(), next())
        };
        trace.iter().map(|(_, text)| parse(text)).collect()
    }

    /// The next run of `script` whose `k`-th call comes before its first effect fails there; after that all is well.
    pub fn fail_once(&mut self, script: Script, k: usize) {
        let effects = EFFECTS.map(|command| format!("{command} = true")).join(", ");
        self.load_variant(
            script,
            &format!(
                "local real, count, wrote, effects = redis, 0, false, {{{effects}}}\nlocal redis = {{call = \
                 function(...)\n  count = count + 1\n  if count == {k} and not wrote then error('injected') \
                 end\n  wrote = wrote or effects[(...)]\n  return real.call(...)\nend, pcall = real.pcall}}"
            ),
        );
        self.failing = Some(script);
    }

    pub fn heal(&mut self, script: Script) {
        self.load_variant(script, "");
        self.failing = None;
    }

    fn load_variant(&mut self, script: Script, opening: &str) {
        let (shebang, code) = script.source().split_once('\n').unwrap();
        let text = format!("{shebang}\n{opening}\n{code}");
        let client = self.broker.connect();
        match self.command(client, &[b"SCRIPT", b"LOAD", text.as_bytes()]) {
            BrokerReply::Bulk(hash) => {
                self.hashes[script.index()] = String::from_utf8(hash.to_vec()).unwrap()
            }
            other => panic!("{script:?} does not compile: {other:?}"),
        }
        self.broker.disconnect(client);
    }

    /// Everything that the broker stores, as text.
    pub fn dump(&mut self) -> Vec<String> {
        let client = self.broker.connect();
        let BrokerReply::Array(keys) = self.command(client, &[b"KEYS", b"*"]) else {
            panic!("KEYS answers an array")
        };
        let mut dump = Vec::new();
        for key in keys {
            let BrokerReply::Bulk(key) = key else {
                panic!("keys are strings")
            };
            let BrokerReply::Simple(kind) = self.command(client, &[b"TYPE", &key]) else {
                panic!("TYPE answers a status")
            };
            let value = match &kind[..] {
                b"string" => self.command(client, &[b"GET", &key]),
                b"hash" => self.command(client, &[b"HGETALL", &key]),
                b"list" => self.command(client, &[b"LRANGE", &key, b"0", b"-1"]),
                b"set" => self.command(client, &[b"SMEMBERS", &key]),
                _ => self.command(client, &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"]),
            };
            dump.push(format!("{} {value:?}", String::from_utf8_lossy(&key)));
        }
        self.broker.disconnect(client);
        dump.sort();
        dump
    }
}

impl World {
    /// What the broker knows now.
    pub fn snapshot(&self) -> broker::Snapshot {
        self.broker.snapshot()
    }

    /// The broker knows no more than it did then; those who are connected stay so.
    pub fn broker_knows_only(&mut self, data: broker::Snapshot) {
        self.broker.restore(data);
        for script in Script::ALL {
            self.heal(script);
        }
    }
}

/// What only one of an instance's two connections has to do with.
impl World {
    /// The instance's subscription is made again, at another broker.
    pub fn subscribe_elsewhere(&mut self, n: usize) {
        self.nodes[n].inbox.push_back(Delivery::SubscriberConnected);
        self.settle();
    }

    /// The instance's subscription is gone, and it does not notice.
    pub fn hear_nothing(&mut self, n: usize) {
        if let Some(client) = self.nodes[n].subscriber.take() {
            self.broker.disconnect(client);
        }
    }

    /// There it hears a request to execute something.
    pub fn hear_elsewhere(&mut self, n: usize, ep: &str, ticket: &str) {
        let request =
            format!(r#"{{"ep":"{ep}","ticket":"{ticket}","req":{{"kind":"execute","path":"/3/0/4"}}}}"#);
        let message = Delivery::Message("LESHAN_REQ".to_owned(), request.into_bytes());
        self.nodes[n].inbox.push_back(message);
        self.settle();
    }
}
