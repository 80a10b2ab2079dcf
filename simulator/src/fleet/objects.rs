//! The objects of a device: Security (0), Server (1), Device (3) and Temperature (3303), one instance each. OMA TS 1.1
//! Core, appendix E, and the OMA registry for 3303.
//!
//! Values are computed; only what a server wrote is stored. Types and permitted operations come from
//! [`lwm2m::objects`].

use std::collections::BTreeMap;

use lwm2m::node::{Instance, Node, Object, Resource};
use lwm2m::objects;
use lwm2m::path::{Level, Path};
use lwm2m::time::Time;
use lwm2m::value::{Value, ValueType};

use super::{DeviceGroup, FleetConfig};

/// What a device tells about its objects when it registers.
pub(super) const REGISTERED_LINKS: &str = "</1/0>,</3/0>,</3303/0>";

/// The object that only a bootstrap server may touch.
pub(super) const SECURITY: u16 = 0;

/// The resources that a device has, by object.
const RESOURCES: [(u16, &[u16]); 3] = [
    (1, &[0, 1, 2, 3, 5, 6, 7, 8]),
    (
        3,
        &[
            0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        ],
    ),
    (3303, &[5601, 5602, 5603, 5604, 5605, 5700, 5701, 5750]),
];

/// The longest text that can be written, in bytes.
pub(super) const LONGEST_TEXT: usize = 255;

const LIFETIME: (u16, u16) = (1, 1);
const CURRENT_TIME: (u16, u16) = (3, 13);

/// What servers wrote, by object and resource. Few, so a list.
#[derive(Debug, Default)]
pub(super) struct Written(Vec<((u16, u16), Value)>);

impl Written {
    fn get(&self, key: (u16, u16)) -> Option<&Value> {
        self.0
            .iter()
            .find(|(written, _)| *written == key)
            .map(|(_, value)| value)
    }

    fn set(&mut self, key: (u16, u16), value: Value) {
        match self.0.iter_mut().find(|(written, _)| *written == key) {
            Some((_, old)) => *old = value,
            None => {
                self.0.reserve_exact(1);
                self.0.push((key, value));
            }
        }
    }
}

/// The lifetime that a server wrote, if one did.
pub(super) fn written_lifetime(written: &Written) -> Option<u32> {
    match written.get(LIFETIME) {
        Some(Value::Integer(seconds)) => u32::try_from(*seconds).ok(),
        _ => None,
    }
}

/// A device's objects at one moment.
pub(super) struct View<'a> {
    pub(super) now: Time,
    pub(super) device: u32,
    pub(super) config: &'a FleetConfig,
    pub(super) written: &'a mut Written,
}

