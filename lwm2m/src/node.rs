//! The nodes of the resource tree with their values: what a read returns and a write carries.
//! OMA TS 1.1 Core, 7.1 (resource model). Maps are ordered, so that output is the same on every run.

use std::collections::BTreeMap;

use crate::path::{Level, Path};
use crate::value::{Value, ValueType};

/// One node of the tree, with everything below it.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A resource, or one instance of a multiple resource, which is a single resource whose id is the last of its path.
    Resource(Resource),
    /// An object instance.
    Instance(Instance),
    /// An object.
    Object(Object),
}

/// A resource with its value or values.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// One value.
    Single {
        /// Identifier of the resource.
        id: u16,
        /// What it holds.
        value: Value,
    },
    /// Values by resource instance.
    Multiple {
        /// Identifier of the resource.
        id: u16,
        /// The type of all its values; it also types the resource when it has none.
        value_type: ValueType,
        /// The resource instances; each value is of `value_type`.
        values: BTreeMap<u16, Value>,
    },
}

/// An object instance with its resources.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Instance {
    /// Identifier of the instance.
    pub id: u16,
    /// Its resources by identifier, which is also each resource's own.
    pub resources: BTreeMap<u16, Resource>,
}

/// An object with its instances.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Object {
    /// Identifier of the object.
    pub id: u16,
    /// Its instances by identifier, which is also each instance's own.
    pub instances: BTreeMap<u16, Instance>,
}

impl Resource {
    /// Identifier of the resource.
    pub fn id(&self) -> u16 {
        match self {
            Resource::Single { id, .. } | Resource::Multiple { id, .. } => *id,
        }
    }

    /// Type of its value or values.
    pub fn value_type(&self) -> ValueType {
        match self {
            Resource::Single { value, .. } => value.value_type(),
            Resource::Multiple { value_type, .. } => *value_type,
        }
    }
}

impl Instance {
    /// An instance that holds `resources`; a later one replaces an earlier one of the same id.
    pub fn new(id: u16, resources: impl IntoIterator<Item = Resource>) -> Self {
        Instance {
            id,
            resources: resources
                .into_iter()
                .map(|resource| (resource.id(), resource))
                .collect(),
        }
    }
}

impl Object {
    /// An object that holds `instances`; a later one replaces an earlier one of the same id.
    pub fn new(id: u16, instances: impl IntoIterator<Item = Instance>) -> Self {
        Object {
            id,
            instances: instances
                .into_iter()
                .map(|instance| (instance.id, instance))
                .collect(),
        }
    }
}

impl Node {
    /// A single resource.
    pub fn single(id: u16, value: Value) -> Self {
        Node::Resource(Resource::Single { id, value })
    }

    /// The node's own identifier, the last one of its path.
    pub fn id(&self) -> u16 {
        match self {
            Node::Resource(resource) => resource.id(),
            Node::Instance(instance) => instance.id,
            Node::Object(object) => object.id,
        }
    }

    /// Whether a node of this kind with this id can stand at `path`.
    pub fn fits(&self, path: &Path) -> bool {
        let kind_fits = match self {
            Node::Resource(Resource::Single { .. }) => path.level() >= Level::Resource,
            Node::Resource(Resource::Multiple { .. }) => path.level() == Level::Resource,
            Node::Instance(_) => path.level() == Level::Instance,
            Node::Object(_) => path.level() == Level::Object,
        };
        kind_fits && self.id() == path.last_id()
    }

    /// What this node is called in messages for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Resource(Resource::Single { .. }) => "single resource",
            Node::Resource(Resource::Multiple { .. }) => "multiple resource",
            Node::Instance(_) => "object instance",
            Node::Object(_) => "object",
        }
    }
}
