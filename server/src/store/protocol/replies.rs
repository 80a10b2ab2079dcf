//! What scripts answer. [`PartitionAnswer`] is how every script of a partition does: a status, the partition's counter, the broker's
//! time, what the script itself has to say, and orders to the caller.

use super::orders::{Order, utf8};
use super::{BrokerTime, Generation, Malformed, Term};
use crate::member::View;
use crate::peer::PeerId;
use crate::store::{Reply, Script, Value};

/// Reads the values of a reply one after the other.
struct Reader<'a> {
    script: Script,
    reply: &'a Reply,
    next: usize,
}

impl<'a> Reader<'a> {
    fn new(script: Script, reply: &'a Reply) -> Self {
        let next = 1;
        Reader { script, reply, next }
    }

    fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed {
            what: format!("the reply of {:?}, value {}", self.script, self.next),
            expected,
            found: format!("{:?}", self.reply),
        }
    }

    fn value<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Malformed> {
        let read = self.reply.get(self.next).and_then(read);
        let read = read.ok_or_else(|| self.malformed(expected))?;
        self.next += 1;
        Ok(read)
    }

    fn integer(&mut self, expected: &'static str) -> Result<i64, Malformed> {
        self.value(expected, Value::integer)
    }

    fn unsigned(&mut self, expected: &'static str) -> Result<u64, Malformed> {
        self.value(expected, |value| u64::try_from(value.integer()?).ok())
    }

    fn time(&mut self) -> Result<BrokerTime, Malformed> {
        self.integer("the broker's time").map(BrokerTime)
    }

    fn text(&mut self, expected: &'static str) -> Result<&'a str, Malformed> {
        self.value(expected, Value::text)
    }

    /// Everything else are orders.
    fn orders(&mut self) -> Result<Vec<Order<'a>>, Malformed> {
        let mut orders = Vec::new();
        while self.reply.get(self.next).is_some() {
            let text = self.value("an order", Value::bytes)?;
            orders.push(Order::parse(text)?);
        }
        Ok(orders)
    }

    fn unknown_status<T>(&self) -> Result<T, Malformed> {
        Err(Malformed {
            what: format!("the reply of {:?}", self.script),
            expected: "a status that this version knows",
            found: self.reply.status().to_owned(),
        })
    }
}

/// Why a script of a partition did nothing.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Refusal {
    /// The lease that the call carried is over.
    Lease,
    /// The broker's memory is of a later generation.
    Generation(Generation),
    /// The caller is not the steward, or not in this term.
    Term,
}

/// The reply of a script of a partition.
#[derive(Debug)]
pub struct PartitionAnswer<'a> {
    /// Counts the scripts of the partition that had an effect; 0 if this one had none.
    pub sequence: u64,
    /// When it was executed.
    pub now: BrokerTime,
    /// Why nothing was done, or what was.
    pub body: Result<Body<'a>, Refusal>,
}

/// What a script of a partition has to say.
#[derive(Debug)]
pub struct Body<'a> {
    /// The result.
    pub result: PartitionResult<'a>,
    /// What the caller is to do.
    pub orders: Vec<Order<'a>>,
}

/// What became of a request.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Accepted {
    /// It has its outcome; a copy was said.
    Known,
    /// It is open.
    Open,
    /// It was refused.
    Refused,
    /// It is a ticket now; it waits, or somebody else was told to send it.
    Stored,
    /// It is a ticket now, and the caller is to send it.
    Own,
}

/// What a device's uplink came to.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Uplinked<'a> {
    /// It is stored, or was before: a Register's registration id.
    Registered(&'a str),
    /// It is stored, or was before.
    Done,
    /// There is no such registration.
    Unknown,
    /// It comes from another address than the device's.
    Stranger,
    /// The registration would have too many parameters.
    Crowded,
    /// The binding is none of the device's version.
    Misfit,
    /// It is stored, and came from another address than the device had.
    Moved,
}

/// What the store knows of an open exchange.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The request (JSON).
    pub request: &'a str,
    /// The message ID of the question.
    pub message_id: u16,
    /// Where the device is now.
    pub device: PeerId,
}

