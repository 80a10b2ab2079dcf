//! The history of one ticket (or of one device's registration) as seen from inside the cluster.
//!
//! In: everything that a watched world does. Out: the lines of a time-space diagram, those that concern the ticket: they
//! carry its name, or the token of its exchange, or a message ID that was seen together with that token.

use std::time::Duration;

use lwm2m::coap::{Code, Kind, Message};
use lwm2m::time::Time;
use server::partition::Partition;
use server::store::{Call, Reply};

use crate::dialect::Channel;
use crate::dialect::glance::contains;
use crate::fault::FaultKind;
use crate::history::instance_id;

/// Lines kept; a ticket that has more repeats itself.
const MAX_LINES: usize = 2000;
/// The longest text of a line.
const MAX_TEXT: usize = 90;

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lane {
    /// The back end.
    BackEnd,
    /// An instance, by its index.
    Instance(usize),
    /// The broker.
    Broker,
    /// The device.
    Device,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When, on the run's clock.
    pub at: Time,
    /// Where it comes from.
    pub from: Lane,
    /// Where it goes; the same lane for what happens in one place.
    pub to: Lane,
    /// What.
    pub text: String,
}

/// What the network did to a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It goes its way.
    Carried,
    /// It is lost.
    Lost,
    /// It goes twice.
    Doubled,
}

/// What is looked for, and what was seen of it.
pub struct Trace {
    endpoint: String,
    ticket: String,
    /// The device's number.
    device: Option<u32>,
    /// Tokens of the ticket's exchanges; registration ids if the device itself is looked at.
    words: Vec<String>,
    message_ids: Vec<u16>,
    /// What the cluster's clock shows at the start of the run.
    pub origin: Duration,
    state: String,
    lines: Vec<Line>,
}

impl Trace {
    /// A trace of a ticket; of the device's registration if the ticket is empty.
    pub fn new(endpoint: &str, ticket: &str, device: Option<u32>) -> Trace {
        Trace {
            endpoint: endpoint.to_owned(),
            ticket: ticket.to_owned(),
            device,
            words: Vec::new(),
            message_ids: Vec::new(),
            origin: Duration::ZERO,
            state: String::new(),
            lines: Vec::new(),
        }
    }

    /// What was seen, in the order of time.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = self.lines.clone();
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// The key of the ticket's journal entry, from that of its partition; none for a registration.
    pub fn journal_key(&self, partition_key: &str) -> Option<String> {
        let own = format!("{{p{}}}m", Partition::of(&self.endpoint));
        let base = partition_key
            .strip_suffix('m')
            .filter(|_| partition_key.ends_with(&own))?;
        let (endpoint, ticket) = (&self.endpoint, &self.ticket);
        (!ticket.is_empty()).then(|| format!("{base}t:{}:{endpoint}:{ticket}", endpoint.len()))
    }

    fn concerns(&self, text: &[u8]) -> bool {
        let named = if self.ticket.is_empty() {
            contains(text, &format!("\"ep\":\"{}\"", self.endpoint)) || text == self.endpoint.as_bytes()
        } else {
            contains(text, &self.ticket)
        };
        named || self.words.iter().any(|word| contains(text, word))
    }

    fn add(&mut self, at: Time, from: Lane, to: Lane, text: impl Into<String>) {
        if self.lines.len() < MAX_LINES {
            let text: String = text.into();
            let text = text.chars().take(MAX_TEXT).collect();
            self.lines.push(Line { at, from, to, text });
        }
    }

    fn add_inside(&mut self, at: Time, from: Lane, to: Lane, text: impl Into<String>) {
        self.add(at - self.origin, from, to, text);
    }

    fn shorten(&self, text: &[u8]) -> String {
        shorten(text, &self.endpoint, &self.ticket)
    }

    fn learn(&mut self, word: &str) {
        if !word.is_empty() && !self.words.iter().any(|known| known == word) {
            self.words.push(word.to_owned());
        }
    }

    /// A script is about to be executed.
    pub fn called(&mut self, now: Time, call: &Call) {
        if call.args.iter().any(|argument| self.concerns(argument)) {
            let caller = lane_of(&String::from_utf8_lossy(call.caller()));
            self.add_inside(
                now,
                caller,
                Lane::Broker,
                format!("{:?}", call.script).to_lowercase(),
            );
        }
    }

    /// Something was published.
    pub fn published(&mut self, now: Time, channel: &[u8], payload: &[u8]) {
        if !self.concerns(payload) {
            return;
        }
        if self.ticket.is_empty()
            && let Some(id) = member_of(payload, "regId")
        {
            self.learn(&id);
        }
        if Channel::of(channel) == Some(Channel::Request) {
            return; // the back end's own line says it
        }
        let channel = String::from_utf8_lossy(channel).into_owned();
        self.add_inside(
            now,
            Lane::Broker,
            Lane::Broker,
            format!("{channel}: {}", self.shorten(payload)),
        );
    }

    /// A script has answered.
    pub fn answered(&mut self, now: Time, call: &Call, status: &str, reply: &Result<Reply, String>) {
        let concerned = call.args.iter().any(|argument| self.concerns(argument));
        let text = match reply {
            Err(error) => Some(format!("refused: {error}")),
            Ok(_) if !["OK", "OWN"].contains(&status) => {
                Some(format!("{:?}: {status}", call.script).to_lowercase())
            }
            Ok(_) => None,
        };
        if let Some(text) = text.filter(|_| concerned) {
            self.add_inside(now, Lane::Broker, Lane::Broker, text);
        }
    }

