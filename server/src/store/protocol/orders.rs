//! What members tell each other, in the reply of a script to its caller or on the channel of a member: each is a letter, a
//! line feed, and fields with line feeds between them.

use super::{BrokerTime, Class, Malformed, State, Term, replies, schema};
use crate::member::View;
use crate::partition::{Partition, token_from_hex};
use crate::peer::PeerId;
use lwm2m::coap::Token;
use lwm2m::registration::Version;

/// One of them.
#[derive(Debug)]
pub enum Order<'a> {
    /// A ticket is to be executed.
    Dispatch(Dispatch<'a>),
    /// A ticket has ended.
    Stop(Token),
    /// An exchange is dropped; it may begin again with the same token.
    Anew(Token),
    /// A device has another address.
    Moved {
        /// The exchange.
        token: Token,
        /// Where the device is now.
        device: PeerId,
    },
    /// A lifetime begins that ends before all others of a partition.
    Expiry {
        /// The partition.
        partition: Partition,
        /// When it ends, ms from now.
        in_ms: u64,
    },
    /// The member's own renewal.
    Heartbeat {
        /// When it was executed.
        at: BrokerTime,
        /// Over which pair of connections it went.
        pair: u64,
    },
    /// The requests before it may have been accepted by the partition's former steward.
    Mark {
        /// The partition.
        partition: Partition,
        /// The new stewardship.
        term: Term,
    },
    /// An answer of a device that another instance received.
    Forward {
        /// The device's address.
        source: PeerId,
        /// The datagram.
        datagram: &'a [u8],
    },
    /// Who belongs to the cluster.
    View(View),
}

/// What is to be executed, and how.
#[derive(Debug)]
pub struct Dispatch<'a> {
    /// The exchange.
    pub token: Token,
    /// The message ID of its request.
    pub message_id: u16,
    /// The device.
    pub device: PeerId,
    /// Its version of LwM2M.
    pub version: Version,
    /// The path before its objects.
    pub root: &'a str,
    /// What may be done with it.
    pub class: Class,
    /// Where it is as far as the store knows.
    pub state: State,
    /// The request (JSON).
    pub request: &'a str,
}

/// Fields of an order, one after the other.
struct Fields<'a> {
    text: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed {
            what: "what a member was told".to_owned(),
            expected,
            found: self.text.to_owned(),
        }
    }

    fn field<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, Malformed> {
        let rest = self.rest.ok_or_else(|| self.malformed(expected))?;
        let (field, rest) = match rest.split_once('\n') {
            Some((field, rest)) => (field, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        read(field).ok_or_else(|| self.malformed(expected))
    }

    fn token(&mut self) -> Result<Token, Malformed> {
        self.field("a token", token_from_hex)
    }

    fn device(&mut self) -> Result<PeerId, Malformed> {
        self.field("an address and port", |text| text.parse().ok())
    }

    fn partition(&mut self) -> Result<Partition, Malformed> {
        self.field("a partition", Partition::of_token_prefix)
    }

    fn dispatch(&mut self) -> Result<Dispatch<'a>, Malformed> {
        Ok(Dispatch {
            token: self.token()?,
            message_id: self.field("a message ID", |text| text.parse().ok())?,
            device: self.device()?,
            version: self.field("a version of LwM2M", Version::from_text)?,
            root: self.field("a root path", Some)?,
            class: self.field("a class", Class::of_letter)?,
            state: self.field("a state", State::of_letter)?,
            // A request may have line feeds of its own.
            request: self.rest.take().ok_or_else(|| self.malformed("a request"))?,
        })
    }
}