/// The result of each script of a partition.
#[derive(Debug)]
pub enum PartitionResult<'a> {
    /// The partition is the caller's, by the mark that it will read.
    Taken(Term),
    /// A later view gave it to somebody.
    NotTaken,
    /// Of a request.
    Accepted(Accepted),
    /// It may be sent.
    Begun,
    /// The ticket is not the caller's, or not open.
    Gone,
    /// The outcome is stored.
    Finished,
    /// An open ticket.
    Peeked(Asked<'a>),
    /// So many heard it.
    Forwarded(u64),
    /// When the next look is worth its price, and how many tickets are open.
    Swept {
        /// ms, if anything is in sight.
        wait: Option<u64>,
        /// Their number.
        open: usize,
    },
    /// When the next look is worth its price.
    Expired {
        /// ms, if anything is in sight.
        wait: Option<u64>,
    },
    /// Of an uplink.
    Uplink(Uplinked<'a>),
}

impl<'a> PartitionAnswer<'a> {
    /// Reads the reply of a script of a partition.
    pub fn parse(script: Script, reply: &'a Reply) -> Result<Self, Malformed> {
        let mut reader = Reader::new(script, reply);
        let sequence = reader.unsigned("the partition's counter")?;
        let now = reader.time()?;
        let body = match reply.status() {
            "LEASE" => Err(Refusal::Lease),
            "TERM" => Err(Refusal::Term),
            "GENERATION" => {
                let generation = reader.integer("the generation of the broker's memory")?;
                Err(Refusal::Generation(Generation(generation)))
            }
            _ => {
                let result = PartitionResult::read(&mut reader)?;
                let orders = reader.orders()?;
                Ok(Body { result, orders })
            }
        };
        Ok(PartitionAnswer { sequence, now, body })
    }
}

impl<'a> PartitionResult<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let status = reader.reply.status();
        Ok(match (reader.script, status) {
            (Script::Take, "OK") => PartitionResult::Taken(Term(reader.unsigned("the term")?)),
            (Script::Take, "VIEW") => PartitionResult::NotTaken,
            (Script::Accept, "OK") => PartitionResult::Accepted(Accepted::Stored),
            (Script::Accept, "OWN") => PartitionResult::Accepted(Accepted::Own),
            (Script::Accept, "KNOWN") => PartitionResult::Accepted(Accepted::Known),
            (Script::Accept, "OPEN") => PartitionResult::Accepted(Accepted::Open),
            (Script::Accept, "REFUSED") => PartitionResult::Accepted(Accepted::Refused),
            (Script::Begin, "OK") => PartitionResult::Begun,
            (Script::Finish, "OK") => PartitionResult::Finished,
            (Script::Begin | Script::Finish | Script::Peek, "GONE") => PartitionResult::Gone,
            (Script::Peek, "OK") => PartitionResult::Peeked(Asked {
                request: reader.text("a request")?,
                message_id: reader.value("a message ID", |value| value.integer()?.try_into().ok())?,
                device: reader.value("an address and port", |value| value.text()?.parse().ok())?,
            }),
            (Script::Forward, "OK") => PartitionResult::Forwarded(reader.unsigned("how many heard it")?),
            (Script::Sweep, "OK") => PartitionResult::Swept {
                wait: reader.wait()?,
                open: reader.value("how many are open", |value| value.integer()?.try_into().ok())?,
            },
            (Script::Expire, "OK") => PartitionResult::Expired { wait: reader.wait()? },
            (Script::Register, "OK" | "DUPLICATE") => {
                PartitionResult::Uplink(Uplinked::Registered(reader.text("a registration id")?))
            }
            (Script::Update | Script::Deregister, "OK" | "DUPLICATE") => {
                PartitionResult::Uplink(Uplinked::Done)
            }
            (Script::Update | Script::Deregister, "UNKNOWN") => PartitionResult::Uplink(Uplinked::Unknown),
            (Script::Deregister, "STRANGER") => PartitionResult::Uplink(Uplinked::Stranger),
            (Script::Update, "CROWDED") => PartitionResult::Uplink(Uplinked::Crowded),
            (Script::Update, "MISFIT") => PartitionResult::Uplink(Uplinked::Misfit),
            (Script::Update, "MOVED") => PartitionResult::Uplink(Uplinked::Moved),
            _ => return reader.unknown_status(),
        })
    }
}

