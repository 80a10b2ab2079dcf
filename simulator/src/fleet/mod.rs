//! The virtual devices: thousands of LwM2M clients (OMA TS 1.1, Core and Transport) in one state machine without I/O.
//!
//! In: datagrams from the cluster and the time. Out: datagrams, [`history::Event`](crate::history::Event)s and the next
//! deadline. A device is its index. Only what makes it differ from a fresh one is stored, so that a device at rest
//! takes far less than 1 KiB; all devices share one CoAP endpoint, in which a device takes memory only while an
//! exchange is open or a received request is remembered for de-duplication.

mod address;
mod config;
mod device;
mod mood;
mod objects;
mod registration;
mod request;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use lwm2m::coap::{
    self, Code, Deduplication, FailureReason, Kind, Message, MessageLayer, RequestId, Response, SendError,
    Statistics, Token,
};
use lwm2m::time::Time;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

pub use address::{MAX_DEVICES, address_of, device_at};
pub use config::{DeviceGroup, Devices, EndpointPattern, FleetConfig, PatternError};
use device::{Device, Phase};

use crate::history::{CoapCode, Event, LossReason, instance_id};
use crate::network::Packet;

/// What a device remembers for de-duplication, at most: one message for each message ID. A device that forgot sooner would
/// execute late copies, and nobody could tell that from a fault of the cluster.
const REMEMBERED_PER_DEVICE: usize = 1 << 16;

/// All virtual devices.
pub struct Fleet {
    config: FleetConfig,
    devices: Vec<Device>,
    messages: MessageLayer<u32>,
    /// One entry per device that waits for a time of its own: registration, update, end of a back-off.
    timers: BTreeSet<(Time, u32)>,
    /// Responses that go out in a message of their own, by the time at which they do.
    delayed: BTreeMap<(Time, u64), (RequestId<u32>, Response)>,
    next_delayed: u64,
    /// Devices that hear and say nothing, and until when.
    asleep: BTreeMap<u32, Time>,
    /// The first of these times.
    next_waking: Option<Time>,
    events: VecDeque<Event>,
    /// The instance that sent the datagram which is being handled.
    hearing: Option<u32>,
    rng: ChaCha8Rng,
    registered: u32,
}

impl Fleet {
    /// A fleet whose first device registers at `start` and whose others follow at the `register_rate` of their group.
    pub fn new(config: FleetConfig, start: Time, mut rng: ChaCha8Rng) -> Self {
        let messages = MessageLayer::new(
            coap::Config {
                response_timeout: config.parameters.max_transmit_wait(),
                parameters: config.parameters.clone(),
                limits: coap::Limits {
                    remembered_per_peer: REMEMBERED_PER_DEVICE,
                    remembered: usize::MAX,
                    ..coap::Limits::default()
                },
                deduplication: Deduplication::Full,
                ..coap::Config::default()
            },
            ChaCha8Rng::from_rng(&mut rng),
        );
        let count = config.devices.count();
        let births = (0..count).map(|device| (start + config.devices.birth(device), device));
        let timers: BTreeSet<_> = births.collect();
        let mut devices: Vec<_> = (0..count).map(|_| Device::new(rng.random())).collect();
        timers
            .iter()
            .for_each(|(at, device)| devices[*device as usize].deadline = *at);
        mood::draw_traits(&config.devices, &mut devices, &mut rng);
        let forgetful = (0..).zip(&devices).filter(|(_, one)| !one.traits.deduplicates);
        let events = forgetful.map(|(device, _)| Event::DeviceForgetful {
            ep: config.devices.endpoint_name(device),
        });
        let events = events.collect();
        Fleet {
            config,
            devices,
            messages,
            timers,
            delayed: BTreeMap::new(),
            next_delayed: 0,
            asleep: BTreeMap::new(),
            next_waking: None,
            events,
            hearing: None,
            rng,
            registered: 0,
        }
    }

