//! The binary TLV format, both ways. OMA TS 1.0, 6.4.3 (TS 1.1 Core, 7.4.5).
//!
//! An element is a type byte, an identifier of 1 or 2 bytes, a length of 0 to 3 bytes and the value, which in two of
//! the four kinds is made of further elements. The nesting is fixed (instance, multiple resource, resource instance),
//! so the depth needs no limit of its own; the number of elements does.

use std::collections::BTreeMap;

use super::{FormatError, MAX_ELEMENTS, misplaced};
use crate::node::{Instance, Node, Object, Resource};
use crate::objects;
use crate::path::{Level, Path};
use crate::value::{ObjectLink, Value, ValueType};

/// What an element is: bits 7 and 6 of its type byte.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    ObjectInstance = 0b00,
    ResourceInstance = 0b01,
    MultipleResource = 0b10,
    Resource = 0b11,
}

/// Bit 5 of the type byte: the identifier has two bytes.
const WIDE_ID: u8 = 0b0010_0000;
/// Bits 2 to 0 of the type byte: the length itself, when bits 4 and 3 (the size of the length field) are zero.
const INLINE_LENGTH: u8 = 0b0000_0111;
/// What the widest length field, 24 bits, can say.
const MAX_LENGTH: usize = 0xFF_FFFF;

/// One element, not yet interpreted.
struct Element<'a> {
    kind: Kind,
    id: u16,
    value: &'a [u8],
    /// Where the element starts in the payload, for error messages.
    at: usize,
    /// Where its value starts.
    value_at: usize,
}

/// Reads elements one after the other and counts them, nested ones included.
struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(payload: &'a [u8], at: usize) -> Self {
        Reader { rest: payload, at }
    }

    fn take(&mut self, count: usize, reason: &'static str) -> Result<&'a [u8], FormatError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(FormatError::BrokenTlv { at: self.at, reason });
        };
        self.rest = rest;
        self.at += count;
        Ok(taken)
    }

    /// The next element; `None` at the end.
    fn next(&mut self, elements: &mut usize) -> Result<Option<Element<'a>>, FormatError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        *elements += 1;
        if *elements > MAX_ELEMENTS {
            return Err(FormatError::TooLarge {
                what: "the number of TLV elements",
                limit: MAX_ELEMENTS,
            });
        }
        let at = self.at;
        let type_byte = self.take(1, "the type byte is missing")?[0];
        let kind = match type_byte >> 6 {
            0b00 => Kind::ObjectInstance,
            0b01 => Kind::ResourceInstance,
            0b10 => Kind::MultipleResource,
            _ => Kind::Resource,
        };
        let id_bytes = if type_byte & WIDE_ID == 0 { 1 } else { 2 };
        let id = big_endian(self.take(id_bytes, "the identifier is cut off")?) as u16;
        let length = match (type_byte >> 3) & 0b11 {
            0 => usize::from(type_byte & INLINE_LENGTH),
            field => big_endian(self.take(usize::from(field), "the length is cut off")?) as usize,
        };
        let value_at = self.at;
        let value = self.take(length, "the value is shorter than its length says")?;
        Ok(Some(Element {
            kind,
            id,
            value,
            at,
            value_at,
        }))
    }
}

/// The unsigned number in up to eight bytes.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The node at `path` that `payload` holds. For an object instance both the bare resources and the instance wrapped
/// around them are accepted; for an object without instance elements, instance 0 is meant, as TS 1.0 has it for
/// objects of one instance.
pub(super) fn decode_node(path: &Path, payload: &[u8]) -> Result<Node, FormatError> {
    let mut elements = 0;
    let mut reader = Reader::new(payload, 0);
    match path.level() {
        Level::Object => decode_object(path, payload, &mut elements).map(Node::Object),
        Level::Instance => decode_instance_root(path, payload, &mut elements).map(Node::Instance),
        Level::Resource => {
            let resource = match reader.next(&mut elements)? {
                Some(element) if element.kind == Kind::ResourceInstance => {
                    return decode_bare_values(path, payload).map(Node::Resource);
                }
                Some(element) => {
                    let element = unwrap_instance(path, element, &mut elements)?;
                    decode_resource(path.object_id(), &element, &mut elements)?
                }
                None => empty_resource(path)?,
            };
            finish(&mut reader)?;
            let node = Node::Resource(resource);
            if node.fits(path) {
                Ok(node)
            } else {
                Err(misplaced(path, format!("resource {}", node.id())))
            }
        }
        Level::ResourceInstance => {
            let Some(element) = reader.next(&mut elements)? else {
                return Err(misplaced(path, "an empty payload".to_owned()));
            };
            finish(&mut reader)?;
            let element = unwrap_instance(path, element, &mut elements)?;
            decode_resource_instance(path, &element, &mut elements)
        }
    }
}