/// The text of a message that has to be one.
pub(super) fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed {
        what: what.to_owned(),
        expected: "a text in UTF-8",
        found: String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// The letter before the first line feed, and what is behind it.
fn split(payload: &[u8]) -> Option<(&str, &[u8])> {
    let end = payload.iter().position(|byte| *byte == b'\n')?;
    let letter = std::str::from_utf8(&payload[..end]).ok()?;
    Some((letter, &payload[end + 1..]))
}

impl<'a> Order<'a> {
    /// What it is for.
    pub fn kind(&self) -> OrderKind {
        match self {
            Order::Dispatch(_) => OrderKind::Dispatch,
            Order::Stop(_) => OrderKind::Stop,
            Order::Anew(_) => OrderKind::Anew,
            Order::Moved { .. } => OrderKind::Moved,
            Order::Expiry { .. } => OrderKind::Expiry,
            Order::Heartbeat { .. } => OrderKind::Heartbeat,
            Order::Mark { .. } => OrderKind::Mark,
            Order::Forward { .. } => OrderKind::Forward,
            Order::View(_) => OrderKind::View,
        }
    }

    /// Reads one.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let what = "what a member was told";
        let unknown = || Malformed {
            what: what.to_owned(),
            expected: "an order that this version knows",
            found: String::from_utf8_lossy(payload).into_owned(),
        };
        let (letter, rest) = split(payload).ok_or_else(unknown)?;
        if letter == schema::order::FORWARD {
            return Self::forward(rest).ok_or_else(unknown);
        }
        if letter == schema::order::VIEW {
            return replies::view_of(payload).map(Order::View);
        }
        let text = utf8(what, rest)?;
        let rest = Some(text);
        let mut fields = Fields { text, rest };
        Ok(match letter {
            schema::order::DISPATCH => Order::Dispatch(fields.dispatch()?),
            schema::order::STOP => Order::Stop(fields.token()?),
            schema::order::ANEW => Order::Anew(fields.token()?),
            schema::order::MOVED => Order::Moved {
                token: fields.token()?,
                device: fields.device()?,
            },
            schema::order::EXPIRY => Order::Expiry {
                partition: fields.partition()?,
                in_ms: fields.field("a time (ms)", |text| text.parse().ok())?,
            },
            schema::order::HEARTBEAT => Order::Heartbeat {
                at: fields.field("a time (ms)", |text| text.parse().ok().map(BrokerTime))?,
                pair: fields.field("a pair of connections", |text| text.parse().ok())?,
            },
            schema::order::MARK => Order::Mark {
                partition: fields.partition()?,
                term: fields.field("a term", |text| text.parse().ok().map(Term))?,
            },
            _ => return Err(unknown()),
        })
    }

    fn forward(rest: &'a [u8]) -> Option<Self> {
        let (source, datagram) = split(rest)?;
        let source = source.parse().ok()?;
        Some(Order::Forward { source, datagram })
    }
}

/// The text of an [`Order::Forward`].
pub fn forward_text(source: PeerId, datagram: &[u8]) -> Vec<u8> {
    let mut text = format!("{}\n{source}\n", schema::order::FORWARD).into_bytes();
    text.extend(datagram);
    text
}

/// What an order is for, whoever it is told.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum OrderKind {
    /// [`Order::Dispatch`]
    Dispatch,
    /// [`Order::Stop`]
    Stop,
    /// [`Order::Anew`]
    Anew,
    /// [`Order::Moved`]
    Moved,
    /// [`Order::Expiry`]
    Expiry,
    /// [`Order::Heartbeat`]
    Heartbeat,
    /// [`Order::Mark`]
    Mark,
    /// [`Order::Forward`]
    Forward,
    /// [`Order::View`]
    View,
}

impl OrderKind {
    /// What a payload begins with, for whoever only looks on.
    pub fn of(payload: &[u8]) -> Option<OrderKind> {
        Some(match split(payload)?.0 {
            schema::order::DISPATCH => OrderKind::Dispatch,
            schema::order::STOP => OrderKind::Stop,
            schema::order::ANEW => OrderKind::Anew,
            schema::order::MOVED => OrderKind::Moved,
            schema::order::EXPIRY => OrderKind::Expiry,
            schema::order::HEARTBEAT => OrderKind::Heartbeat,
            schema::order::MARK => OrderKind::Mark,
            schema::order::FORWARD => OrderKind::Forward,
            schema::order::VIEW => OrderKind::View,
            _ => return None,
        })
    }
}