impl Reader<'_> {
    /// In how many ms a look is worth its price; -1: nothing is in sight.
    fn wait(&mut self) -> Result<Option<u64>, Malformed> {
        let wait = self.integer("a time until the next look")?;
        Ok(u64::try_from(wait).ok())
    }
}

/// Why a script about members did nothing for the caller.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum NoMember {
    /// The broker does not know it, or not what it knows: it lost data.
    Unknown,
    /// This incarnation is dead.
    Dead,
    /// Its lease is over.
    Lease,
}

/// What a join came to.
#[derive(Debug)]
pub enum Joined {
    /// A new incarnation.
    Member(Box<NewMember>),
    /// Another process has the id.
    Held {
        /// Its lease ends in so many ms …
        remaining: i64,
        /// … which is then.
        lease: BrokerTime,
    },
    /// There are too many ids.
    Full,
    /// The cluster speaks another dialect.
    Dialect(String),
    /// The cluster has another number of partitions.
    Partitions(String),
    /// The data is of another layout.
    Layout(String),
    /// Those who are there go by another value.
    Parameter {
        /// Of which parameter.
        name: String,
        /// Theirs.
        found: String,
    },
}

/// What a new member is told.
#[derive(Debug)]
pub struct NewMember {
    /// Which life of its id it is.
    pub incarnation: u64,
    /// Its tag in tokens.
    pub tag: String,
    /// The end of its lease.
    pub lease_until: BrokerTime,
    /// The memory of the broker.
    pub generation: Generation,
    /// Who belongs to the cluster.
    pub view: View,
    /// For how long (ms) no registration expires.
    pub kept: u64,
}

/// What a renewal came to, for a member.
#[derive(Debug)]
pub struct Renewed {
    /// The end of its lease, if it was renewed; else no heartbeat came back for too long.
    pub lease_until: Option<BrokerTime>,
    /// The memory of the broker, if that knows of any.
    pub generation: Option<Generation>,
    /// In how many ms the first of the others' leases ends, if there are others.
    pub next_death: Option<i64>,
    /// A view that the caller does not know.
    pub view: Option<View>,
    /// For how long (ms) no registration expires.
    pub kept: u64,
}

/// The reply of a script about members: when it was executed, and what it says.
#[derive(Debug)]
pub struct ClusterAnswer<T> {
    /// When it was executed.
    pub now: BrokerTime,
    /// What it says.
    pub body: T,
}

fn view(text: &str) -> Option<View> {
    View::parse(text)
}

/// Reads the reply of a join.
pub fn joined(reply: &Reply) -> Result<ClusterAnswer<Joined>, Malformed> {
    let mut reader = Reader::new(Script::Join, reply);
    let now = reader.time()?;
    let body = match reply.status() {
        "OK" => Joined::Member(Box::new(NewMember {
            incarnation: reader.unsigned("an incarnation")?,
            tag: reader.text("a tag")?.to_owned(),
            lease_until: reader.time()?,
            generation: reader.integer("a generation").map(Generation)?,
            view: reader.value("a view", |value| view(value.text()?))?,
            kept: reader.unsigned("a time without expiry")?,
        })),
        "HELD" => Joined::Held {
            remaining: reader.integer("how long a lease lasts")?,
            lease: reader.time()?,
        },
        "FULL" => Joined::Full,
        "LAYOUT" => Joined::Layout(reader.text("a layout")?.to_owned()),
        "PARAMETER" => Joined::Parameter {
            name: reader.text("the name of a parameter")?.to_owned(),
            found: reader.text("its value")?.to_owned(),
        },
        "DIALECT" => Joined::Dialect(reader.text("a dialect")?.to_owned()),
        "PARTITIONS" => Joined::Partitions(reader.text("a number of partitions")?.to_owned()),
        _ => return reader.unknown_status(),
    };
    Ok(ClusterAnswer { now, body })
}

