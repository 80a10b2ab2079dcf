//! State transitions by name: of tickets, of what belongs to whom, and of members, as the broker's data shows them.
//!
//! In: what each script wrote, as records of the key space's journal; the data as it is when somebody begins to look, or
//! after the broker has forgotten something; why an instance gave its membership up. Out: how often each [`Transition`]
//! happened. All that are known are in one table, so what never happened can be listed.

use std::collections::{BTreeMap, BTreeSet};

use broker::Record;
use server::store::{Call, Script};

use crate::dialect::glance::outcome_of;

/// One step of something from one state to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Transition {
    /// What takes it: one of [`HEADINGS`].
    pub of: &'static str,
    /// The state before.
    pub from: &'static str,
    /// The state after.
    pub to: &'static str,
    /// The script, or what else brings it about.
    pub by: &'static str,
    /// What tells it from others of the same script; may be empty.
    pub how: &'static str,
}

impl std::fmt::Display for Transition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Transition {
            from, to, by, how, ..
        } = self;
        match how.is_empty() {
            true => write!(f, "{from} -> {to} ({by})"),
            false => write!(f, "{from} -> {to} ({by}: {how})"),
        }
    }
}

/// What has states.
pub const HEADINGS: [&str; 5] = ["tickets", "owners", "stewards", "members", "instances"];

/// What it is, the state before, the state after, and by whom or what, each with what tells it from others.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const PLAIN: &[&str] = &[""];
const TOLD_AGAIN: &[&str] = &["its holder is told again"];
const MOVED: &[&str] = &["another holder, same exchange", "another holder, new exchange"];
const ANEW: &[&str] = &[
    "same holder, same exchange",
    "same holder, new exchange",
    "another holder, same exchange",
    "another holder, new exchange",
];
const FORGOTTEN: &[&str] = &["its time is over", "over the cap"];
const ONCE_BROUGHT: &[&str] = &[
    "an answer",
    "an answer that another heard",
    "UNREACHABLE",
    "REJECTED",
];
const BROUGHT: &[&str] = &[
    "an answer",
    "an answer that another heard",
    "UNREACHABLE",
    "REJECTED",
    "UNDECODABLE",
];

