//! The objects whose resource types are known: the core objects 0–7 of OMA TS 1.1 Core, appendix E, and 3303
//! (temperature, OMA object registry). One table; everything that depends on a resource's type looks it up here.

use crate::path::Path;
use crate::value::ValueType;

/// What a server may do with a resource.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Operations {
    /// Read and Observe.
    pub read: bool,
    /// Write.
    pub write: bool,
    /// Execute.
    pub execute: bool,
}

/// One resource of a known object.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ResourceModel {
    /// Identifier within the object.
    pub id: u16,
    /// Name for people.
    pub name: &'static str,
    /// What a server may do with it. Resources with no operation are only for bootstrap.
    pub operations: Operations,
    /// Whether it has instances of its own.
    pub multiple: bool,
    /// The type of its values; a resource that is only executed has none.
    pub value_type: Option<ValueType>,
}

/// A known object.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ObjectModel {
    /// Identifier of the object.
    pub id: u16,
    /// Name for people.
    pub name: &'static str,
    /// Whether it can have more than one instance.
    pub multiple: bool,
    /// Its resources, ascending by identifier.
    pub resources: &'static [ResourceModel],
}

/// The model of object `id`, if it is known.
pub fn object(id: u16) -> Option<&'static ObjectModel> {
    OBJECTS.iter().find(|object| object.id == id)
}

/// The model of resource `id` of object `object_id`, if both are known.
pub fn resource(object_id: u16, id: u16) -> Option<&'static ResourceModel> {
    let resources = object(object_id)?.resources;
    resources
        .binary_search_by_key(&id, |resource| resource.id)
        .ok()
        .map(|place| &resources[place])
}

/// The model of the resource that `path` leads to or through, if it is known.
pub fn resource_at(path: &Path) -> Option<&'static ResourceModel> {
    resource(path.object_id(), path.resource_id()?)
}

/// The type of the values of resource `id` of object `object_id`, if it is known and holds values.
pub fn value_type(object_id: u16, id: u16) -> Option<ValueType> {
    resource(object_id, id)?.value_type
}

const NONE: Operations = Operations {
    read: false,
    write: false,
    execute: false,
};
const R: Operations = Operations { read: true, ..NONE };
const W: Operations = Operations { write: true, ..NONE };
const RW: Operations = Operations {
    read: true,
    write: true,
    execute: false,
};

/// A resource with one value.
const fn one(id: u16, name: &'static str, operations: Operations, value_type: ValueType) -> ResourceModel {
    ResourceModel {
        id,
        name,
        operations,
        multiple: false,
        value_type: Some(value_type),
    }
}

/// A resource with instances.
const fn many(id: u16, name: &'static str, operations: Operations, value_type: ValueType) -> ResourceModel {
    ResourceModel {
        id,
        name,
        operations,
        multiple: true,
        value_type: Some(value_type),
    }
}

/// A resource that is executed.
const fn executed(id: u16, name: &'static str) -> ResourceModel {
    let operations = Operations {
        execute: true,
        ..NONE
    };
    ResourceModel {
        id,
        name,
        operations,
        multiple: false,
        value_type: None,
    }
}

use ValueType::{Boolean, Float, Integer, ObjectLink, Opaque, String, Time, Unsigned};

/// All known objects, ascending by identifier.
pub const OBJECTS: &[ObjectModel] = &[
    ObjectModel {
        id: 0,
        name: "Security",
        multiple: true,
        resources: SECURITY,
    },
    ObjectModel {
        id: 1,
        name: "Server",
        multiple: true,
        resources: SERVER,
    },
    ObjectModel {
        id: 2,
        name: "Access control",
        multiple: true,
        resources: ACCESS_CONTROL,
    },
    ObjectModel {
        id: 3,
        name: "Device",
        multiple: false,
        resources: DEVICE,
    },
    ObjectModel {
        id: 4,
        name: "Connectivity monitoring",
        multiple: false,
        resources: CONNECTIVITY,
    },
    ObjectModel {
        id: 5,
        name: "Firmware update",
        multiple: false,
        resources: FIRMWARE,
    },
    ObjectModel {
        id: 6,
        name: "Location",
        multiple: false,
        resources: LOCATION,
    },
    ObjectModel {
        id: 7,
        name: "Connectivity statistics",
        multiple: false,
        resources: STATISTICS,
    },
    ObjectModel {
        id: 3303,
        name: "Temperature",
        multiple: true,
        resources: TEMPERATURE,
    },
];