/// A device may put a resource into the instance that it belongs to: where that holds nothing else, it means the resource.
fn unwrap_instance<'a>(
    path: &Path,
    element: Element<'a>,
    elements: &mut usize,
) -> Result<Element<'a>, FormatError> {
    if element.kind != Kind::ObjectInstance {
        return Ok(element);
    }
    if Some(element.id) != path.instance_id() {
        return Err(misplaced(path, format!("object instance {}", element.id)));
    }
    let mut reader = Reader::new(element.value, element.value_at);
    let Some(inner) = reader.next(elements)? else {
        return Err(misplaced(path, "an empty object instance".to_owned()));
    };
    finish(&mut reader)?;
    Ok(inner)
}

/// The instances of a multiple resource without the resource around them.
fn decode_bare_values(path: &Path, payload: &[u8]) -> Result<Resource, FormatError> {
    let whole = Element {
        kind: Kind::MultipleResource,
        id: path.last_id(),
        at: 0,
        value: payload,
        value_at: 0,
    };
    decode_resource(path.object_id(), &whole, &mut 0)
}

/// Refuses whatever follows the one element that was expected.
fn finish(reader: &mut Reader<'_>) -> Result<(), FormatError> {
    if reader.rest.is_empty() {
        return Ok(());
    }
    Err(FormatError::BrokenTlv {
        at: reader.at,
        reason: "one element was expected, another follows",
    })
}

/// An empty payload is a multiple resource without instances, if the resource is known to be one.
fn empty_resource(path: &Path) -> Result<Resource, FormatError> {
    match objects::resource_at(path) {
        Some(model) if model.multiple => Ok(Resource::Multiple {
            id: path.last_id(),
            value_type: model.value_type.unwrap_or(ValueType::Opaque),
            values: BTreeMap::new(),
        }),
        _ => Err(misplaced(path, "an empty payload".to_owned())),
    }
}

fn decode_object(path: &Path, payload: &[u8], elements: &mut usize) -> Result<Object, FormatError> {
    let id = path.object_id();
    let mut reader = Reader::new(payload, 0);
    let mut object = Object {
        id,
        ..Object::default()
    };
    while let Some(element) = reader.next(elements)? {
        match element.kind {
            Kind::ObjectInstance => {
                let instance = decode_instance(id, &element, elements)?;
                if object.instances.insert(element.id, instance).is_some() {
                    return Err(twice(&element));
                }
            }
            Kind::Resource | Kind::MultipleResource if object.instances.is_empty() && element.at == 0 => {
                if objects::object(id).is_some_and(|model| model.multiple) {
                    return Err(misplaced(
                        path,
                        format!("resource {} outside any instance", element.id),
                    ));
                }
                let instance = decode_resources(id, 0, payload, 0, &mut 0)?;
                return Ok(Object::new(id, [instance]));
            }
            _ => {
                return Err(misplaced(
                    path,
                    format!("{} {}", describe(element.kind), element.id),
                ));
            }
        }
    }
    Ok(object)
}

fn decode_instance_root(path: &Path, payload: &[u8], elements: &mut usize) -> Result<Instance, FormatError> {
    let mut reader = Reader::new(payload, 0);
    match reader.next(elements)? {
        Some(wrapper) if wrapper.kind == Kind::ObjectInstance => {
            finish(&mut reader)?;
            if wrapper.id != path.last_id() {
                return Err(misplaced(path, format!("object instance {}", wrapper.id)));
            }
            decode_instance(path.object_id(), &wrapper, elements)
        }
        _ => decode_resources(path.object_id(), path.last_id(), payload, 0, &mut 0),
    }
}

fn decode_instance(
    object_id: u16,
    element: &Element<'_>,
    elements: &mut usize,
) -> Result<Instance, FormatError> {
    decode_resources(object_id, element.id, element.value, element.value_at, elements)
}