impl View<'_> {
    /// The resources of an object, ascending; `None` if the device has no such object.
    pub(super) fn resources(object: u16) -> Option<&'static [u16]> {
        RESOURCES
            .iter()
            .find(|(id, _)| *id == object)
            .map(|(_, resources)| *resources)
    }

    /// True if there is something at this path.
    pub(super) fn has(&self, path: &Path) -> bool {
        let Some(resources) = View::resources(path.object_id()) else {
            return false;
        };
        let Some(resource) = path.resource_id() else {
            return path.instance_id().unwrap_or(0) == 0;
        };
        let index = path.resource_instance_id();
        path.instance_id() == Some(0)
            && resources.contains(&resource)
            && index.is_none_or(|index| {
                matches!(self.resource(path.object_id(), resource), Some(Resource::Multiple { values, .. }) if values.contains_key(&index))
            })
    }

    /// What a read of this path returns. Executable resources are left out of objects and instances; `None` if the path
    /// itself is one, or is not there.
    pub(super) fn read(&self, path: &Path) -> Option<Node> {
        let object = path.object_id();
        match path.level() {
            Level::Object => Some(Node::Object(Object::new(object, [self.instance(object)?]))),
            Level::Instance if path.instance_id() == Some(0) => Some(Node::Instance(self.instance(object)?)),
            Level::Instance => None,
            Level::Resource if self.has(path) => self.resource(object, path.last_id()).map(Node::Resource),
            Level::Resource => None,
            Level::ResourceInstance => match self.resource(object, path.resource_id()?)? {
                Resource::Multiple { mut values, .. } if path.instance_id() == Some(0) => {
                    Some(Node::single(path.last_id(), values.remove(&path.last_id())?))
                }
                _ => None,
            },
        }
    }

    /// Stores a value that was checked: the resource is writable and the value of its type.
    pub(super) fn write(&mut self, object: u16, resource: u16, value: Value) {
        let value = match ((object, resource), value) {
            // The clock goes on from what was written, so the difference is what is kept.
            (CURRENT_TIME, Value::Time(seconds)) => Value::Time(seconds.saturating_sub(self.clock())),
            (_, value) => value,
        };
        self.written.set((object, resource), value);
    }

    /// Forgets what was written to an object.
    pub(super) fn clear(&mut self, object: u16) {
        self.written.0.retain(|((written, _), _)| *written != object);
    }

    fn instance(&self, object: u16) -> Option<Instance> {
        let resources = View::resources(object)?
            .iter()
            .filter_map(|id| self.resource(object, *id));
        Some(Instance::new(0, resources))
    }

    fn resource(&self, object: u16, id: u16) -> Option<Resource> {
        let multiple = |values: &[i64]| Resource::Multiple {
            id,
            value_type: ValueType::Integer,
            values: (0..)
                .zip(values.iter().copied().map(Value::Integer))
                .collect::<BTreeMap<u16, Value>>(),
        };
        match (object, id) {
            (3, 6) => Some(multiple(&[1, 5])),
            (3, 7) => Some(multiple(&[3800, 5000])),
            (3, 11) => Some(multiple(&[0])),
            _ => self
                .single(object, id)
                .map(|value| Resource::Single { id, value }),
        }
    }

    fn single(&self, object: u16, id: u16) -> Option<Value> {
        if (object, id) == CURRENT_TIME {
            let difference = match self.written.get(CURRENT_TIME) {
                Some(Value::Time(seconds)) => *seconds,
                _ => 0,
            };
            return Some(Value::Time(self.clock().saturating_add(difference)));
        }
        if let Some(value) = self.written.get((object, id)) {
            return Some(value.clone());
        }
        let text = |text: &str| Some(Value::String(text.to_owned()));
        match (object, id) {
            (1, 0) => Some(Value::Integer(1)),
            (1, 1) => Some(Value::Integer(self.group().lifetime_s.into())),
            (1, 2) => Some(Value::Integer(1)),
            (1, 3) => Some(Value::Integer(60)),
            (1, 5) => Some(Value::Integer(86_400)),
            (1, 6) => Some(Value::Boolean(false)),
            (1, 7) | (3, 16) => text(&self.group().binding),
            (3, 0) => text("Virtual devices"),
            (3, 1) => text("Lightweight M2M Client"),
            // Tells devices apart, so that an answer from the wrong one shows.
            (3, 2) => Some(Value::String(self.config.devices.endpoint_name(self.device))),
            (3, 3 | 19) => text(env!("CARGO_PKG_VERSION")),
            (3, 9) => Some(Value::Integer(100 - i64::from(self.device % 100))),
            (3, 10) => Some(Value::Integer(64)),
            (3, 14) => text("+00:00"),
            (3, 15) => text("Etc/UTC"),
            (3, 17) => text("virtual"),
            (3, 18) => text("1"),
            (3, 20) => Some(Value::Integer(0)),
            (3, 21) => Some(Value::Integer(128)),
            (3303, 5601) => Some(Value::Float(LOWEST)),
            (3303, 5602) => Some(Value::Float(HIGHEST)),
            (3303, 5603) => Some(Value::Float(-40.0)),
            (3303, 5604) => Some(Value::Float(85.0)),
            (3303, 5700) => Some(Value::Float(self.temperature())),
            (3303, 5701) => text("Cel"),
            (3303, 5750) => text(""),
            _ => None,
        }
    }

    fn group(&self) -> &DeviceGroup {
        self.config.devices.group_of(self.device)
    }

    /// The Unix time in seconds, as a device knows it that nobody has told otherwise.
    fn clock(&self) -> i64 {
        let seconds = i64::try_from(self.now.as_millis() / 1000).unwrap_or(i64::MAX);
        self.config.epoch_s.saturating_add(seconds)
    }

    /// Rises by a tenth of a degree every ten seconds and falls back, each device from a start of its own.
    fn temperature(&self) -> f64 {
        let step = (u64::from(self.device) * 37 + self.now.as_millis() / 10_000) % 101;
        ((LOWEST * 10.0) + step as f64) / 10.0
    }
}

const LOWEST: f64 = 15.0;
const HIGHEST: f64 = 25.0;

/// What a server may do with a resource of a device.
pub(super) fn operations(object: u16, resource: u16) -> objects::Operations {
    objects::resource(object, resource)
        .map(|model| model.operations)
        .unwrap_or_default()
}
