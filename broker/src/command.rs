//! The table of commands: name, number of arguments, what they may do, and the function that does it.

use crate::commands::{connection, generic, hash, list, pubsub, server, set, sorted_set, string};
use crate::state::{Context, Outcome};

/// Changes data; refused to scripts that declared `no-writes`.
pub(crate) const WRITE: u8 = 1;
/// Can add data; refused when memory is over the limit.
pub(crate) const GROWS: u8 = 2;
/// Not for scripts.
pub(crate) const NO_SCRIPT: u8 = 4;
/// Allowed to a client that has subscribed something.
pub(crate) const SUBSCRIBER: u8 = 8;
/// Executed at once even after MULTI.
pub(crate) const IMMEDIATE: u8 = 16;
/// Not allowed after MULTI.
pub(crate) const NO_TRANSACTION: u8 = 32;

/// Sends messages; refused to scripts that declared `no-writes`.
pub(crate) const PUBLISHES: u8 = 64;

#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// Number of arguments with the name itself; negative: at least that many.
    arity: i8,
    pub(crate) flags: u8,
    pub(crate) action: Action,
}

/// Who carries a command out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// A function on the state.
    Run(fn(&mut Context<'_>, &[&[u8]]) -> Outcome),
    /// The key space itself, since it takes more than the state.
    Control(Control),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Multi,
    Exec,
    Discard,
    Eval,
    EvalSha,
    Script,
}

impl Spec {
    pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
        if name.len() > LONGEST {
            return None;
        }
        let wanted = packed(name);
        let mut slot = hash(wanted);
        loop {
            let (packed, command) = INDEX[slot];
            let spec = COMMANDS.get(usize::from(command))?;
            if packed == wanted && spec.name.len() == name.len() {
                return Some(spec);
            }
            slot = (slot + 1) % INDEX.len();
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn accepts(&self, arguments: usize) -> bool {
        let needed = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            arguments >= needed
        } else {
            arguments == needed
        }
    }
}

/// No command has a longer name.
const LONGEST: usize = 16;
/// Marks a free slot of [`INDEX`].
const FREE: u8 = u8::MAX;
/// Which name has this [`hash`], and where in [`COMMANDS`] it is; at a collision in one of the next slots.
static INDEX: [(u128, u8); 256] = index();

/// A name in lower case as a number: names are compared for every command of every script.
const fn packed(name: &[u8]) -> u128 {
    let mut bytes = [0; LONGEST];
    let mut at = 0;
    while at < name.len() {
        bytes[at] = name[at].to_ascii_lowercase();
        at += 1;
    }
    u128::from_le_bytes(bytes)
}

/// The slot of a name (Fibonacci hashing).
const fn hash(packed: u128) -> usize {
    let folded = packed as u64 ^ (packed >> 64) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

const fn index() -> [(u128, u8); 256] {
    let mut index = [(0, FREE); 256];
    let mut command = 0;
    while command < COMMANDS.len() {
        assert!(COMMANDS[command].name.len() <= LONGEST);
        let name = packed(COMMANDS[command].name.as_bytes());
        let mut slot = hash(name);
        while index[slot].1 != FREE {
            slot = (slot + 1) % 256;
        }
        index[slot] = (name, command as u8);
        command += 1;
    }
    index
}

const fn run(
    name: &'static str,
    arity: i8,
    flags: u8,
    function: fn(&mut Context<'_>, &[&[u8]]) -> Outcome,
) -> Spec {
    Spec {
        name,
        arity,
        flags,
        action: Action::Run(function),
    }
}

const fn control(name: &'static str, arity: i8, flags: u8, control: Control) -> Spec {
    Spec {
        name,
        arity,
        flags,
        action: Action::Control(control),
    }
}

/// In the order of the names.
static COMMANDS: &[Spec] = &[
    run("append", 3, WRITE | GROWS, string::append),
    run("auth", -2, NO_SCRIPT, connection::auth),
    run("client", -2, NO_SCRIPT, connection::client),
    run("command", -1, 0, server::command),
    run("config", -2, NO_SCRIPT, server::config),
    run("dbsize", 1, 0, server::dbsize),
    run("decr", 2, WRITE | GROWS, string::decr),
    run("decrby", 3, WRITE | GROWS, string::decrby),
    run("del", -2, WRITE, generic::del),
    control("discard", 1, NO_SCRIPT | IMMEDIATE, Control::Discard),
    run("echo", 2, 0, connection::echo),
    control("eval", -3, NO_SCRIPT, Control::Eval),
    control("evalsha", -3, NO_SCRIPT, Control::EvalSha),
    control("exec", 1, NO_SCRIPT | IMMEDIATE, Control::Exec),
    run("exists", -2, 0, generic::exists),
    run("expire", -3, WRITE, generic::expire),
    run("expireat", -3, WRITE, generic::expireat),
    run("flushall", -1, WRITE, server::flushall),
    run("flushdb", -1, WRITE, server::flushdb),
    run("get", 2, 0, string::get),
    run("getdel", 2, WRITE, string::getdel),
    run("hdel", -3, WRITE, hash::hdel),
    run("hello", -1, NO_SCRIPT, connection::hello),
    run("hexists", 3, 0, hash::hexists),
    run("hget", 3, 0, hash::hget),
    run("hgetall", 2, 0, hash::hgetall),
    run("hincrby", 4, WRITE | GROWS, hash::hincrby),
    run("hkeys", 2, 0, hash::hkeys),
    run("hlen", 2, 0, hash::hlen),
    run("hmget", -3, 0, hash::hmget),
    run("hmset", -4, WRITE | GROWS, hash::hmset),
    run("hset", -4, WRITE | GROWS, hash::hset),
    run("hsetnx", 4, WRITE | GROWS, hash::hsetnx),
    run("hvals", 2, 0, hash::hvals),
    run("incr", 2, WRITE | GROWS, string::incr),
    run("incrby", 3, WRITE | GROWS, string::incrby),
    run("info", -1, 0, server::info),
    run("keys", 2, 0, generic::keys),
    run("lindex", 3, 0, list::lindex),
    run("llen", 2, 0, list::llen),
    run("lpop", -2, WRITE, list::lpop),
    run("lpush", -3, WRITE | GROWS, list::lpush),
    run("lrange", 4, 0, list::lrange),
    run("lrem", 4, WRITE, list::lrem),
    run("ltrim", 4, WRITE, list::ltrim),
    run("mget", -2, 0, string::mget),
    control("multi", 1, NO_SCRIPT | IMMEDIATE, Control::Multi),
    run("persist", 2, WRITE, generic::persist),
    run("pexpire", -3, WRITE, generic::pexpire),
    run("pexpireat", -3, WRITE, generic::pexpireat),
    run("ping", -1, SUBSCRIBER, connection::ping),
    run(
        "psubscribe",
        -2,
        NO_SCRIPT | SUBSCRIBER | NO_TRANSACTION,
        pubsub::psubscribe,
    ),
    run("pttl", 2, 0, generic::pttl),
    run("publish", 3, PUBLISHES, pubsub::publish),
    run("pubsub", -2, 0, pubsub::pubsub),
    run(
        "punsubscribe",
        -1,
        NO_SCRIPT | SUBSCRIBER | NO_TRANSACTION,
        pubsub::punsubscribe,
    ),
    run("quit", -1, NO_SCRIPT | SUBSCRIBER | IMMEDIATE, connection::quit),
    run("reset", 1, NO_SCRIPT | SUBSCRIBER | IMMEDIATE, connection::reset),
    run("rpop", -2, WRITE, list::rpop),
    run("rpush", -3, WRITE | GROWS, list::rpush),
    run("sadd", -3, WRITE | GROWS, set::sadd),
    run("scan", -2, 0, generic::scan),
    run("scard", 2, 0, set::scard),
    control("script", -2, NO_SCRIPT, Control::Script),
    run("select", 2, 0, connection::select),
    run("set", -3, WRITE | GROWS, string::set),
    run("setex", 4, WRITE | GROWS, string::setex),
    run("sismember", 3, 0, set::sismember),
    run("smembers", 2, 0, set::smembers),
    run("srem", -3, WRITE, set::srem),
    run("strlen", 2, 0, string::strlen),
    run(
        "subscribe",
        -2,
        NO_SCRIPT | SUBSCRIBER | NO_TRANSACTION,
        pubsub::subscribe,
    ),
    run("time", 1, 0, server::time),
    run("ttl", 2, 0, generic::ttl),
    run("type", 2, 0, generic::type_name),
    run("unlink", -2, WRITE, generic::del),
    run(
        "unsubscribe",
        -1,
        NO_SCRIPT | SUBSCRIBER | NO_TRANSACTION,
        pubsub::unsubscribe,
    ),
    run("zadd", -4, WRITE | GROWS, sorted_set::zadd),
    run("zcard", 2, 0, sorted_set::zcard),
    run("zcount", 4, 0, sorted_set::zcount),
    run("zincrby", 4, WRITE | GROWS, sorted_set::zincrby),
    run("zpopmin", -2, WRITE, sorted_set::zpopmin),
    run("zrange", -4, 0, sorted_set::zrange),
    run("zrangebyscore", -4, 0, sorted_set::zrangebyscore),
    run("zrem", -3, WRITE, sorted_set::zrem),
    run("zremrangebyscore", 4, WRITE, sorted_set::zremrangebyscore),
    run("zscore", 3, 0, sorted_set::zscore),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_either_case() {
        for spec in COMMANDS {
            let upper = spec.name.to_ascii_uppercase();
            assert_eq!(
                Spec::find(upper.as_bytes()).map(|found| found.name),
                Some(spec.name)
            );
        }
        for unknown in [b"nonsense".as_slice(), b"", b"get\0", b"\0"] {
            assert!(Spec::find(unknown).is_none(), "{unknown:?}");
        }
        assert!(Spec::find(&[b'x'; 1000]).is_none());
    }
}