const SECURITY: &[ResourceModel] = &[
    one(0, "Server URI", NONE, String),
    one(1, "Is bootstrap server", NONE, Boolean),
    one(2, "Security mode", NONE, Integer),
    one(3, "Public key or identity", NONE, Opaque),
    one(4, "Server public key", NONE, Opaque),
    one(5, "Secret key", NONE, Opaque),
    one(6, "SMS security mode", NONE, Integer),
    one(7, "SMS binding key parameters", NONE, Opaque),
    one(8, "SMS binding secret keys", NONE, Opaque),
    one(9, "Server SMS number", NONE, String),
    one(10, "Short server id", NONE, Integer),
    one(11, "Client hold-off time", NONE, Integer),
    one(12, "Bootstrap account timeout", NONE, Integer),
    one(13, "Matching type", NONE, Unsigned),
    one(14, "Server name indication", NONE, String),
    one(15, "Certificate usage", NONE, Unsigned),
    many(16, "Cipher suites", NONE, Unsigned),
    one(17, "OSCORE security mode", NONE, ObjectLink),
];

const SERVER: &[ResourceModel] = &[
    one(0, "Short server id", R, Integer),
    one(1, "Lifetime", RW, Integer),
    one(2, "Default minimum period", RW, Integer),
    one(3, "Default maximum period", RW, Integer),
    executed(4, "Disable"),
    one(5, "Disable timeout", RW, Integer),
    one(6, "Store notifications while offline", RW, Boolean),
    one(7, "Binding", RW, String),
    executed(8, "Trigger a registration update"),
    executed(9, "Trigger a bootstrap request"),
    one(10, "APN link", RW, ObjectLink),
    one(11, "TLS or DTLS alert code", R, Unsigned),
    one(12, "Last bootstrapped", R, Time),
    one(13, "Registration priority", NONE, Unsigned),
    one(14, "Initial registration delay", NONE, Unsigned),
    one(15, "Registration failure blocks others", NONE, Boolean),
    one(16, "Bootstrap on registration failure", NONE, Boolean),
    one(17, "Communication retry count", NONE, Unsigned),
    one(18, "Communication retry timer", NONE, Unsigned),
    one(19, "Communication sequence delay", NONE, Unsigned),
    one(20, "Communication sequence retry count", NONE, Unsigned),
    one(21, "Reachable by SMS trigger", RW, Boolean),
    one(22, "Preferred transport", RW, String),
    one(23, "Mute Send", RW, Boolean),
];

const ACCESS_CONTROL: &[ResourceModel] = &[
    one(0, "Object id", R, Integer),
    one(1, "Object instance id", R, Integer),
    many(2, "Access rights by server", RW, Integer),
    one(3, "Owner", RW, Integer),
];

const DEVICE: &[ResourceModel] = &[
    one(0, "Manufacturer", R, String),
    one(1, "Model number", R, String),
    one(2, "Serial number", R, String),
    one(3, "Firmware version", R, String),
    executed(4, "Reboot"),
    executed(5, "Factory reset"),
    many(6, "Available power sources", R, Integer),
    many(7, "Power source voltage", R, Integer),
    many(8, "Power source current", R, Integer),
    one(9, "Battery level", R, Integer),
    one(10, "Free memory", R, Integer),
    many(11, "Error code", R, Integer),
    executed(12, "Reset error code"),
    one(13, "Current time", RW, Time),
    one(14, "UTC offset", RW, String),
    one(15, "Time zone", RW, String),
    one(16, "Supported bindings and modes", R, String),
    one(17, "Device type", R, String),
    one(18, "Hardware version", R, String),
    one(19, "Software version", R, String),
    one(20, "Battery status", R, Integer),
    one(21, "Total memory", R, Integer),
    many(22, "Further device information", R, ObjectLink),
];