/// The resources of one instance; `at` is where `bytes` start in the payload.
fn decode_resources(
    object_id: u16,
    instance_id: u16,
    bytes: &[u8],
    at: usize,
    elements: &mut usize,
) -> Result<Instance, FormatError> {
    let mut reader = Reader::new(bytes, at);
    let mut instance = Instance {
        id: instance_id,
        ..Instance::default()
    };
    while let Some(element) = reader.next(elements)? {
        let resource = decode_resource(object_id, &element, elements)?;
        if instance.resources.insert(element.id, resource).is_some() {
            return Err(twice(&element));
        }
    }
    Ok(instance)
}

fn decode_resource(
    object_id: u16,
    element: &Element<'_>,
    elements: &mut usize,
) -> Result<Resource, FormatError> {
    let id = element.id;
    let value_type = objects::value_type(object_id, id).unwrap_or(ValueType::Opaque);
    match element.kind {
        Kind::Resource => Ok(Resource::Single {
            id,
            value: decode_value(element, value_type)?,
        }),
        Kind::MultipleResource => {
            let mut reader = Reader::new(element.value, element.value_at);
            let mut values = BTreeMap::new();
            while let Some(inner) = reader.next(elements)? {
                if inner.kind != Kind::ResourceInstance {
                    let reason = "a multiple resource may hold only resource instances";
                    return Err(FormatError::BrokenTlv { at: inner.at, reason });
                }
                if values
                    .insert(inner.id, decode_value(&inner, value_type)?)
                    .is_some()
                {
                    return Err(twice(&inner));
                }
            }
            Ok(Resource::Multiple {
                id,
                value_type,
                values,
            })
        }
        Kind::ObjectInstance | Kind::ResourceInstance => {
            let reason = "a resource or multiple resource was expected";
            Err(FormatError::BrokenTlv {
                at: element.at,
                reason,
            })
        }
    }
}

/// One resource instance: bare, or as the only one inside its multiple resource. Devices do both.
fn decode_resource_instance(
    path: &Path,
    element: &Element<'_>,
    elements: &mut usize,
) -> Result<Node, FormatError> {
    let resource_id = path.ids()[2];
    if element.kind == Kind::ResourceInstance && element.id == path.last_id() {
        let value_type = objects::value_type(path.object_id(), resource_id).unwrap_or(ValueType::Opaque);
        return Ok(Node::single(element.id, decode_value(element, value_type)?));
    }
    if element.kind == Kind::MultipleResource && element.id == resource_id {
        let resource = decode_resource(path.object_id(), element, elements)?;
        if let Resource::Multiple { mut values, .. } = resource
            && values.len() == 1
            && let Some(value) = values.remove(&path.last_id())
        {
            return Ok(Node::single(path.last_id(), value));
        }
    }
    Err(misplaced(
        path,
        format!("{} {}", describe(element.kind), element.id),
    ))
}

fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::ObjectInstance => "object instance",
        Kind::ResourceInstance => "resource instance",
        Kind::MultipleResource => "multiple resource",
        Kind::Resource => "resource",
    }
}

fn twice(element: &Element<'_>) -> FormatError {
    FormatError::BrokenTlv {
        at: element.at,
        reason: "the same identifier appears twice",
    }
}

/// The value of `value_type` in the bytes of `element`.
fn decode_value(element: &Element<'_>, value_type: ValueType) -> Result<Value, FormatError> {
    let bytes = element.value;
    let wrong = |expected| FormatError::BadValue {
        what: format!(
            "{} {} at byte {} in TLV",
            describe(element.kind),
            element.id,
            element.at
        ),
        expected,
        found: format!("{} bytes ({:02x?})", bytes.len(), &bytes[..bytes.len().min(8)]),
    };
    let text = || {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| wrong("UTF-8 text"))
    };
    match value_type {
        ValueType::String => text().map(Value::String),
        ValueType::CoreLink => text().map(Value::CoreLink),
        ValueType::Integer => signed(bytes)
            .map(Value::Integer)
            .ok_or_else(|| wrong("an integer of 1, 2, 4 or 8 bytes")),
        ValueType::Time => signed(bytes)
            .map(Value::Time)
            .ok_or_else(|| wrong("a time of 1, 2, 4 or 8 bytes")),
        ValueType::Unsigned => match bytes.len() {
            1 | 2 | 4 | 8 => Ok(Value::Unsigned(big_endian(bytes))),
            _ => Err(wrong("an unsigned integer of 1, 2, 4 or 8 bytes")),
        },
        ValueType::Float => match *bytes {
            [a, b, c, d] => Ok(Value::Float(f64::from(f32::from_be_bytes([a, b, c, d])))),
            [a, b, c, d, e, f, g, h] => Ok(Value::Float(f64::from_be_bytes([a, b, c, d, e, f, g, h]))),
            _ => Err(wrong("a float of 4 or 8 bytes")),
        },
        ValueType::Boolean => match *bytes {
            [0] => Ok(Value::Boolean(false)),
            [1] => Ok(Value::Boolean(true)),
            _ => Err(wrong("a boolean, one byte of 0 or 1")),
        },
        ValueType::Opaque => Ok(Value::Opaque(bytes.to_vec())),
        ValueType::ObjectLink => match *bytes {
            [a, b, c, d] => Ok(Value::ObjectLink(ObjectLink {
                object: u16::from_be_bytes([a, b]),
                instance: u16::from_be_bytes([c, d]),
            })),
            _ => Err(wrong("an object link of 4 bytes")),
        },
    }
}