/// Everything that can happen while the broker keeps what it was told. A ticket is `dispatched` when it is with its holder,
/// who may have sent it; `dispatched once` is one that must not be sent twice and was not sent yet, `sent` one that was.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("tickets", "new", "refused", "accept", &["BAD_REQUEST", "UNKNOWN_ENDPOINT", "OVERLOADED"]),
    ("tickets", "new", "queued", "accept", PLAIN),
    ("tickets", "new", "dispatched", "accept", PLAIN),
    ("tickets", "new", "dispatched once", "accept", PLAIN),
    ("tickets", "new", "sent", "accept", PLAIN),
    ("tickets", "queued", "dispatched", "accept", PLAIN),
    ("tickets", "queued", "dispatched", "finish", PLAIN),
    ("tickets", "queued", "dispatched", "sweep", PLAIN),
    ("tickets", "queued", "dispatched", "register", PLAIN),
    ("tickets", "queued", "dispatched", "update", PLAIN),
    ("tickets", "queued", "dispatched once", "accept", PLAIN),
    ("tickets", "queued", "dispatched once", "finish", PLAIN),
    ("tickets", "queued", "dispatched once", "sweep", PLAIN),
    ("tickets", "queued", "sent", "accept", PLAIN),
    ("tickets", "queued", "sent", "finish", PLAIN),
    ("tickets", "queued", "sent", "sweep", PLAIN),
    ("tickets", "queued", "sent", "register", PLAIN),
    ("tickets", "queued", "sent", "update", PLAIN),
    ("tickets", "queued", "ended", "sweep", &["TIMEOUT"]),
    ("tickets", "queued", "ended", "expire", &["GONE"]),
    ("tickets", "queued", "ended", "deregister", &["GONE"]),
    ("tickets", "dispatched", "dispatched", "accept", TOLD_AGAIN),
    ("tickets", "dispatched", "dispatched", "sweep", TOLD_AGAIN),
    ("tickets", "dispatched", "dispatched", "sweep", MOVED),
    ("tickets", "dispatched", "dispatched", "register", ANEW),
    ("tickets", "dispatched", "ended", "finish", BROUGHT),
    ("tickets", "dispatched", "ended", "sweep", &["TIMEOUT"]),
    ("tickets", "dispatched", "ended", "expire", &["GONE"]),
    ("tickets", "dispatched", "ended", "deregister", &["GONE"]),
    ("tickets", "dispatched once", "dispatched once", "accept", TOLD_AGAIN),
    ("tickets", "dispatched once", "dispatched once", "sweep", TOLD_AGAIN),
    ("tickets", "dispatched once", "dispatched once", "sweep", MOVED),
    ("tickets", "dispatched once", "sent", "begin", PLAIN),
    ("tickets", "dispatched once", "sent", "sweep", MOVED),
    ("tickets", "dispatched once", "sent", "register", ANEW),
    ("tickets", "dispatched once", "ended", "sweep", &["TIMEOUT"]),
    ("tickets", "dispatched once", "ended", "expire", &["GONE"]),
    ("tickets", "dispatched once", "ended", "deregister", &["GONE"]),
    ("tickets", "sent", "sent", "accept", TOLD_AGAIN),
    ("tickets", "sent", "sent", "sweep", TOLD_AGAIN),
    ("tickets", "sent", "ended", "finish", ONCE_BROUGHT),
    ("tickets", "sent", "ended", "sweep", &["TIMEOUT", "OUTCOME_UNKNOWN"]),
    ("tickets", "sent", "ended", "register", &["OUTCOME_UNKNOWN"]),
    ("tickets", "sent", "ended", "expire", &["OUTCOME_UNKNOWN"]),
    ("tickets", "sent", "ended", "deregister", &["OUTCOME_UNKNOWN"]),
    ("tickets", "ended", "forgotten", "sweep", FORGOTTEN),
    ("tickets", "refused", "forgotten", "sweep", FORGOTTEN),
    ("owners", "nobody", "one", "register", PLAIN),
    ("owners", "one", "the same", "register", PLAIN),
    ("owners", "one", "another", "register", PLAIN),
    ("owners", "one", "another", "update", PLAIN),
    ("owners", "one", "another", "accept", PLAIN),
    ("owners", "one", "another", "finish", PLAIN),
    ("owners", "one", "another", "sweep", PLAIN),
    ("owners", "one", "nobody", "expire", PLAIN),
    ("owners", "one", "nobody", "deregister", PLAIN),
    ("stewards", "nobody", "one", "take", PLAIN),
    ("stewards", "one", "the same", "take", PLAIN),
    ("stewards", "one", "another", "take", PLAIN),
    ("members", "outside", "alive", "join", PLAIN),
    ("members", "dead", "alive", "join", PLAIN),
    ("members", "alive", "alive", "join", PLAIN),
    ("members", "ready", "alive", "join", PLAIN),
    ("members", "alive", "ready", "renew", PLAIN),
    ("members", "ready", "alive", "renew", PLAIN),
    ("members", "alive", "dead", "markdead", PLAIN),
    ("members", "ready", "dead", "markdead", PLAIN),
    ("members", "alive", "dead", "leave", PLAIN),
    ("members", "ready", "dead", "leave", PLAIN),
    ("members", "alive", "alive", "renew", &["another cuts its lease"]),
    ("members", "ready", "ready", "renew", &["another cuts its lease"]),
    ("instances", "member", "outside", "its own clock", &["at the end of its lease", "when something came after it"]),
    ("instances", "member", "outside", "a renewal", &["UNKNOWN", "DEAD", "LEASE", "another generation"]),
    ("instances", "member", "outside", "a script", &["LEASE", "GENERATION", "its counter went back"]),
    ("instances", "member", "outside", "a view", &["it is dead in it"]),
];

/// Everything that is known to be possible, in the order in which people want to read it.
pub fn known(of: &str) -> impl Iterator<Item = Transition> {
    let rows = TABLE.iter().filter(move |row| row.0 == of);
    rows.flat_map(|&(of, from, to, by, hows)| {
        hows.iter().map(move |&how| Transition {
            of,
            from,
            to,
            by,
            how,
        })
    })
}

/// A ticket as far as it was written.
struct Ticket {
    state: &'static str,
    once: bool,
    holder: Vec<u8>,
    token: Vec<u8>,
}

/// Who writes.
struct Writer<'a> {
    script: &'static str,
    /// What all keys that it writes begin with.
    base: &'a [u8],
    name: &'a [u8],
}

/// What was seen, and how everything stands.
#[derive(Default)]
pub struct Transitions {
    /// How often each happened.
    pub counts: BTreeMap<Transition, u64>,
    tickets: BTreeMap<Vec<u8>, Ticket>,
    owners: BTreeMap<Vec<u8>, Vec<u8>>,
    stewards: BTreeMap<Vec<u8>, Vec<u8>>,
    members: BTreeMap<Vec<u8>, &'static str>,
    /// Tickets that ended, or were refused, and are still remembered.
    ended: BTreeMap<Vec<u8>, &'static str>,
    /// Whose memory the script has deleted before its time was over.
    deleted: BTreeSet<Vec<u8>>,
    /// Whose holders the script has told again, as far as nothing more became of it.
    told: BTreeSet<Vec<u8>>,
}

