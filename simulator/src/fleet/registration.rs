//! The client's side of the registration interface (OMA TS 1.1 Core, 6.2; Transport, 6.4.3): Register, Update at a share
//! of the lifetime, and what to do when they fail.

use std::time::Duration;

use lwm2m::coap::{Code, Kind, Message, option};
use lwm2m::format::ContentFormat;
use lwm2m::time::Time;
use rand::RngExt;

use super::device::Phase;
use super::{Fleet, objects};
use crate::history::{CoapCode, Event, LossReason};

/// The path that devices register at.
const REGISTRATION_PATH: &str = "rd";

/// A longer Location-Path is not accepted: it would be kept for every device.
const LONGEST_LOCATION: usize = 255;

impl Fleet {
    /// The device's own timer ran out.
    pub(super) fn handle_device_timeout(&mut self, now: Time, device: u32) {
        match self.devices[device as usize].phase {
            Phase::Off | Phase::Unregistered => self.send_register(now, device),
            Phase::Registered => self.send_update(now, device),
            // The exchange has its own timers.
            Phase::Registering | Phase::Updating | Phase::Deregistering => {}
        }
    }

    fn lifetime_s(&self, device: u32) -> u32 {
        let written = objects::written_lifetime(&self.devices[device as usize].written);
        written.unwrap_or(self.config.devices.group_of(device).lifetime_s)
    }

    fn send_register(&mut self, now: Time, device: u32) {
        let lifetime = self.lifetime_s(device);
        let mut message = self.new_post(device);
        message.options.push_uri_path(REGISTRATION_PATH);
        message
            .options
            .push_uint(option::CONTENT_FORMAT, ContentFormat::Link.number().into());
        let queries = [
            format!("ep={}", self.name_of(device)),
            format!("lt={lifetime}"),
            format!("lwm2m={}", self.config.version),
            format!("b={}", self.config.devices.group_of(device).binding),
        ];
        message.options.push_each(option::URI_QUERY, queries);
        message.payload = objects::REGISTERED_LINKS.into();
        self.enter(device, Phase::Registering);
        self.send(now, device, message);
    }

    fn send_update(&mut self, now: Time, device: u32) {
        let mut message = self.new_post(device);
        let one = &self.devices[device as usize];
        message
            .options
            .push_uri_path(one.location.as_deref().unwrap_or_default());
        if let Some(lifetime) = objects::written_lifetime(&one.written) {
            message
                .options
                .push(option::URI_QUERY, format!("lt={lifetime}").as_bytes());
        }
        self.enter(device, Phase::Updating);
        self.send(now, device, message);
    }

    pub(super) fn send_deregister(&mut self, now: Time, device: u32, location: &str) {
        let mut message = self.new_request(device, Code::DELETE);
        message.options.push_uri_path(location);
        self.enter(device, Phase::Deregistering);
        self.send(now, device, message);
    }

    fn new_post(&mut self, device: u32) -> Message {
        self.new_request(device, Code::POST)
    }

    fn new_request(&mut self, device: u32, method: Code) -> Message {
        let token = self.draw_token(device);
        let message_id = self.devices[device as usize].draw_message_id();
        Message::new(Kind::Confirmable, method, message_id, token)
    }

    fn send(&mut self, now: Time, device: u32, message: Message) {
        // Refused only while far too many separate responses of this device are unacknowledged: as good as a lost datagram.
        if self.messages.send_request(now, device, message).is_err() {
            self.lose_registration(now, device, LossReason::Silence);
        }
    }

    /// The cluster answered a Register or an Update.
    pub(super) fn handle_response(&mut self, now: Time, device: u32, message: &Message) {
        let phase = self.devices[device as usize].phase;
        match (phase, message.code) {
            (Phase::Registering, Code::CREATED) => match location(message) {
                Some(path) => self.created(now, device, path),
                None => self.refused(now, device, message),
            },
            (Phase::Updating, Code::CHANGED) => {
                self.events.push_back(Event::DeviceUpdated {
                    ep: self.name_of(device),
                    after_us: self.since_due(now, device),
                });
                self.settle(now, device);
            }
            (Phase::Updating, Code::NOT_FOUND) => {
                self.lost_event(now, device, LossReason::NotFound);
                self.enter(device, Phase::Unregistered);
                self.set_deadline(device, now);
            }
            // Whatever the cluster says, the device is gone. What answers an Update before it says nothing.
            (Phase::Deregistering, Code::CHANGED) => {}
            (Phase::Deregistering, _) => {
                self.enter(device, Phase::Unregistered);
                let at = self.devices[device as usize].deadline.max(now);
                self.set_deadline(device, at);
            }
            (Phase::Registering | Phase::Updating, _) => self.refused(now, device, message),
            (Phase::Off | Phase::Unregistered | Phase::Registered, _) => {}
        }
    }