const CONNECTIVITY: &[ResourceModel] = &[
    one(0, "Network bearer", R, Integer),
    many(1, "Available network bearers", R, Integer),
    one(2, "Radio signal strength", R, Integer),
    one(3, "Link quality", R, Integer),
    many(4, "IP addresses", R, String),
    many(5, "Router IP addresses", R, String),
    one(6, "Link utilisation", R, Integer),
    many(7, "APN", R, String),
    one(8, "Cell id", R, Integer),
    one(9, "Serving mobile network code", R, Integer),
    one(10, "Serving mobile country code", R, Integer),
    one(11, "Signal to noise ratio", R, Integer),
    one(12, "Location area code", R, Integer),
    one(13, "Coverage enhancement level", R, Integer),
];

const FIRMWARE: &[ResourceModel] = &[
    one(0, "Package", W, Opaque),
    one(1, "Package URI", RW, String),
    executed(2, "Update"),
    one(3, "State", R, Integer),
    one(5, "Update result", R, Integer),
    one(6, "Package name", R, String),
    one(7, "Package version", R, String),
    many(8, "Supported protocols", R, Integer),
    one(9, "Delivery method", R, Integer),
    executed(10, "Cancel"),
    one(11, "Severity", RW, Integer),
    one(12, "Last state change", R, Time),
    one(13, "Maximum deferral", RW, Unsigned),
];

const LOCATION: &[ResourceModel] = &[
    one(0, "Latitude", R, Float),
    one(1, "Longitude", R, Float),
    one(2, "Altitude", R, Float),
    one(3, "Radius", R, Float),
    one(4, "Velocity", R, Opaque),
    one(5, "Timestamp", R, Time),
    one(6, "Speed", R, Float),
];

const STATISTICS: &[ResourceModel] = &[
    one(0, "SMS sent", R, Integer),
    one(1, "SMS received", R, Integer),
    one(2, "Data sent", R, Integer),
    one(3, "Data received", R, Integer),
    one(4, "Largest message", R, Integer),
    one(5, "Average message", R, Integer),
    executed(6, "Start"),
    executed(7, "Stop"),
    one(8, "Collection period", RW, Integer),
];

const TEMPERATURE: &[ResourceModel] = &[
    one(5518, "Timestamp", R, Time),
    one(5601, "Lowest measured value", R, Float),
    one(5602, "Highest measured value", R, Float),
    one(5603, "Lowest measurable value", R, Float),
    one(5604, "Highest measurable value", R, Float),
    executed(5605, "Reset lowest and highest measured values"),
    one(5700, "Sensor value", R, Float),
    one(5701, "Sensor unit", R, String),
    one(5750, "Application type", RW, String),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_up_a_resource_by_its_path() {
        let model = resource_at(&Path::resource_instance(3, 0, 6, 1)).unwrap();
        assert_eq!((model.name, model.multiple), ("Available power sources", true));
        assert_eq!(value_type(3303, 5700), Some(Float));
        assert_eq!(value_type(3, 4), None, "a resource that is executed has no value");
        assert_eq!(value_type(3, 999), None);
        assert_eq!(resource_at(&Path::instance(3, 0)), None);
    }

    #[test]
    fn the_table_is_sorted_so_that_binary_search_finds_every_row() {
        assert!(OBJECTS.is_sorted_by(|a, b| a.id < b.id));
        for object in OBJECTS {
            assert!(
                object.resources.is_sorted_by(|a, b| a.id < b.id),
                "object {}",
                object.id
            );
        }
    }
}