impl Transitions {
    /// A script has written this.
    pub fn wrote(&mut self, call: &Call, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        let key = call.key.as_bytes();
        let writer = Writer {
            script: name_of(call.script),
            base: key.split_last().map_or(key, |(_, base)| base),
            name: call.caller(),
        };
        for words in records.iter().flat_map(|record| &record.commands) {
            self.take(&writer, words);
        }
        for name in std::mem::take(&mut self.told) {
            if let Some(ticket) = self.tickets.get(&name) {
                let state = ticket.state;
                self.count("tickets", state, state, writer.script, TOLD_AGAIN[0]);
            }
        }
        self.deleted.clear();
    }

    /// All of the data, each hash with its key: whatever was known before does not count any more.
    pub fn learn(&mut self, hashes: &[(Vec<u8>, Vec<Vec<u8>>)]) {
        let counts = std::mem::take(&mut self.counts);
        *self = Transitions::default();
        for (key, fields) in hashes {
            let end = key.iter().position(|&byte| byte == b'}').map_or(0, |at| at + 1);
            let nobody = Writer {
                script: "",
                base: &key[..end],
                name: &[],
            };
            self.write_hash(&nobody, &key[end..], fields);
        }
        self.counts = counts;
        self.told.clear();
    }

    /// An instance gave its membership up.
    pub fn resigned(&mut self, (by, how): (&'static str, &'static str)) {
        self.count("instances", "member", "outside", by, how);
    }

    fn count(
        &mut self,
        of: &'static str,
        from: &'static str,
        to: &'static str,
        by: &'static str,
        how: &'static str,
    ) {
        let transition = Transition {
            of,
            from,
            to,
            by,
            how,
        };
        *self.counts.entry(transition).or_default() += 1;
    }

    fn take(&mut self, writer: &Writer<'_>, words: &[impl AsRef<[u8]>]) {
        let [verb, key, rest @ ..] = words else { return };
        let Some(key) = key.as_ref().strip_prefix(writer.base) else {
            return;
        };
        match verb.as_ref() {
            b"HSET" => self.write_hash(writer, key, rest),
            b"SET" => {
                if let (Some(name), Some(body)) = (key.strip_prefix(b"t:"), rest.first()) {
                    self.end_ticket(writer, name, body.as_ref());
                }
            }
            b"DEL" if key.starts_with(b"t:") => {
                self.deleted.insert(key[2..].to_vec());
            }
            b"ZREM" if key == b"d" => {
                for name in rest {
                    self.forget(writer, name.as_ref());
                }
            }
            b"DEL" if key.starts_with(b"e:") && self.owners.remove(&key[2..]).is_some() => {
                self.count("owners", "one", "nobody", writer.script, "");
            }
            _ => {}
        }
    }

    fn write_hash(&mut self, writer: &Writer<'_>, key: &[u8], fields: &[impl AsRef<[u8]>]) {
        match key {
            b"m" => {
                if let Some(steward) = field(fields, b"st") {
                    let before = self.stewards.insert(writer.base.to_vec(), steward.to_vec());
                    self.change_hands("stewards", writer, before, steward);
                }
            }
            b"o" => self.tell_holders(fields),
            [b't', b':', name @ ..] => self.write_ticket(writer, name, fields),
            [b'e', b':', endpoint @ ..] => {
                if let Some(owner) = field(fields, b"ow") {
                    let before = self.owners.insert(endpoint.to_vec(), owner.to_vec());
                    self.change_hands("owners", writer, before, owner);
                }
            }
            [b'i', b':', id @ ..] => self.write_member(writer, id, fields),
            _ => {}
        }
    }

    fn change_hands(&mut self, of: &'static str, writer: &Writer<'_>, before: Option<Vec<u8>>, after: &[u8]) {
        let (from, to) = match before {
            None => ("nobody", "one"),
            Some(before) if before == after => ("one", "the same"),
            Some(_) => ("one", "another"),
        };
        self.count(of, from, to, writer.script, "");
    }