    /// How the journal has the ticket after a script: its state, holder and token.
    pub fn journal(
        &mut self,
        now: Time,
        state: Option<String>,
        holder: Option<String>,
        token: Option<String>,
    ) {
        if let Some(token) = &token {
            self.learn(token);
        }
        let text = match state.as_deref() {
            None if self.state.is_empty() => return,
            None => "the ticket has ended".to_owned(),
            Some("q") => "the ticket waits in the queue".to_owned(),
            Some(state) => {
                let sent = if state == "s" { "sent" } else { "dispatched" };
                let (holder, token) = (holder.unwrap_or_default(), token.unwrap_or_default());
                format!("the ticket is {sent}: {holder} holds it, token {token}")
            }
        };
        if text != self.state {
            self.add_inside(now, Lane::Broker, Lane::Broker, text.clone());
            self.state = if state.is_some() { text } else { String::new() };
        }
    }

    /// A reply or a message reaches an instance, or the back end.
    pub fn arrives(&mut self, now: Time, to: Lane, text: &[u8]) {
        if self.concerns(text) {
            self.add_inside(now, Lane::Broker, to, format!("reads {}", self.shorten(text)));
        }
    }

    /// The back end publishes.
    pub fn publishes(&mut self, now: Time, text: &str) {
        if self.concerns(text.as_bytes()) {
            self.add(
                now,
                Lane::BackEnd,
                Lane::Broker,
                format!("publishes {}", self.shorten(text.as_bytes())),
            );
        }
    }

    /// A datagram leaves an instance for a device, or arrives there (`fate` is none).
    pub fn down(
        &mut self,
        now: Time,
        from: Option<usize>,
        device: Option<u32>,
        data: &[u8],
        fate: Option<Fate>,
    ) {
        if let Some(text) = self.datagram(device, data) {
            let from = from.map_or(Lane::Device, Lane::Instance);
            let to = if fate == Some(Fate::Lost) {
                from
            } else {
                Lane::Device
            };
            self.add(now, from, to, with_fate(text, fate));
        }
    }

    /// A datagram leaves a device (to no instance yet), or the balancer brings it to one.
    pub fn up(&mut self, now: Time, device: Option<u32>, to: Option<usize>, data: &[u8], fate: Option<Fate>) {
        if let Some(text) = self.datagram(device, data) {
            let to = to.map_or(Lane::Device, Lane::Instance);
            self.add(now, Lane::Device, to, with_fate(text, fate));
        }
    }

    /// A fault strikes.
    pub fn fault(&mut self, now: Time, instances: &[usize], action: FaultKind) {
        let text = format!("*** {action}");
        if instances.is_empty() {
            self.add(now, Lane::Device, Lane::Device, text.clone());
        }
        for &instance in instances {
            self.add(
                now,
                Lane::Instance(instance),
                Lane::Instance(instance),
                text.clone(),
            );
        }
    }

    /// What a datagram says, if it concerns the ticket.
    fn datagram(&mut self, device: Option<u32>, data: &[u8]) -> Option<String> {
        let message = Message::decode(data)
            .ok()
            .filter(|_| device.is_some() && self.device == device)?;
        let token = message.token.to_string();
        let of_exchange = self.words.contains(&token);
        let of_device = self.ticket.is_empty() && (message.code.is_request() || message.code.is_response());
        if (of_exchange || of_device) && !self.message_ids.contains(&message.message_id) {
            self.message_ids.push(message.message_id);
        }
        let concerned = of_exchange || of_device || self.message_ids.contains(&message.message_id);
        concerned.then(|| describe(&message))
    }
}

fn describe(message: &Message) -> String {
    let kind = match message.kind {
        Kind::Confirmable => "CON",
        Kind::NonConfirmable => "NON",
        Kind::Acknowledgement => "ACK",
        Kind::Reset => "RST",
    };
    let id = message.message_id;
    if message.code == Code::EMPTY {
        return format!("{kind} mid {id}");
    }
    let code = match u8::from(message.code) {
        1 => "GET".to_owned(),
        2 => "POST".to_owned(),
        3 => "PUT".to_owned(),
        4 => "DELETE".to_owned(),
        _ => message.code.to_string(),
    };
    let path: String = message
        .options
        .uri_path()
        .flatten()
        .map(|part| format!("/{part}"))
        .collect();
    format!("{kind} {code} {path} mid {id} token {}", message.token)
}

fn with_fate(text: String, fate: Option<Fate>) -> String {
    match fate {
        Some(Fate::Lost) => format!("{text}  (lost)"),
        Some(Fate::Doubled) => format!("{text}  (twice)"),
        Some(Fate::Carried) => text,
        None => format!("arrives: {text}"),
    }
}

/// A message in one line: JSON without what is known anyway, orders with their fields.
fn shorten(text: &[u8], endpoint: &str, ticket: &str) -> String {
    let text = String::from_utf8_lossy(text);
    let known = [
        format!("\"ep\":\"{endpoint}\","),
        format!("\"ticket\":\"{ticket}\","),
    ];
    let text = known
        .iter()
        .fold(text.into_owned(), |text, part| text.replace(part, ""));
    text.replace('\n', " ")
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

fn member_of(json: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(json);
    let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next().map(str::to_owned)
}

/// The lane of an instance, from the name of a member or its id.
fn lane_of(member: &str) -> Lane {
    let id = member.split('#').next().unwrap_or(member);
    let index = (0..64).find(|&index| instance_id(index) == id);
    index.map_or(Lane::Broker, |index| Lane::Instance(index as usize))
}