    /// Takes a datagram that the cluster sent to `device`. One for a device that is not there is ignored.
    pub fn handle_datagram(&mut self, now: Time, device: u32, datagram: &[u8]) {
        self.handle_datagram_from(now, device, None, datagram);
    }

    /// As [`Fleet::handle_datagram`], with the index of the instance that sent it, for the ledger.
    pub fn handle_datagram_from(&mut self, now: Time, device: u32, sender: Option<u32>, datagram: &[u8]) {
        self.hearing = sender;
        // A device that is switched off does not hear.
        let on = self
            .devices
            .get(device as usize)
            .is_some_and(|one| one.phase != Phase::Off);
        if on && !self.is_asleep(device) {
            self.messages.handle_datagram(now, device, datagram);
            self.handle_endpoint_events(now);
        }
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.wake_up(now);
        self.messages.handle_timeout(now);
        self.handle_endpoint_events(now);
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let (id, response) = entry.remove();
            self.respond(now, id, response);
        }
        while let Some(&(at, device)) = self.timers.first()
            && at <= now
        {
            self.timers.remove(&(at, device));
            self.handle_device_timeout(now, device);
        }
    }

    /// When [`Fleet::handle_timeout`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let device = self.timers.first().map(|(at, _)| *at);
        let delayed = self.delayed.first_key_value().map(|((at, _), _)| *at);
        [device, delayed, self.next_waking, self.messages.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next datagram to send to the cluster, and the device that it comes from.
    pub fn poll_transmit(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            let (device, datagram) = self.messages.poll_transmit()?;
            if !self.is_asleep(device) {
                return Some((device, datagram));
            }
            self.messages.recycle(datagram);
        }
    }

    /// Takes a datagram from the network; nobody hears it if the device has got another address.
    pub fn receive(&mut self, now: Time, packet: &Packet) {
        if let Some(device) = self.device_at(packet.device) {
            self.handle_datagram_from(now, device, packet.sender, &packet.datagram);
        }
    }

    /// The next datagram for the network.
    pub fn poll_packet(&mut self) -> Option<Packet> {
        let (device, datagram) = self.poll_transmit()?;
        let address = self.address(device);
        Some(Packet {
            device: address.expect("the fleet is no larger than its address range"),
            sender: None,
            datagram,
        })
    }

    /// Takes a sent datagram's buffer back.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.messages.recycle(buffer);
    }

    /// The next thing that happened to a device.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The endpoint client name of a device.
    pub fn name_of(&self, device: u32) -> String {
        self.config.devices.endpoint_name(device)
    }

    /// The index of the group of the device that has this address now, or had it.
    pub fn group_at(&self, address: Ipv4Addr) -> usize {
        let devices = &self.config.devices;
        let device = device_at(address).unwrap_or_default() % devices.count().max(1);
        devices.group_index(device)
    }

    /// How many devices there are.
    pub fn count(&self) -> u32 {
        self.config.devices.count()
    }

    /// How many groups they are of.
    pub fn groups(&self) -> usize {
        self.config.devices.groups.len()
    }

    /// True if a device believes to be registered.
    pub fn is_registered(&self, device: u32) -> bool {
        let device = self.devices.get(device as usize);
        device.is_some_and(|one| one.phase.is_registered())
    }

    /// How many devices believe to be registered.
    pub fn registered(&self) -> u32 {
        self.registered
    }

    /// What the devices' CoAP endpoint counted.
    pub fn statistics(&self) -> &Statistics {
        self.messages.statistics()
    }

    fn handle_endpoint_events(&mut self, now: Time) {
        while let Some(event) = self.messages.poll_event() {
            match event {
                coap::Event::Request { id, message, .. } => self.handle_request(now, id, &message),
                coap::Event::Response {
                    peer,
                    message,
                    acknowledge,
                    ..
                } => {
                    if let Some(response) = acknowledge {
                        self.messages.acknowledge_response(now, peer, response);
                    }
                    self.handle_response(now, peer, &message);
                }
                coap::Event::Failed { peer, reason, .. } => self.handle_failure(now, peer, reason),
                coap::Event::Unmatched { peer, message, .. } => self.reject_unmatched(peer, &message),
                coap::Event::Acknowledged { .. } | coap::Event::Refused { .. } => {}
            }
        }
    }

    /// A device rejects a response that it did not ask for (RFC 7252, 4.2), and ignores everything else.
    fn reject_unmatched(&mut self, device: u32, message: &Message) {
        if message.kind == Kind::Confirmable {
            self.messages.reset(device, message.message_id);
        }
    }

    fn handle_request(&mut self, now: Time, id: RequestId<u32>, message: &Message) {
        let device = id.peer;
        if self.happens(self.config.devices.group_of(device).reject) {
            self.events.push_back(Event::DeviceRejected {
                ep: self.name_of(device),
                message_id: message.message_id,
            });
            self.messages.reject(id);
            return;
        }
        let one = &mut self.devices[device as usize];
        let view = objects::View {
            now,
            device,
            config: &self.config,
            written: &mut one.written,
        };
        let mut done = request::execute(view, message);
        let nonsense =
            done.has_content_of_read() && self.happens(self.config.devices.group_of(device).nonsense);
        if nonsense {
            done.spoil(&mut self.rng);
        }
        self.events.push_back(Event::DeviceExecuted {
            ep: self.name_of(device),
            kind: done.kind,
            path: done.path,
            message_id: message.message_id,
            token: message.token.to_string(),
            argument: done.argument,
            code: CoapCode(done.response.code),
            value: done.value,
            values: done.values,
            nonsense,
            from: self.hearing.map(instance_id),
        });
        if done.update_registration && self.devices[device as usize].phase == Phase::Registered {
            self.set_deadline(device, now);
        }
        if self.devices[device as usize].traits.separate {
            self.messages.acknowledge(id);
            let at = now + self.config.separate_delay;
            self.delayed.insert((at, self.next_delayed), (id, done.response));
            self.next_delayed += 1;
        } else {
            self.respond(now, id, done.response);
        }
    }

    fn respond(&mut self, now: Time, id: RequestId<u32>, response: Response) {
        let one = &mut self.devices[id.peer as usize];
        let (message_id, traits) = (one.draw_message_id(), one.traits);
        let separate = match traits.separate && self.happens(self.config.separate_non_confirmable) {
            true => Kind::NonConfirmable,
            false => Kind::Confirmable,
        };
        let result = self.messages.respond_as(now, id, response, message_id, separate);
        if let Err(SendError::TooLong(_)) = result {
            // Short, so it can only fail because nobody waits for it any more.
            let short = Response::of(Code::INTERNAL_SERVER_ERROR);
            let _ = self.messages.respond_as(now, id, short, message_id, separate);
        }
        if !traits.deduplicates {
            self.messages.forget_answered(id.peer);
        }
    }

    /// Draws only when the outcome is open, so that what never happens takes nothing from the generator.
    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability.min(1.0))
    }

    fn draw_token(&mut self, device: u32) -> Token {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&device.to_be_bytes());
        bytes[4..].copy_from_slice(&self.rng.random::<u32>().to_be_bytes());
        Token::from(bytes)
    }

    /// Moves the device's timer.
    fn set_deadline(&mut self, device: u32, at: Time) {
        let one = &mut self.devices[device as usize];
        self.timers.remove(&(one.deadline, device));
        one.deadline = at;
        self.timers.insert((at, device));
    }

    fn enter(&mut self, device: u32, phase: Phase) {
        let one = &mut self.devices[device as usize];
        let was = one.phase.is_registered();
        one.phase = phase;
        if !phase.is_registered() {
            one.location = None;
        }
        self.registered = self.registered + u32::from(phase.is_registered()) - u32::from(was);
    }

    fn handle_failure(&mut self, now: Time, device: u32, reason: FailureReason) {
        match reason {
            FailureReason::Timeout | FailureReason::Reset | FailureReason::Refused(_) => {
                self.lose_registration(now, device, LossReason::Silence);
            }
        }
    }
}

#[cfg(test)]
mod tests;