    fn write_ticket(&mut self, writer: &Writer<'_>, name: &[u8], fields: &[impl AsRef<[u8]>]) {
        self.told.remove(name);
        self.ended.remove(name);
        let before = self.tickets.get_mut(name);
        let Some(state) = field(fields, b"st") else {
            return;
        };
        let once = field(fields, b"cl").map(|class| class == b"n");
        let once = once
            .or(before.as_ref().map(|ticket| ticket.once))
            .unwrap_or(false);
        let state = match state {
            b"q" => "queued",
            b"s" => "sent",
            _ if once => "dispatched once",
            _ => "dispatched",
        };
        let (holder, token) = (field(fields, b"h"), field(fields, b"tk"));
        let (from, how) = match &before {
            None => ("new", ""),
            Some(ticket) => (ticket.state, ticket.moves(holder, token)),
        };
        let keep = |new: Option<&[u8]>, old: fn(&Ticket) -> &Vec<u8>| {
            let old = || before.as_deref().map(old).cloned();
            new.map(<[u8]>::to_vec).or_else(old).unwrap_or_default()
        };
        let ticket = Ticket {
            state,
            once,
            holder: keep(holder, |ticket| &ticket.holder),
            token: keep(token, |ticket| &ticket.token),
        };
        self.tickets.insert(name.to_vec(), ticket);
        self.count("tickets", from, state, writer.script, how);
    }

    fn end_ticket(&mut self, writer: &Writer<'_>, name: &[u8], body: &[u8]) {
        let outcome = outcome_of(body);
        self.told.remove(name);
        let Some(ticket) = self.tickets.remove(name) else {
            self.ended.insert(name.to_vec(), "refused");
            return self.count("tickets", "new", "refused", writer.script, outcome);
        };
        self.ended.insert(name.to_vec(), "ended");
        let outcome = match outcome {
            "an answer" if ticket.holder != writer.name => "an answer that another heard",
            outcome => outcome,
        };
        self.count("tickets", ticket.state, "ended", writer.script, outcome);
    }

    /// An entry of an exchange, `HOLDER SINCE TOLD NAME`, is written again when its holder is told again.
    fn tell_holders(&mut self, fields: &[impl AsRef<[u8]>]) {
        for entry in fields.iter().skip(1).step_by(2) {
            let mut parts = entry.as_ref().splitn(4, |byte| *byte == b' ');
            if let Some(name) = parts.nth(3) {
                self.told.insert(name.to_vec());
            }
        }
    }

    fn forget(&mut self, writer: &Writer<'_>, name: &[u8]) {
        let how = match self.deleted.contains(name) {
            true => "over the cap",
            false => "its time is over",
        };
        if let Some(from) = self.ended.remove(name) {
            self.count("tickets", from, "forgotten", writer.script, how);
        }
    }

    fn write_member(&mut self, writer: &Writer<'_>, id: &[u8], fields: &[impl AsRef<[u8]>]) {
        let before = self.members.get(id).copied().unwrap_or("outside");
        let (state, ready) = (field(fields, b"state"), field(fields, b"ready"));
        let after = match (state, ready) {
            (Some(b"d"), _) => "dead",
            (_, Some(b"1")) => "ready",
            (_, Some(_)) | (Some(_), _) => "alive",
            (None, None) if writer.script == "renew" && id != writer.name => {
                let lease = field(fields, b"lease").is_some();
                return if lease {
                    self.count("members", before, before, writer.script, "another cuts its lease");
                };
            }
            (None, None) => return,
        };
        if before != after || writer.script == "join" {
            self.members.insert(id.to_vec(), after);
            self.count("members", before, after, writer.script, "");
        }
    }
}

impl Ticket {
    /// What a dispatch changes of an exchange; nothing if there was none.
    fn moves(&self, holder: Option<&[u8]>, token: Option<&[u8]>) -> &'static str {
        let (Some(holder), Some(token)) = (holder, token) else {
            return "";
        };
        match (self.holder == holder, self.token == token) {
            _ if self.token.is_empty() => "",
            (true, true) => ANEW[0],
            (true, false) => ANEW[1],
            (false, true) => ANEW[2],
            (false, false) => ANEW[3],
        }
    }
}

fn field<'a>(fields: &'a [impl AsRef<[u8]>], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = fields.chunks_exact(2);
    pairs.find_map(|pair| (pair[0].as_ref() == name).then_some(pair[1].as_ref()))
}

fn name_of(script: Script) -> &'static str {
    match script {
        Script::Join => "join",
        Script::Renew => "renew",
        Script::MarkDead => "markdead",
        Script::Leave => "leave",
        Script::Take => "take",
        Script::Accept => "accept",
        Script::Begin => "begin",
        Script::Finish => "finish",
        Script::Peek => "peek",
        Script::Forward => "forward",
        Script::Sweep => "sweep",
        Script::Expire => "expire",
        Script::Register => "register",
        Script::Update => "update",
        Script::Deregister => "deregister",
    }
}

#[cfg(test)]
mod tests;
