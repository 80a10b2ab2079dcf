//! The way of a datagram in the virtual world: device → network → balancer → instance, and back without the balancer.
//!
//! Whoever watches hears of each one twice: when the network takes it, with what becomes of it, and when it arrives.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{BALANCER, DEVICE_PORT, World};
use crate::network::{NetworkStats, Packet};
use crate::virtual_world::trace::Fate;

impl World {
    /// Brings datagrams to where they are due, until nothing moves any more.
    pub(super) fn move_datagrams(&mut self) {
        let now = self.now;
        while let Some(packet) = self.outside.downlink.poll(now) {
            if let Some(device) = self.outside.fleet.device_at(packet.device) {
                self.trace(|trace| trace.down(now, None, Some(device), &packet.datagram, None));
            }
            self.outside.fleet.receive(now, &packet);
        }
        while let Some(packet) = self.outside.fleet.poll_packet() {
            self.send_from_device(packet);
        }
        let cluster_now = self.cluster_now();
        while let Some(Packet { device, datagram, .. }) = self.outside.uplink.poll(now) {
            let source = SocketAddrV4::new(device, DEVICE_PORT);
            if let Some(instance) = self.outside.balancer.route(now, source) {
                let number = self.outside.fleet.device_at(device);
                self.trace(|trace| trace.up(now, number, Some(instance), &datagram, None));
                self.cluster
                    .send_datagram(cluster_now, instance, source, datagram);
            }
        }
        while let Some(ping) = self.outside.balancer.poll_transmit() {
            let datagram = ping.datagram.to_vec();
            self.cluster
                .send_datagram(cluster_now, ping.instance, BALANCER, datagram);
        }
    }

    /// An instance hands over a datagram for whoever has this address.
    pub(super) fn send_to_device(&mut self, instance: usize, device: Ipv4Addr, datagram: Vec<u8>) {
        let (now, before) = (self.now, self.outside.downlink.stats());
        let copy = self.watching.is_some().then(|| datagram.clone());
        let packet = Packet {
            device,
            sender: u32::try_from(instance).ok(),
            datagram,
        };
        self.outside.send_down(now, packet);
        if let Some(datagram) = copy {
            let fate = fate(before, self.outside.downlink.stats());
            let device = self.outside.fleet.device_at(device);
            self.trace(|trace| trace.down(now, Some(instance), device, &datagram, Some(fate)));
        }
    }

    fn send_from_device(&mut self, packet: Packet) {
        let (now, before) = (self.now, self.outside.uplink.stats());
        let copy = self.watching.is_some().then(|| packet.clone());
        self.outside.send_up(now, packet);
        if let Some(packet) = copy {
            let fate = fate(before, self.outside.uplink.stats());
            let device = self.outside.fleet.device_at(packet.device);
            self.trace(|trace| trace.up(now, device, None, &packet.datagram, Some(fate)));
        }
    }
}

/// What a network did to the one datagram that it took between two counts.
fn fate(before: NetworkStats, after: NetworkStats) -> Fate {
    let vanished = |stats: NetworkStats| stats.lost + stats.overflowed + stats.too_large;
    if vanished(after) > vanished(before) {
        Fate::Lost
    } else if after.duplicated > before.duplicated {
        Fate::Doubled
    } else {
        Fate::Carried
    }
}
