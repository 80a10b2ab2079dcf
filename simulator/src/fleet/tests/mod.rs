//! A fleet and a hand-made cluster, with a hand-held clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod moods;
mod registration;
mod requests;

use std::time::Duration;

use lwm2m::coap::{Code, Kind, Message, Token, TransmissionParameters, option};
use lwm2m::time::Time;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::{DeviceGroup, Devices, Fleet, FleetConfig};
use crate::history::{CoapCode, Event, LossReason};
use crate::operation::Method;

fn secs(secs: u64) -> Time {
    Time::from_millis(secs * 1000)
}

/// Without chance: an Update after half the lifetime of 60 s, retransmissions after 2, 6, 14 and 30 s.
fn config() -> FleetConfig {
    FleetConfig {
        update_share: 0.5..=0.5,
        separate_non_confirmable: 0.0,
        parameters: TransmissionParameters {
            ack_random_factor: 1.0,
            ..TransmissionParameters::default()
        },
        ..FleetConfig::default()
    }
}

/// The same for devices like these.
fn of(group: DeviceGroup) -> FleetConfig {
    FleetConfig {
        devices: Devices { groups: vec![group] },
        ..config()
    }
}

fn fleet(config: FleetConfig) -> Fleet {
    Fleet::new(config, Time::ZERO, ChaCha8Rng::seed_from_u64(1))
}

fn sent(fleet: &mut Fleet) -> Vec<(u32, Message)> {
    std::iter::from_fn(|| fleet.poll_transmit())
        .map(|(device, datagram)| (device, Message::decode(&datagram).unwrap()))
        .collect()
}

/// The one message that is sent now, by device 0.
fn one_sent(fleet: &mut Fleet) -> Message {
    let mut all = sent(fleet);
    assert_eq!(all.len(), 1, "{all:?}");
    let (device, message) = all.remove(0);
    assert_eq!(device, 0);
    message
}

fn events(fleet: &mut Fleet) -> Vec<Event> {
    std::iter::from_fn(|| fleet.poll_event()).collect()
}

fn deliver(fleet: &mut Fleet, now: Time, message: &Message) {
    let mut datagram = Vec::new();
    message.encode(&mut datagram);
    fleet.handle_datagram(now, 0, &datagram);
}

/// The cluster's piggybacked answer to `request`.
fn answer(request: &Message, code: Code) -> Message {
    Message::new(Kind::Acknowledgement, code, request.message_id, request.token)
}

fn created(request: &Message, id: &str) -> Message {
    let mut message = answer(request, Code::CREATED);
    message.options.push_each(option::LOCATION_PATH, ["rd", id]);
    message
}

/// A fleet of one device that was registered at time zero as `rd/00a`.
fn registered(config: FleetConfig) -> Fleet {
    let mut fleet = fleet(config);
    fleet.handle_timeout(Time::ZERO);
    let register = one_sent(&mut fleet);
    deliver(&mut fleet, Time::ZERO, &created(&register, "00a"));
    assert_eq!(fleet.registered(), 1);
    events(&mut fleet);
    fleet
}

fn queries(message: &Message) -> Vec<&str> {
    message.options.uri_query().collect::<Result<_, _>>().unwrap()
}

fn path(message: &Message) -> String {
    message
        .options
        .uri_path()
        .collect::<Result<Vec<_>, _>>()
        .unwrap()
        .join("/")
}
