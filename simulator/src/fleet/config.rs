//! What a fleet looks like and how it behaves: one options struct, and the pattern of the endpoint names.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use lwm2m::coap::TransmissionParameters;

use crate::scenario;

/// How the devices of a fleet are made and behave.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// How many devices.
    pub count: u32,
    /// Their names.
    pub endpoint: EndpointPattern,
    /// The registration lifetime in seconds (`lt`); a server may write another one to a device (/1/0/1).
    pub lifetime_s: u32,
    /// The binding (`b`), `U`.
    pub binding: String,
    /// The LwM2M version (`lwm2m`), `1.0` or `1.1`.
    pub version: String,
    /// New devices per second; the n-th registers n / rate after the start. Zero or less: all at once.
    pub register_rate: f64,
    /// When an Update is sent, as a share of the lifetime since the last one, drawn anew each time.
    pub update_share: RangeInclusive<f64>,
    /// The first pause after a failure; it doubles with each further one, and is shortened by up to a half at random so
    /// that a fleet does not come back in step.
    pub back_off: Duration,
    /// The longest pause.
    pub longest_back_off: Duration,
    /// The share of devices that recognise a copy of what they answered (RFC 7252, 4.5), 0 to 1.
    pub deduplicate: f64,
    /// The share of requests that a device rejects with a Reset, 0 to 1.
    pub reject: f64,
    /// The share of reads that a device answers with content that nobody can read, 0 to 1.
    pub nonsense: f64,
    /// The share of devices that acknowledge a request first and answer it later in a message of its own, 0 to 1.
    pub separate_responses: f64,
    /// The share of these messages that are NON, 0 to 1.
    pub separate_non_confirmable: f64,
    /// How much later.
    pub separate_delay: Duration,
    /// Transmission parameters of the devices.
    pub parameters: TransmissionParameters,
    /// The Unix time, in seconds, at the origin of the clock: what a device takes for the current time (/3/0/13).
    pub epoch_s: i64,
}

impl Default for FleetConfig {
    fn default() -> Self {
        FleetConfig {
            count: 1,
            endpoint: EndpointPattern::default(),
            lifetime_s: 60,
            binding: "U".to_owned(),
            version: "1.1".to_owned(),
            register_rate: 100.0,
            update_share: 0.6..=0.9,
            back_off: Duration::from_secs(1),
            longest_back_off: Duration::from_secs(60),
            deduplicate: 1.0,
            reject: 0.0,
            nonsense: 0.0,
            separate_responses: 0.0,
            separate_non_confirmable: 0.0,
            separate_delay: Duration::from_millis(200),
            parameters: TransmissionParameters::default(),
            epoch_s: 1_700_000_000,
        }
    }
}

impl FleetConfig {
    /// The fleet of a scenario; `epoch_s` is the Unix time at which the run begins.
    pub fn of(devices: &scenario::Devices, epoch_s: i64) -> Result<FleetConfig, PatternError> {
        Ok(FleetConfig {
            count: devices.count,
            endpoint: devices.endpoint.parse()?,
            lifetime_s: u32::try_from(devices.lifetime.as_secs()).unwrap_or(u32::MAX),
            register_rate: devices.register_rate,
            deduplicate: devices.deduplicate,
            reject: devices.reject,
            nonsense: devices.nonsense,
            separate_responses: devices.separate,
            separate_non_confirmable: 0.5,
            epoch_s,
            ..FleetConfig::default()
        })
    }

    /// How long after the start a device registers.
    pub(super) fn birth(&self, device: u32) -> Duration {
        if self.register_rate > 0.0 {
            Duration::try_from_secs_f64(f64::from(device) / self.register_rate).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        }
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