    fn created(&mut self, now: Time, device: u32, path: String) {
        let registration = path.strip_prefix("rd/").unwrap_or(&path).to_owned();
        let one = &mut self.devices[device as usize];
        let again = std::mem::replace(&mut one.known, true);
        one.location = Some(path.into_boxed_str());
        self.events.push_back(Event::DeviceRegistered {
            ep: self.name_of(device),
            registration,
            again,
            after_us: self.since_due(now, device),
        });
        self.settle(now, device);
    }

    /// All is well until the next Update.
    fn settle(&mut self, now: Time, device: u32) {
        self.enter(device, Phase::Registered);
        self.devices[device as usize].attempts = 0;
        let lifetime = f64::from(self.lifetime_s(device));
        let (start, end) = (*self.config.update_share.start(), *self.config.update_share.end());
        let share = self.rng.random_range(start..=end.max(start));
        let pause = Duration::try_from_secs_f64(lifetime * share).unwrap_or(Duration::ZERO);
        self.set_deadline(device, now + pause);
    }

    /// An error other than "no such registration": the same again after a pause, which a 5.03 may lengthen by its
    /// Max-Age (RFC 7252, 5.9.3.4).
    fn refused(&mut self, now: Time, device: u32, message: &Message) {
        let updating = self.devices[device as usize].phase == Phase::Updating;
        self.events.push_back(Event::DeviceRefused {
            ep: self.name_of(device),
            update: updating,
            code: CoapCode(message.code),
            after_us: self.since_due(now, device),
        });
        self.enter(
            device,
            if updating {
                Phase::Registered
            } else {
                Phase::Unregistered
            },
        );
        let wanted = message
            .options
            .get_uint(option::MAX_AGE)
            .filter(|_| message.code == Code::SERVICE_UNAVAILABLE);
        let wanted = Duration::from_secs(wanted.unwrap_or(0).into()).min(self.config.longest_back_off);
        let pause = self.draw_back_off(device).max(wanted);
        self.set_deadline(device, now + pause);
    }

    /// No answer came: whatever the device believed about its registration, it starts anew after a pause.
    pub(super) fn lose_registration(&mut self, now: Time, device: u32, reason: LossReason) {
        match self.devices[device as usize].phase {
            Phase::Registered | Phase::Updating => self.lost_event(now, device, reason),
            Phase::Registering => self.events.push_back(Event::DeviceUnanswered {
                ep: self.name_of(device),
                after_us: self.since_due(now, device),
            }),
            Phase::Off | Phase::Unregistered | Phase::Deregistering => {}
        }
        self.enter(device, Phase::Unregistered);
        let pause = self.draw_back_off(device);
        self.set_deadline(device, now + pause);
    }

    fn lost_event(&mut self, now: Time, device: u32, reason: LossReason) {
        self.events.push_back(Event::DeviceLostRegistration {
            ep: self.name_of(device),
            reason,
            after_us: self.since_due(now, device),
        });
    }

    /// How long ago the Register or the Update was due whose exchange is open: its timer was not set since.
    fn since_due(&self, now: Time, device: u32) -> u64 {
        (now - self.devices[device as usize].deadline).as_micros() as u64
    }

    fn draw_back_off(&mut self, device: u32) -> Duration {
        let one = &mut self.devices[device as usize];
        let doublings = u32::from(one.attempts).min(31);
        one.attempts = one.attempts.saturating_add(1);
        let pause = self
            .config
            .back_off
            .saturating_mul(1 << doublings)
            .min(self.config.longest_back_off);
        pause.mul_f64(self.rng.random_range(0.5..=1.0))
    }
}

/// The path in a 2.01, if it has a usable one.
fn location(message: &Message) -> Option<String> {
    let segments = message
        .options
        .texts(option::LOCATION_PATH)
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let path = segments.join("/");
    let plain = segments
        .iter()
        .all(|segment| !segment.is_empty() && !segment.contains('/'));
    (!path.is_empty() && plain && path.len() <= LONGEST_LOCATION).then_some(path)
}
