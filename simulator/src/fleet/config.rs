//! What a fleet looks like and how it behaves: its groups of devices, one options struct, and the pattern of the endpoint
//! names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use lwm2m::coap::TransmissionParameters;

use crate::network::Impairment;

/// How a fleet behaves, and the devices that it has.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// The devices.
    pub devices: Devices,
    /// The LwM2M version (`lwm2m`), `1.0` or `1.1`.
    pub version: String,
    /// When an Update is sent, as a share of the lifetime since the last one, drawn anew each time.
    pub update_share: RangeInclusive<f64>,
    /// The first pause after a failure; it doubles with each further one, and is shortened by up to a half at random so
    /// that a fleet does not come back in step.
    pub back_off: Duration,
    /// The longest pause.
    pub longest_back_off: Duration,
    /// The share of responses in messages of their own that are NON, 0 to 1.
    pub separate_non_confirmable: f64,
    /// How much later than the acknowledgement they go out.
    pub separate_delay: Duration,
    /// Transmission parameters of the devices.
    pub parameters: TransmissionParameters,
    /// The Unix time, in seconds, at the origin of the clock: what a device takes for the current time (/3/0/13).
    pub epoch_s: i64,
}

/// Devices that are alike: one `[[devices]]` of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceGroup {
    /// What a load calls them; none: nothing.
    pub name: Option<String>,
    /// How many.
    pub count: u32,
    /// Their endpoint client names.
    pub endpoint: EndpointPattern,
    /// The registration lifetime in seconds (`lt`); a server may write another one to a device (/1/0/1).
    pub lifetime_s: u32,
    /// The binding (`b`), `U`.
    pub binding: String,
    /// New devices per second; the n-th of the group registers n / rate after the start. Zero or less: all at once.
    pub register_rate: f64,
    /// The share that recognises copies of what it answered (RFC 7252, 4.5), 0 to 1.
    pub deduplicate: f64,
    /// The share that acknowledges a request first and answers it later in a message of its own, 0 to 1.
    pub separate: f64,
    /// The share of requests that they reject with a Reset, 0 to 1.
    pub reject: f64,
    /// The share of reads that they answer with content that nobody can read, 0 to 1.
    pub nonsense: f64,
    /// What the network between them and the balancer does, in each direction.
    pub network: Impairment,
}

/// All devices of a fleet. A device is its number; those of the first group come first.
#[derive(Clone, Debug, PartialEq)]
pub struct Devices {
    /// At least one.
    pub groups: Vec<DeviceGroup>,
}

impl Default for FleetConfig {
    fn default() -> Self {
        FleetConfig {
            devices: Devices {
                groups: vec![DeviceGroup::default()],
            },
            version: "1.1".to_owned(),
            update_share: 0.6..=0.9,
            back_off: Duration::from_secs(1),
            longest_back_off: Duration::from_secs(60),
            separate_non_confirmable: 0.5,
            separate_delay: Duration::from_millis(200),
            parameters: TransmissionParameters::default(),
            epoch_s: 1_700_000_000,
        }
    }
}

impl Default for DeviceGroup {
    fn default() -> Self {
        DeviceGroup {
            name: None,
            count: 1,
            endpoint: EndpointPattern::default(),
            lifetime_s: 60,
            binding: "U".to_owned(),
            register_rate: 100.0,
            deduplicate: 1.0,
            separate: 0.0,
            reject: 0.0,
            nonsense: 0.0,
            network: Impairment::default(),
        }
    }
}

impl From<DeviceGroup> for FleetConfig {
    fn from(group: DeviceGroup) -> Self {
        FleetConfig {
            devices: Devices { groups: vec![group] },
            ..FleetConfig::default()
        }
    }
}

impl DeviceGroup {
    /// How long after the start the device with this place in the group registers.
    fn birth(&self, place: u32) -> Duration {
        if self.register_rate > 0.0 {
            Duration::try_from_secs_f64(f64::from(place) / self.register_rate).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        }
    }
}

impl Devices {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.groups
            .iter()
            .fold(0, |sum, group| sum.saturating_add(group.count))
    }

    /// The index of a device's group, and its place there. A number beyond all is of the last one.
    fn locate(&self, device: u32) -> (usize, u32) {
        let mut place = device;
        let last = self.groups.len() - 1;
        for (index, group) in self.groups[..last].iter().enumerate() {
            if place < group.count {
                return (index, place);
            }
            place -= group.count;
        }
        (last, place)
    }

    /// The index of a device's group.
    pub fn group_index(&self, device: u32) -> usize {
        self.locate(device).0
    }

    /// A device's group.
    pub fn group_of(&self, device: u32) -> &DeviceGroup {
        &self.groups[self.group_index(device)]
    }

    /// The index of the group that has this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.groups
            .iter()
            .position(|group| group.name.as_deref() == Some(name))
    }

    /// The endpoint client name of a device.
    pub fn endpoint_name(&self, device: u32) -> String {
        self.group_of(device).endpoint.name(device)
    }

    /// A device whose name another one before it has too, because their groups have different patterns.
    pub fn named_twice(&self) -> Option<u32> {
        let first = &self.groups[0].endpoint;
        if self.groups.iter().all(|group| group.endpoint == *first) {
            return None;
        }
        let mut names = BTreeSet::new();
        (0..self.count()).find(|&device| !names.insert(self.endpoint_name(device)))
    }

    /// The device with this endpoint client name.
    pub fn device(&self, endpoint: &str) -> Option<u32> {
        let count = self.count();
        self.groups.iter().enumerate().find_map(|(index, group)| {
            let device = group.endpoint.device(endpoint)?;
            (device < count && self.group_index(device) == index).then_some(device)
        })
    }

    /// How long after the start a device registers.
    pub(super) fn birth(&self, device: u32) -> Duration {
        let (group, place) = self.locate(device);
        self.groups[group].birth(place)
    }
}

