//! Bindings: the transports by which a device can be reached, and in LwM2M 1.0 also whether it sleeps.
//! OMA TS 1.0, 5.3.1.1; OMA TS 1.1 Core, 6.2.1.2.

use std::fmt;

use super::Version;

/// All bindings of LwM2M 1.0.
const OF_1_0: [&str; 6] = ["U", "UQ", "S", "SQ", "US", "UQS"];
/// The letters of a binding of LwM2M 1.1, each of which may stand in it once: UDP, MQTT, HTTP, TCP, SMS, non-IP.
const OF_1_1: &str = "UMHTSN";

/// A binding of LwM2M 1.0 or 1.1, as the device wrote it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding<'a>(&'a str);

impl<'a> Binding<'a> {
    /// The binding that `text` spells, if it is one of either version.
    pub fn parse(text: &'a str) -> Option<Self> {
        let binding = Binding(text);
        let known = binding.fits(Version::V1_0) || binding.fits(Version::V1_1);
        known.then_some(binding)
    }

    /// Whether this is a binding of `version`.
    pub fn fits(&self, version: Version) -> bool {
        match version {
            Version::V1_0 => OF_1_0.contains(&self.0),
            Version::V1_1 => {
                let once = |letter: char| self.0.matches(letter).count() == 1;
                !self.0.is_empty()
                    && self.0.len() <= OF_1_1.len()
                    && self
                        .0
                        .chars()
                        .all(|letter| OF_1_1.contains(letter) && once(letter))
            }
        }
    }

    /// As the device wrote it.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Whether it says that the device sleeps, as bindings of LwM2M 1.0 can.
    pub fn has_queue_mode(&self) -> bool {
        self.0.contains('Q')
    }
}

/// UDP, the binding of a device that names none.
impl Default for Binding<'_> {
    fn default() -> Self {
        Binding("U")
    }
}

impl fmt::Display for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
