//! A device at rest takes at most 1 KiB, all of it counted: by how much the process grows. Alone in its file, so that
//! nothing else grows meanwhile.
#![cfg(target_os = "linux")]

use lwm2m::coap::{Code, Kind, Message, option};
use lwm2m::time::Time;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use simulator::fleet::{DeviceGroup, Fleet};

const DEVICES: u32 = 50_000;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells about its processes");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a process has resident memory");
    let kib: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("VmRSS is a number");
    kib * 1024
}

#[test]
fn a_registered_device_takes_less_than_a_kibibyte() {
    let before = resident();
    let group = DeviceGroup {
        count: DEVICES,
        register_rate: 1000.0,
        lifetime_s: 3600,
        ..DeviceGroup::default()
    };
    let mut fleet = Fleet::new(group.into(), Time::ZERO, ChaCha8Rng::seed_from_u64(1));
    let mut answer = Vec::new();
    while fleet.registered() < DEVICES {
        let now = fleet.next_deadline().expect("somebody is still to register");
        fleet.handle_timeout(now);
        while let Some((device, datagram)) = fleet.poll_transmit() {
            let request = Message::decode(&datagram).expect("a device sends CoAP");
            fleet.recycle(datagram);
            let mut created = Message::new(
                Kind::Acknowledgement,
                Code::CREATED,
                request.message_id,
                request.token,
            );
            created
                .options
                .push_each(option::LOCATION_PATH, ["rd", &format!("ab{device:08x}")]);
            answer.clear();
            created.encode(&mut answer);
            fleet.handle_datagram(now, device, &answer);
        }
        while fleet.poll_event().is_some() {}
    }
    let each = (resident() - before) / DEVICES as usize;
    println!("{each} bytes per device");
    assert!((64..=1024).contains(&each), "{each} bytes per device");
}