/// Endpoint client names with the number of the device in them: `dev-{n}`, or `dev-{n:05}` with leading zeros.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointPattern {
    before: String,
    width: usize,
    after: String,
}

/// A text that is no pattern for endpoint names.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a name with the device's number in it, as `dev-{{n}}` or `dev-{{n:05}}`, found `{0}`")]
pub struct PatternError(String);

impl EndpointPattern {
    /// The name of a device.
    pub fn name(&self, device: u32) -> String {
        let mut name = String::with_capacity(self.before.len() + self.width.max(6) + self.after.len());
        name.push_str(&self.before);
        write!(name, "{device:0width$}", width = self.width).expect("a String takes every write");
        name.push_str(&self.after);
        name
    }

    /// The device with this name.
    pub fn device(&self, name: &str) -> Option<u32> {
        let device = name
            .strip_prefix(self.before.as_str())?
            .strip_suffix(self.after.as_str())?
            .parse()
            .ok()?;
        (self.name(device) == name).then_some(device)
    }
}

impl Default for EndpointPattern {
    fn default() -> Self {
        EndpointPattern {
            before: "dev-".to_owned(),
            width: 0,
            after: String::new(),
        }
    }
}

impl FromStr for EndpointPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = || PatternError(text.to_owned());
        let (before, rest) = text.split_once('{').ok_or_else(error)?;
        let (number, after) = rest.split_once('}').ok_or_else(error)?;
        let width = match number.strip_prefix('n').ok_or_else(error)?.strip_prefix(":0") {
            Some(width) => width
                .parse()
                .ok()
                .filter(|width| *width <= 10)
                .ok_or_else(error)?,
            None if number == "n" => 0,
            None => return Err(error()),
        };
        if before.contains('}') || after.contains(['{', '}']) {
            return Err(error());
        }
        Ok(EndpointPattern {
            before: before.to_owned(),
            width,
            after: after.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_devices_and_finds_them_again() {
        let plain: EndpointPattern = "dev-{n}".parse().unwrap();
        assert_eq!(
            (plain.name(7).as_str(), plain.name(12345).as_str()),
            ("dev-7", "dev-12345")
        );
        let wide: EndpointPattern = "urn:{n:05}:x".parse().unwrap();
        assert_eq!(wide.name(7), "urn:00007:x");
        assert_eq!(
            (
                wide.device("urn:00007:x"),
                wide.device("urn:7:x"),
                plain.device("dev-")
            ),
            (Some(7), None, None)
        );
    }

    #[test]
    fn numbers_go_through_all_groups_and_each_group_registers_at_its_own_rate() {
        let group = |count, endpoint: &str, register_rate| DeviceGroup {
            count,
            endpoint: endpoint.parse().unwrap(),
            register_rate,
            ..DeviceGroup::default()
        };
        let devices = Devices {
            groups: vec![
                group(2, "a-{n}", 1.0),
                group(0, "x-{n}", 1.0),
                group(3, "b-{n}", 2.0),
            ],
        };
        let names: Vec<_> = (0..devices.count()).map(|n| devices.endpoint_name(n)).collect();
        assert_eq!(names, ["a-0", "a-1", "b-2", "b-3", "b-4"]);
        let births: Vec<_> = (0..5).map(|n| devices.birth(n).as_millis()).collect();
        assert_eq!(births, [0, 1000, 0, 500, 1000]);
        let found: Vec<_> = names.iter().map(|name| devices.device(name)).collect();
        assert_eq!(found, (0..5).map(Some).collect::<Vec<_>>());
        let strangers = ["a-2", "b-1", "b-5", "x-0"].map(|name| devices.device(name));
        assert_eq!(strangers, [None; 4]);
    }

    #[test]
    fn a_text_without_a_number_is_refused_by_name() {
        for text in ["dev", "dev-{m}", "dev-{n", "{n}{n}", "{n:5}", "{n:099}"] {
            assert_eq!(
                text.parse::<EndpointPattern>(),
                Err(PatternError(text.to_owned())),
                "{text}"
            );
        }
    }
}
