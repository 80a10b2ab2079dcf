//! The calls: one struct a script. The names of its fields are those of the local variables under which the script has its
//! arguments; the text in front of the script that makes them is generated from here.

use super::{BrokerTime, Class, Generation, Term};
use crate::partition::Partition;
use crate::store::{Call, Script};
use lwm2m::coap::Token;

/// A value as an argument.
pub trait Argument {
    /// Its text.
    fn text(&self) -> Vec<u8>;
}

impl<T: Argument + ?Sized> Argument for &T {
    fn text(&self) -> Vec<u8> {
        (**self).text()
    }
}

impl Argument for str {
    fn text(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument for [u8] {
    fn text(&self) -> Vec<u8> {
        self.to_vec()
    }
}

/// Nothing is the empty text; at the end of the arguments it is left out, and `nil` for Lua.
impl<T: Argument> Argument for Option<T> {
    fn text(&self) -> Vec<u8> {
        self.as_ref().map(Argument::text).unwrap_or_default()
    }
}

impl Argument for bool {
    fn text(&self) -> Vec<u8> {
        if *self { b"1".to_vec() } else { b"0".to_vec() }
    }
}

impl Argument for Class {
    fn text(&self) -> Vec<u8> {
        self.letter().into()
    }
}

macro_rules! arguments_by_display {
    ($($type:ty),+) => {$(
        impl Argument for $type {
            fn text(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        }
    )+};
}
arguments_by_display!(u32, u64, i64, usize, BrokerTime, Generation, Term, Token);

/// What a script is told beside its context.
pub trait Arguments {
    /// The script.
    const SCRIPT: Script;
    /// The names of the arguments, in order.
    const NAMES: &'static [&'static str];
    /// The arguments, in order.
    fn write(&self, arguments: &mut Vec<Vec<u8>>);
}

macro_rules! call {
    ($(#[$about:meta])* $name:ident $(<$life:lifetime>)? { $($(#[$doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name $(<$life>)? {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $(<$life>)? Arguments for $name $(<$life>)? {
            const SCRIPT: Script = Script::$name;
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            fn write(&self, arguments: &mut Vec<Vec<u8>>) {
                let own: Vec<Vec<u8>> = vec![$(self.$field.text()),*];
                arguments.extend(own);
            }
        }
    };
}

call! {
    /// A new incarnation of an id.
    Join<'a> {
        /// Tells processes with one id apart.
        nonce: &'a str,
        /// The shapes of the JSON.
        dialect: &'a str,
        /// Their number.
        partitions: u32,
        /// The highest generation that was heard of.
        known: Generation,
        /// [`super::schema::LAYOUT`]
        layout: u32,
        /// Exchanges at a time with one device.
        nstart: usize,
        /// How long (ms) outcomes are remembered.
        retention: u64,
    }
}

call! {
    /// Heartbeat and longer lease.
    Renew {
        /// The newest heartbeat that came back; 0: none on this subscription.
        heard: BrokerTime,
        /// The version of the view that is known.
        known: u64,
        /// Partitions must not be given to it.
        unready: bool,
        /// For how long (ms) no registration is to expire as far as it knows.
        kept: u64,
        /// The pair of connections.
        pair: u64,
    }
}

call! {
    /// Declares members dead whose lease is over.
    MarkDead {}
}

call! {
    /// A member goes in good order.
    Leave {}
}

call! {
    /// Stewardship of a partition.
    Take {
        /// The version of the view that says so.
        version: u64,
    }
}

call! {
    /// A request begins to exist.
    Accept<'a> {
        /// The stewardship that the caller believes in.
        term: Term,
        /// The ticket's name: the length of the endpoint, a colon, the endpoint, a colon, the ticket.
        name: &'a str,
        /// The endpoint.
        endpoint: &'a str,
        /// What names the ticket in answers.
        head: &'a str,
        /// Where it is answered; empty: on the channel of answers.
        channel: &'a str,
        /// The request, or why it is refused.
        body: &'a str,
        /// What may be done with it.
        class: Class,
        /// For how long (ms) it may be open.
        timeout: u64,
        /// Nobody repeated it, so nobody waits for a copy of what was said.
        replayed: bool,
        /// How many may wait for one device.
        queue_limit: usize,
        /// How long (ms) a refusal is remembered.
        refusal_memory: u64,
        /// A random number.
        nonce: u32,
        /// Who is alive as far as the caller knows.
        view: &'a str,
        /// How many tickets may be open in the partition, if there may be as many.
        open_limit: Option<usize>,
    }
}

