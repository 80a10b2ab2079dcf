//! The names that Rust and Lua share: families of keys, fields of hashes, states, channels, letters of orders.
//!
//! Lua says `Ticket.HOLDER` where Rust says `ticket::HOLDER`; the text that a broker is given has the value in that place,
//! so a name costs nothing at run time. The short ones among them are what the store keeps many of.

use super::times;

/// Which keys and fields there are, and what they mean: grows with each change that older versions can't live with. Clusters
/// before the first that knew of layouts are of layout 1.
pub const LAYOUT: u32 = 2;

/// Declares one table for both languages.
macro_rules! table {
    ($(#[$about:meta])* $module:ident, $lua:literal: $($(#[$doc:meta])* $name:ident = $value:literal),+ $(,)?) => {
        $(#[$about])*
        pub mod $module {
            $($(#[$doc])* pub const $name: &str = $value;)+
            /// The table as Lua sees it.
            pub(super) const TABLE: (&str, &[(&str, &str)]) = ($lua, &[$((stringify!($name), $value)),+]);
        }
    };
}

table! {
    /// Keys, after what all keys of a partition (or those about members) begin with.
    key, "Key":
    /// Hash: an endpoint, by its name.
    ENDPOINT = "e:",
    /// Hash while it is open, then the text of its outcome: a ticket, by its name.
    TICKET = "t:",
    /// List: names of tickets that wait for an endpoint's turn.
    QUEUE = "q:",
    /// Hash: token to exchange.
    EXCHANGES = "o",
    /// Sorted set: names of tickets by deadline, ended ones by oblivion.
    DEADLINES = "d",
    /// Sorted set: endpoints by the time when their lifetimes may be over.
    EXPIRY = "x",
    /// String: the endpoint of a registration that ended.
    TOMBSTONE = "g:",
    /// Set: ids of members.
    IDS = "s",
    /// Hash: a member, by its id.
    MEMBER = "i:",
}

table! {
    /// The hash of a partition.
    partition, "Partition":
    /// The generation of the broker's memory in which it was written last.
    GENERATION = "gen",
    /// Counts scripts.
    SEQUENCE = "seq",
    /// The member that accepts requests.
    STEWARD = "st",
    /// Counts stewardships.
    TERM = "term",
    /// The version of the view by which it was taken.
    VIEW = "vw",
    /// With a registration id behind it: the endpoint.
    REGISTRATION = "r:",
}

table! {
    /// The hash of an endpoint.
    endpoint, "Endpoint":
    /// Registration id.
    ID = "id",
    /// When it registered (ms).
    REGISTERED = "rd",
    /// When it was heard last (ms).
    LAST_UPDATE = "lu",
    /// Lifetime (s).
    LIFETIME = "lt",
    /// JSON members about the way to the device.
    WAY = "wy",
    /// JSON members that the device sent.
    MEMBERS = "js",
    /// The lengths of their pieces.
    LENGTHS = "jl",
    /// Counts events.
    REV = "rev",
    /// Counts message IDs.
    MESSAGE_IDS = "mi",
    /// Registers served.
    REGISTERS = "dr",
    /// Updates and de-registrations served.
    UPLINKS = "du",
    /// The member that sends to it.
    OWNER = "ow",
    /// That member's tag.
    OWNER_TAG = "ot",
    /// Where it was heard last: address and port.
    SOURCE = "a",
    /// LwM2M version.
    VERSION = "vn",
    /// The path before its objects.
    ROOT = "rn",
    /// Tokens of its exchanges.
    SLOTS = "fl",
    /// How many tickets wait for their turn.
    WAITING = "ql",
}

table! {
    /// The hash of an open ticket.
    ticket, "Ticket":
    /// See [`super::State`].
    STATE = "st",
    /// JSON members that name it.
    HEAD = "hd",
    /// Where it is spoken of; empty: on the channel of answers.
    CHANNEL = "rt",
    /// The request (JSON).
    REQUEST = "rq",
    /// See [`super::Class`].
    CLASS = "cl",
    /// When it is overdue (ms).
    DEADLINE = "dl",
    /// The member that executes it.
    HOLDER = "h",
    /// The token of its exchange.
    TOKEN = "tk",
    /// The message ID of its exchange.
    MESSAGE_ID = "mi",
    /// When its exchange began (ms).
    FIRST = "f",
}

table! {
    /// The hash of the cluster.
    cluster, "Cluster":
    /// The version of the view.
    VIEW = "view",
    /// The generation of the broker's memory.
    GENERATION = "gen",
    /// When a member renewed last (ms).
    RENEWED = "renewed",
    /// Until when no registration expires (ms).
    KEEP = "keep",
    /// The number of partitions.
    PARTITIONS = "partitions",
    /// The shapes of the JSON.
    DIALECT = "dialect",
    /// [`super::LAYOUT`]
    LAYOUT = "layout",
    /// How long leases are (ms).
    LEASE = "lease",
    /// Exchanges at a time with one device.
    NSTART = "nstart",
    /// How long outcomes are remembered (ms).
    RETENTION = "retention",
    /// Counts tags.
    TAGS = "tags",
}

table! {
    /// The hash of a member, and two values of its state.
    member, "Member":
    /// Counts its lives.
    INCARNATION = "inc",
    /// Its tag in tokens.
    TAG = "tag",
    /// [`ALIVE`] or [`DEAD`].
    STATE = "state",
    /// The end of its lease (ms).
    LEASE = "lease",
    /// Since when it renews without a break (ms).
    SINCE = "since",
    /// Since when it hears (ms); 0: it does not.
    HEARD = "heard",
    /// 1 if partitions may be given to it.
    READY = "ready",
    /// Tells processes with one id apart.
    NONCE = "nonce",
    ALIVE = "a",
    DEAD = "d",
}

table! {
    /// What is done with a request.
    class, "Class":
    REPEATABLE = "r",
    ONCE = "n",
    REFUSED = "x",
}

table! {
    /// Where an open ticket is.
    state, "State":
    QUEUED = "q",
    DISPATCHED = "d",
    SENT = "s",
}

table! {
    /// The first letters of what members tell each other.
    order, "Order":
    DISPATCH = "D",
    STOP = "S",
    ANEW = "A",
    MOVED = "M",
    EXPIRY = "X",
    HEARTBEAT = "H",
    MARK = "T",
    FORWARD = "F",
    VIEW = "V",
}

table! {
    /// Channels, after the cluster's prefix.
    channel, "Channel":
    REQUESTS = "LESHAN_REQ",
    RESPONSES = "LESHAN_RESP",
    REGISTRATION_BEGINS = "LESHAN_REG_NEW",
    REGISTRATION_CHANGES = "LESHAN_REG_UP",
    REGISTRATION_ENDS = "LESHAN_REG_DEL",
    /// Views.
    MEMBERS = "lwm2m:members",
    /// With a member's name behind it: what that one is told.
    MEMBER = "lwm2m:i:",
}

table! {
    /// The pieces of a registration's JSON that an Update can replace, by their place in it.
    piece, "Piece":
    LIFETIME = "1",
    SMS = "2",
    BINDING = "4",
    LINKS = "6",
    ATTRIBUTES = "7",
    ROOT = "8",
}

const TEXTS: [(&str, &[(&str, &str)]); 11] = [
    key::TABLE,
    partition::TABLE,
    endpoint::TABLE,
    ticket::TABLE,
    cluster::TABLE,
    member::TABLE,
    class::TABLE,
    state::TABLE,
    order::TABLE,
    channel::TABLE,
    piece::TABLE,
];

/// True if Lua knows a table of this name.
pub fn is_table(name: &str) -> bool {
    name == times::TABLE.0 || TEXTS.iter().any(|(table, _)| *table == name)
}

/// What stands in the Lua text for `table.name`.
pub fn constant(table: &str, name: &str) -> Option<String> {
    if table == times::TABLE.0 {
        let mut numbers = times::TABLE.1.iter();
        return numbers.find_map(|(known, value)| (*known == name).then(|| value.to_string()));
    }
    let (_, names) = TEXTS.iter().find(|(known, _)| *known == table)?;
    let value = names.iter().find(|(known, _)| *known == name)?.1;
    Some(format!("'{value}'"))
}