/// The signed number in 1, 2, 4 or 8 bytes.
fn signed(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a] => Some(i64::from(a as i8)),
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

/// The payload of `node`, which fits `path`.
pub(super) fn encode_node(path: &Path, node: &Node) -> Result<Vec<u8>, FormatError> {
    let mut out = Vec::new();
    match node {
        Node::Resource(Resource::Single { id, value }) if path.level() == Level::ResourceInstance => {
            element(&mut out, Kind::ResourceInstance, *id, &encode_value(value))?;
        }
        Node::Resource(resource) => encode_resource(&mut out, resource)?,
        Node::Instance(instance) => encode_resources(&mut out, instance)?,
        Node::Object(object) => {
            for (id, instance) in &object.instances {
                let mut inner = Vec::new();
                encode_resources(&mut inner, instance)?;
                element(&mut out, Kind::ObjectInstance, *id, &inner)?;
            }
        }
    }
    Ok(out)
}

fn encode_resources(out: &mut Vec<u8>, instance: &Instance) -> Result<(), FormatError> {
    instance
        .resources
        .values()
        .try_for_each(|resource| encode_resource(out, resource))
}

fn encode_resource(out: &mut Vec<u8>, resource: &Resource) -> Result<(), FormatError> {
    match resource {
        Resource::Single { id, value } => element(out, Kind::Resource, *id, &encode_value(value)),
        Resource::Multiple { id, values, .. } => {
            let mut inner = Vec::new();
            for (index, value) in values {
                element(&mut inner, Kind::ResourceInstance, *index, &encode_value(value))?;
            }
            element(out, Kind::MultipleResource, *id, &inner)
        }
    }
}

/// Appends one element, with the shortest identifier and length that hold.
fn element(out: &mut Vec<u8>, kind: Kind, id: u16, value: &[u8]) -> Result<(), FormatError> {
    if value.len() > MAX_LENGTH {
        return Err(FormatError::TooLarge {
            what: "the number of bytes of a TLV value",
            limit: MAX_LENGTH,
        });
    }
    let length = (value.len() as u32).to_be_bytes();
    let length_bytes: u8 = match value.len() {
        0..=7 => 0,
        8..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 3,
    };
    let [high, low] = id.to_be_bytes();
    let mut type_byte = (kind as u8) << 6 | length_bytes << 3;
    if high != 0 {
        type_byte |= WIDE_ID;
    }
    if length_bytes == 0 {
        type_byte |= length[3];
    }
    out.push(type_byte);
    if high != 0 {
        out.push(high);
    }
    out.push(low);
    out.extend_from_slice(&length[4 - usize::from(length_bytes)..]);
    out.extend_from_slice(value);
    Ok(())
}

fn encode_value(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.as_bytes().to_vec(),
        Value::Integer(number) | Value::Time(number) => shortest_signed(*number),
        Value::Unsigned(number) => shortest_unsigned(*number),
        Value::Float(number) => number.to_be_bytes().to_vec(),
        Value::Boolean(truth) => vec![u8::from(*truth)],
        Value::Opaque(bytes) => bytes.clone(),
        Value::ObjectLink(link) => {
            let [a, b] = link.object.to_be_bytes();
            let [c, d] = link.instance.to_be_bytes();
            vec![a, b, c, d]
        }
    }
}

fn shortest_signed(number: i64) -> Vec<u8> {
    if let Ok(number) = i8::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}

fn shortest_unsigned(number: u64) -> Vec<u8> {
    if let Ok(number) = u8::try_from(number) {
        vec![number]
    } else if let Ok(number) = u16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = u32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}