call! {
    /// Right before the datagram of what may be sent once.
    Begin {
        /// The exchange.
        token: Token,
    }
}

call! {
    /// The outcome of a ticket.
    Finish<'a> {
        /// The exchange.
        token: Token,
        /// What is said of it.
        body: &'a str,
        /// It is the device's own response.
        proof: bool,
        /// A random number.
        nonce: u32,
    }
}

call! {
    /// What a token asked for.
    Peek {
        /// The exchange.
        token: Token,
    }
}

call! {
    /// A device's answer goes to the instance that waits for it.
    Forward<'a> {
        /// That instance.
        member: &'a str,
        /// [`super::orders::Order::Forward`], written down.
        datagram: &'a [u8],
    }
}

call! {
    /// Deadlines, dead holders, lost dispatches.
    Sweep<'a> {
        /// The stewardship that the caller believes in.
        term: Term,
        /// How many outcomes the partition may remember.
        retained: usize,
        /// A random number.
        nonce: u32,
        /// Who is alive as far as the caller knows.
        view: &'a str,
    }
}

call! {
    /// Lifetimes.
    Expire {
        /// The stewardship that the caller believes in.
        term: Term,
        /// The broker's time as the caller reckons it.
        reckoned: BrokerTime,
    }
}

call! {
    /// Register (LwM2M TS 1.1, 6.2.1).
    Register<'a> {
        /// The endpoint client name.
        endpoint: &'a str,
        /// The message: `KIND MID@SOURCE`.
        uplink: &'a str,
        /// The new registration id.
        id: &'a str,
        /// JSON members about the way to the device.
        way: &'a str,
        /// Seconds.
        lifetime: u32,
        /// JSON members that the device sent.
        members: &'a str,
        /// The lengths of their pieces.
        lengths: &'a str,
        /// LwM2M version.
        version: &'a str,
        /// The path before its objects.
        root: &'a str,
        /// A random number.
        nonce: u32,
    }
}

call! {
    /// Update (LwM2M TS 1.1, 6.2.2).
    Update<'a> {
        /// The registration id.
        id: &'a str,
        /// The message: `KIND MID@SOURCE`.
        uplink: &'a str,
        /// JSON members about the way to the device.
        way: &'a str,
        /// A random number.
        nonce: u32,
        /// Seconds, if it was sent.
        lifetime: Option<u32>,
        /// The path before the objects, if they were sent.
        root: Option<&'a str>,
        /// The versions of LwM2M that have the binding, if one was sent.
        versions: Option<&'a str>,
        /// The pieces of JSON that are new, as [`changes`] writes them; nothing if no parameter was sent.
        changes: Option<&'a str>,
    }
}

call! {
    /// De-register (LwM2M TS 1.1, 6.2.3).
    Deregister<'a> {
        /// The registration id.
        id: &'a str,
        /// The message: `KIND MID@SOURCE`.
        uplink: &'a str,
    }
}

/// Pieces of a registration's JSON, by their numbers ([`super::schema::piece`]), as `update` wants to hear them.
pub fn changes<'a>(pieces: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pieces.into_iter().fold(String::new(), |text, (number, piece)| {
        format!("{text}{number} {} {piece}", piece.len())
    })
}

/// What every script of a partition is told of the member that calls: one argument, which stays the same as long as its
/// lease does.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The member.
    pub me: &'a str,
    /// The end of its lease as it knows it.
    pub lease_until: BrokerTime,
    /// The memory of the broker that it speaks to.
    pub generation: Generation,
    /// Its tag in tokens, four hexadecimal digits.
    pub tag: &'a str,
    /// How long (ms) outcomes are remembered.
    pub retention: u64,
    /// Exchanges at a time with one device.
    pub nstart: usize,
}

impl Context<'_> {
    /// The argument.
    pub fn text(&self) -> String {
        let Context {
            me,
            lease_until,
            generation,
            tag,
            retention,
            nstart,
        } = self;
        format!("{me} {lease_until} {generation} {tag} {retention} {nstart}")
    }
}