/// Reads the reply of a renewal.
pub fn renewed(reply: &Reply) -> Result<ClusterAnswer<Result<Renewed, NoMember>>, Malformed> {
    let mut reader = Reader::new(Script::Renew, reply);
    let now = reader.time()?;
    let body = match reply.status() {
        status @ ("OK" | "DEAF") => {
            let lease_until = reader.time()?;
            Ok(Renewed {
                lease_until: (status == "OK").then_some(lease_until),
                generation: reader.value("a generation or nothing", |value| match value.text() {
                    Some("") => Some(None),
                    _ => value.integer().map(|number| Some(Generation(number))),
                })?,
                next_death: reader.value("the next end of a lease, or nothing", |value| match value {
                    Value::Nil => Some(None),
                    value => value.integer().map(Some),
                })?,
                view: reader.value("a view or nothing", |value| match value.text()? {
                    "" => Some(None),
                    text => view(text).map(Some),
                })?,
                kept: reader.unsigned("a time without expiry")?,
            })
        }
        other => Err(no_member(other).map_or_else(|| reader.unknown_status(), Ok)?),
    };
    Ok(ClusterAnswer { now, body })
}

/// Looks at the reply of a script about members that has nothing more to say than its status.
pub fn plain(script: Script, reply: &Reply) -> Result<&str, Malformed> {
    let status = reply.status();
    if statuses(script).contains(&status) {
        return Ok(status);
    }
    Reader::new(script, reply).unknown_status()
}

fn no_member(status: &str) -> Option<NoMember> {
    match status {
        "UNKNOWN" => Some(NoMember::Unknown),
        "DEAD" => Some(NoMember::Dead),
        "LEASE" => Some(NoMember::Lease),
        _ => None,
    }
}

/// Every status with which a script can answer.
pub fn statuses(script: Script) -> &'static [&'static str] {
    match script {
        Script::Join => &[
            "DIALECT",
            "FULL",
            "HELD",
            "LAYOUT",
            "OK",
            "PARAMETER",
            "PARTITIONS",
        ],
        Script::Renew => &["DEAD", "DEAF", "LEASE", "OK", "UNKNOWN"],
        Script::MarkDead => &["DEAD", "EARLY", "LEASE", "OK", "UNKNOWN"],
        Script::Leave => &["DEAD", "LEASE", "OK", "UNKNOWN"],
        Script::Take => &["GENERATION", "LEASE", "OK", "VIEW"],
        Script::Accept => &[
            "GENERATION",
            "KNOWN",
            "LEASE",
            "OK",
            "OPEN",
            "OWN",
            "REFUSED",
            "TERM",
        ],
        Script::Begin | Script::Finish | Script::Peek => &["GENERATION", "GONE", "LEASE", "OK"],
        Script::Forward => &["GENERATION", "LEASE", "OK"],
        Script::Sweep | Script::Expire => &["GENERATION", "LEASE", "OK", "TERM"],
        Script::Register => &["DUPLICATE", "GENERATION", "LEASE", "OK"],
        Script::Update => &[
            "CROWDED",
            "DUPLICATE",
            "GENERATION",
            "LEASE",
            "MISFIT",
            "MOVED",
            "OK",
            "UNKNOWN",
        ],
        Script::Deregister => &["DUPLICATE", "GENERATION", "LEASE", "OK", "STRANGER", "UNKNOWN"],
    }
}

/// For whoever only looks on: the orders in a reply of a partition's script.
pub fn orders(script: Script, reply: &Reply) -> Vec<Order<'_>> {
    let answer = PartitionAnswer::parse(script, reply);
    let body = answer.ok().and_then(|answer| answer.body.ok());
    body.map(|body| body.orders).unwrap_or_default()
}

/// The text in a view's message.
pub fn view_of(payload: &[u8]) -> Result<View, Malformed> {
    let text = utf8("a view", payload)?;
    view(text).ok_or_else(|| Malformed {
        what: "a view".to_owned(),
        expected: "a version and a line for each id",
        found: text.to_owned(),
    })
}
