//! Nodes as back ends write them: JSON in, a node that fits the path and the types of the known objects out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lwm2m::format::MAX_ELEMENTS;
use lwm2m::node::{Instance, Node, Object, Resource};
use lwm2m::objects;
use lwm2m::path::{Level, Path};
use lwm2m::value::{Value, ValueType};
use serde_json::value::RawValue;

use super::super::json::{elements, members, shortened, text};
use super::BadRequest;

/// The members of a node of any kind, raw.
struct RawNode<'a> {
    kind: String,
    id: Option<&'a RawValue>,
    value_type: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    values: Option<&'a RawValue>,
    resources: Option<&'a RawValue>,
    instances: Option<&'a RawValue>,
}

/// The node in `json`, which must be one that can stand at `path`.
pub(super) fn parse(json: &str, path: &Path) -> Result<Node, BadRequest> {
    let raw = RawNode::read(json)?;
    raw.check_id(path)?;
    let node = match (&*raw.kind, path.level()) {
        ("instance", Level::Instance) => Node::Instance(raw.instance(path)?),
        ("object", Level::Object) => Node::Object(raw.object(path)?),
        ("singleresource", Level::Resource | Level::ResourceInstance)
        | ("multipleresource", Level::Resource) => Node::Resource(raw.resource(path)?),
        (kind, level) => {
            let wanted = match level {
                Level::Object => "object",
                Level::Instance => "instance",
                Level::Resource => "singleresource or multipleresource",
                Level::ResourceInstance => "singleresource",
            };
            return Err(BadRequest::new(format!(
                "a node at {path} is of kind {wanted}, found {kind}"
            )));
        }
    };
    Ok(node)
}

impl<'a> RawNode<'a> {
    fn read(json: &'a str) -> Result<Self, BadRequest> {
        let names = ["kind", "id", "type", "value", "values", "resources", "instances"];
        let [kind, id, value_type, value, values, resources, instances] =
            members(json, names).map_err(|error| {
                BadRequest::new(format!(
                    "a node must be an object: {error}; found {}",
                    shortened(json)
                ))
            })?;
        let kind = kind.map_or("nothing", RawValue::get);
        let name = text(kind).map(|name| name.to_ascii_lowercase());
        match name.as_deref() {
            Some("singleresource" | "multipleresource" | "instance" | "object") => {}
            _ => {
                return Err(BadRequest::new(format!(
                    "the `kind` of a node must be one of singleresource, multipleresource, instance, object; found {}",
                    shortened(kind)
                )));
            }
        }
        let kind = name.unwrap_or_default();
        Ok(RawNode {
            kind,
            id,
            value_type,
            value,
            values,
            resources,
            instances,
        })
    }

    /// `id` may be missing; if it is there, it must be the path's.
    fn check_id(&self, path: &Path) -> Result<(), BadRequest> {
        match self.id.map(RawValue::get) {
            Some(id) if id.parse() != Ok(path.last_id()) => Err(BadRequest::new(format!(
                "the `id` of a node at {path} is {}, found {}",
                path.last_id(),
                shortened(id)
            ))),
            _ => Ok(()),
        }
    }

    fn object(&self, path: &Path) -> Result<Object, BadRequest> {
        let mut object = Object {
            id: path.object_id(),
            ..Object::default()
        };
        for (id, child) in children(self.instances, "instances", path)? {
            let at = Path::instance(path.object_id(), id);
            let Node::Instance(instance) = parse(child, &at)? else {
                unreachable!("parse returns an instance for the path of one");
            };
            if object.instances.insert(id, instance).is_some() {
                return Err(twice(&at));
            }
        }
        Ok(object)
    }

    fn instance(&self, path: &Path) -> Result<Instance, BadRequest> {
        let mut instance = Instance {
            id: path.last_id(),
            ..Instance::default()
        };
        for (id, child) in children(self.resources, "resources", path)? {
            let at = Path::resource(path.object_id(), path.last_id(), id);
            let Node::Resource(resource) = parse(child, &at)? else {
                unreachable!("parse returns a resource for the path of one");
            };
            if instance.resources.insert(id, resource).is_some() {
                return Err(twice(&at));
            }
        }
        Ok(instance)
    }

    fn resource(&self, path: &Path) -> Result<Resource, BadRequest> {
        let (written, wanted) = self.types(path)?;
        let id = path.last_id();
        if self.kind == "singleresource" {
            let json = self
                .value
                .ok_or_else(|| BadRequest::new(format!("the `value` of {path} is missing")))?;
            let value = typed_value(json.get(), written, wanted, path)?;
            return Ok(Resource::Single { id, value });
        }
        let mut values = BTreeMap::new();
        for (index, json) in numbered(self.values, "values", path)? {
            let at = Path::resource_instance(path.ids()[0], path.ids()[1], id, index);
            if values
                .insert(index, typed_value(json, written, wanted, &at)?)
                .is_some()
            {
                return Err(twice(&at));
            }
        }
        Ok(Resource::Multiple {
            id,
            value_type: wanted,
            values,
        })
    }