/// What every script about members is told of the one that calls.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    /// The instance.
    pub id: &'a str,
    /// Which of its lives; for a join the last one.
    pub incarnation: u64,
    /// How long (ms) leases are.
    pub lease: u64,
}

/// Where the context stands in a call of a partition's script.
const CONTEXT: usize = 0;

impl Call {
    /// A call of a partition's script. `context` is what [`Context::text`] says.
    pub fn of_partition<A: Arguments>(
        id: u64,
        prefix: &str,
        partition: Partition,
        context: &str,
        call: &A,
    ) -> Call {
        let mut args = Vec::with_capacity(1 + A::NAMES.len());
        args.push(context.as_bytes().to_vec());
        call.write(&mut args);
        while args.last().is_some_and(Vec::is_empty) {
            args.pop();
        }
        Call {
            id,
            script: A::SCRIPT,
            key: partition.key(prefix),
            args,
        }
    }

    /// A call of a script about members.
    pub fn of_cluster<A: Arguments>(id: u64, prefix: &str, caller: &Caller<'_>, call: &A) -> Call {
        let mut args = vec![caller.id.text(), caller.incarnation.text(), caller.lease.text()];
        call.write(&mut args);
        Call {
            id,
            script: A::SCRIPT,
            key: format!("{prefix}{{m}}c"),
            args,
        }
    }

    /// The member or the instance that calls.
    pub fn caller(&self) -> &[u8] {
        let first = self.args.first().map_or(&[][..], Vec::as_slice);
        first.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// The same of the caller as it is by now; a call about members stays as it is.
    pub fn speak_as(&mut self, context: &str) {
        if !self.script.is_about_members() {
            self.args[CONTEXT] = context.as_bytes().to_vec();
        }
    }

    /// Whether it was executed before is not known: an accept must not make a copy that nobody asked for.
    pub fn may_be_repeated(&mut self) {
        if self.script == Script::Accept {
            self.set::<Accept<'_>>("replayed", true.text());
        }
    }

    /// Puts another value in the place of an argument.
    pub(crate) fn set<A: Arguments>(&mut self, name: &str, value: Vec<u8>) {
        let place = A::NAMES.iter().position(|known| *known == name);
        if let Some(argument) = place.and_then(|place| self.args.get_mut(CONTEXT + 1 + place)) {
            *argument = value;
        }
    }
}

/// The Lua text that gives the arguments of a script their names.
pub fn prologue(script: Script) -> String {
    let names = names(script);
    let own = if script.is_about_members() { 3 } else { 1 };
    let context = if script.is_about_members() {
        "local c = {key = KEYS[1], base = KEYS[1]:sub(1, -2), prefix = KEYS[1]:sub(1, -5), id = ARGV[1], incarnation = ARGV[2],
           lease = tonumber(ARGV[3])}
"
    } else {
        "local c = {key = KEYS[1], base = KEYS[1]:sub(1, -2), prefix = KEYS[1]:sub(1, -7), partition = '00' ..          KEYS[1]:sub(-4, -3)}
c.me, c.lease_until, c.generation, c.tag, c.retention, c.nstart =          ARGV[1]:match('^(%S+) (%d+) (%d+) (%x+) (%d+) (%d+)$')
"
    };
    if names.is_empty() {
        return context.to_owned();
    }
    let places: Vec<String> = (1..=names.len()).map(|n| format!("ARGV[{}]", own + n)).collect();
    format!(
        "{context}local {} = {}
",
        names.join(", "),
        places.join(", ")
    )
}

fn names(script: Script) -> &'static [&'static str] {
    match script {
        Script::Join => Join::NAMES,
        Script::Renew => Renew::NAMES,
        Script::MarkDead => MarkDead::NAMES,
        Script::Leave => Leave::NAMES,
        Script::Take => Take::NAMES,
        Script::Accept => Accept::NAMES,
        Script::Begin => Begin::NAMES,
        Script::Finish => Finish::NAMES,
        Script::Peek => Peek::NAMES,
        Script::Forward => Forward::NAMES,
        Script::Sweep => Sweep::NAMES,
        Script::Expire => Expire::NAMES,
        Script::Register => Register::NAMES,
        Script::Update => Update::NAMES,
        Script::Deregister => Deregister::NAMES,
    }
}
