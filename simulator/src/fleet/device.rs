//! What is stored for one device, besides its timer and its CoAP exchanges.

use lwm2m::time::Time;

use super::objects::Written;

/// Where a device stands with its registration.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Switched off: its timer says when it is switched on.
    Off,
    /// Waits for the end of a pause before it registers.
    Unregistered,
    /// Sent a Register.
    Registering,
    /// Its timer says when the next Update is due.
    Registered,
    /// Sent an Update.
    Updating,
    /// Sent a De-register; its timer says from when on it may register again.
    Deregistering,
}

/// What a device is like, from the factory on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Traits {
    /// It recognises a copy of what it answered.
    pub(super) deduplicates: bool,
    /// It answers in a message of its own.
    pub(super) separate: bool,
}

impl Phase {
    /// The device believes to be registered.
    pub(super) fn is_registered(self) -> bool {
        matches!(self, Phase::Registered | Phase::Updating)
    }
}

/// A device. Small, because there may be a million of them.
pub(super) struct Device {
    /// When its timer runs out.
    pub(super) deadline: Time,
    /// The path of its registration, `rd/4711`.
    pub(super) location: Option<Box<str>>,
    /// What servers wrote to it.
    pub(super) written: Written,
    /// The next message ID.
    pub(super) message_id: u16,
    /// Failures in a row.
    pub(super) attempts: u8,
    pub(super) phase: Phase,
    /// True once it was registered.
    pub(super) known: bool,
    /// How often its NAT gave it another address.
    pub(super) address_generation: u16,
    pub(super) traits: Traits,
}

impl Device {
    pub(super) fn new(first_message_id: u16) -> Self {
        Device {
            deadline: Time::ZERO,
            location: None,
            written: Written::default(),
            message_id: first_message_id,
            attempts: 0,
            phase: Phase::Off,
            known: false,
            address_generation: 0,
            traits: Traits {
                deduplicates: true,
                separate: false,
            },
        }
    }

    pub(super) fn draw_message_id(&mut self) -> u16 {
        let id = self.message_id;
        self.message_id = id.wrapping_add(1);
        id
    }
}