    /// The type in which the value is written, and the one that the resource has. For known resources the first may
    /// be missing.
    fn types(&self, path: &Path) -> Result<(ValueType, ValueType), BadRequest> {
        let known = objects::resource_at(path).and_then(|model| model.value_type);
        let written = match self.value_type {
            None => known.ok_or_else(|| BadRequest::new(format!("the `type` of {path} is missing")))?,
            Some(json) => {
                let name = text(json.get()).unwrap_or_else(|| json.get().into());
                name.parse()
                    .map_err(|error| BadRequest::new(format!("`type` of {path}: {error}")))?
            }
        };
        Ok((written, known.unwrap_or(written)))
    }
}

fn twice(path: &Path) -> BadRequest {
    BadRequest::new(format!("{path} appears twice in the node"))
}

/// The nodes inside `json`, with their identifiers: an object by identifier, or an array of nodes that have `id`s.
fn children<'a>(
    json: Option<&'a RawValue>,
    member: &str,
    path: &Path,
) -> Result<Vec<(u16, &'a str)>, BadRequest> {
    let wrong = |found: &str| {
        BadRequest::new(format!(
            "`{member}` of {path} must be an object of nodes by identifier, or an array of nodes with `id`; found {}",
            shortened(found)
        ))
    };
    let json = json.ok_or_else(|| wrong("nothing"))?.get();
    let elements = elements(json).map_err(|_| wrong(json))?;
    check_count(elements.len(), path)?;
    let numbered = elements.into_iter().map(|(name, node)| {
        let node = node.get();
        let id = match &name {
            Some(name) => parse_id(name),
            None => members(node, ["id"]).ok().and_then(|[id]| parse_id(id?.get())),
        };
        id.map(|id| (id, node))
            .ok_or_else(|| wrong(name.as_deref().unwrap_or(node)))
    });
    numbered.collect()
}

/// The values inside `json`, an object, with their identifiers.
fn numbered<'a>(
    json: Option<&'a RawValue>,
    member: &str,
    path: &Path,
) -> Result<Vec<(u16, &'a str)>, BadRequest> {
    let wrong = |found: &str| {
        BadRequest::new(format!(
            "`{member}` of {path} must be an object by identifier, like {{\"0\":1}}; found {}",
            shortened(found)
        ))
    };
    let json = json.ok_or_else(|| wrong("nothing"))?.get();
    let elements = elements(json).map_err(|_| wrong(json))?;
    check_count(elements.len(), path)?;
    let numbered = elements.into_iter().map(|(name, value)| {
        let id = name.as_deref().and_then(parse_id);
        id.map(|id| (id, value.get()))
            .ok_or_else(|| wrong(name.as_deref().unwrap_or(json)))
    });
    numbered.collect()
}

fn check_count(count: usize, path: &Path) -> Result<(), BadRequest> {
    if count <= MAX_ELEMENTS {
        return Ok(());
    }
    Err(BadRequest::new(format!(
        "{path} has at most {MAX_ELEMENTS} members, found {count}"
    )))
}

fn parse_id(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The value of type `written` in `json`, as a value of type `wanted`.
fn typed_value(json: &str, written: ValueType, wanted: ValueType, path: &Path) -> Result<Value, BadRequest> {
    let value = parse_value(json, written).ok_or_else(|| {
        BadRequest::new(format!(
            "{path}: {}, found {}",
            spelling(written),
            shortened(json)
        ))
    })?;
    value.convert(wanted).map_err(|value| {
        let found = value.value_type();
        BadRequest::new(format!(
            "{path} is of type {wanted}, {} of type {found} does not fit",
            shortened(json)
        ))
    })
}

/// The value of type `value_type` that `json` spells.
fn parse_value(json: &str, value_type: ValueType) -> Option<Value> {
    match value_type {
        ValueType::String => text(json).map(|text| Value::String(text.into_owned())),
        ValueType::CoreLink => text(json).map(|text| Value::CoreLink(text.into_owned())),
        ValueType::Integer => json.parse().ok().map(Value::Integer),
        ValueType::Unsigned => json.parse().ok().map(Value::Unsigned),
        ValueType::Float => {
            let number: Option<f64> = serde_json::from_str(json).ok();
            number.filter(|number| number.is_finite()).map(Value::Float)
        }
        ValueType::Boolean => match json {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            _ => None,
        },
        // Devices count seconds. A part of one would be cut off, and nobody told.
        ValueType::Time => json
            .parse()
            .ok()
            .filter(|ms: &i64| ms.rem_euclid(1000) == 0)
            .map(|ms| Value::Time(ms.div_euclid(1000))),
        ValueType::Opaque => BASE64.decode(&*text(json)?).ok().map(Value::Opaque),
        ValueType::ObjectLink => text(json)?.parse().ok().map(Value::ObjectLink),
    }
}

/// How a value of `value_type` is written in JSON.
fn spelling(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "a string is a JSON string",
        ValueType::CoreLink => "a corelnk is a JSON string",
        ValueType::Integer => "an integer is a number of 64 bits without a fraction",
        ValueType::Unsigned => "an unsigned is a positive number of 64 bits without a fraction",
        ValueType::Float => "a float is a number of 64 bits",
        ValueType::Boolean => "a boolean is true or false",
        ValueType::Time => {
            "a time is a number of milliseconds since 1970, in whole seconds (devices count no parts of one)"
        }
        ValueType::Opaque => "an opaque is a string with base64 and its padding",
        ValueType::ObjectLink => "an objlnk is a string like \"3:0\"",
    }
}
