//! Which loopback address a device has. On Linux all of 127.0.0.0/8 is local, so a device needs no more than a number.

use std::net::Ipv4Addr;

/// The second byte of the first device's address: 127.0.*.* stays free for everything else on the machine.
const FIRST_NETWORK: u32 = 16;

/// As many devices as have an address: 127.16.0.0 to 127.254.255.255.
pub const MAX_DEVICES: u32 = (255 - FIRST_NETWORK) << 16;

/// The address of a device, `127.(16 + high).middle.low`. `None` beyond [`MAX_DEVICES`].
pub fn address_of(device: u32) -> Option<Ipv4Addr> {
    let base = u32::from(Ipv4Addr::new(127, FIRST_NETWORK as u8, 0, 0));
    (device < MAX_DEVICES).then(|| Ipv4Addr::from(base + device))
}

/// The device that has this address. It need not exist.
pub fn device_at(address: Ipv4Addr) -> Option<u32> {
    let base = u32::from(Ipv4Addr::new(127, FIRST_NETWORK as u8, 0, 0));
    u32::from(address)
        .checked_sub(base)
        .filter(|device| *device < MAX_DEVICES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_an_address_of_its_own_outside_127_0() {
        assert_eq!(address_of(0), Some(Ipv4Addr::new(127, 16, 0, 0)));
        assert_eq!(address_of(70_000), Some(Ipv4Addr::new(127, 17, 17, 112)));
        assert_eq!(
            address_of(MAX_DEVICES - 1),
            Some(Ipv4Addr::new(127, 254, 255, 255))
        );
        assert_eq!(address_of(MAX_DEVICES), None);
        for device in [0, 1, 255, 256, 70_000, MAX_DEVICES - 1] {
            assert_eq!(address_of(device).and_then(device_at), Some(device));
        }
        assert_eq!(device_at(Ipv4Addr::LOCALHOST), None);
        assert_eq!(device_at(Ipv4Addr::new(127, 255, 0, 0)), None);
        assert_eq!(device_at(Ipv4Addr::new(10, 0, 0, 1)), None);
    }
}
