//! The values that resources hold, and their types. OMA TS 1.1 Core, appendix C (data types).

use std::fmt;
use std::str::FromStr;

/// The data types of OMA TS 1.1 Core, appendix C, under the names that the northbound interface uses.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// UTF-8 text.
    String,
    /// A signed integer of up to 64 bits.
    Integer,
    /// An unsigned integer of up to 64 bits (LwM2M 1.1).
    Unsigned,
    /// A binary floating-point number of 32 or 64 bits.
    Float,
    /// True or false.
    Boolean,
    /// Seconds since the Unix epoch.
    Time,
    /// Bytes.
    Opaque,
    /// A reference to an object instance.
    ObjectLink,
    /// A CoRE link (LwM2M 1.1).
    CoreLink,
}

/// Types and names, in both directions.
const NAMES: [(ValueType, &str); 9] = [
    (ValueType::String, "string"),
    (ValueType::Integer, "integer"),
    (ValueType::Unsigned, "unsigned"),
    (ValueType::Float, "float"),
    (ValueType::Boolean, "boolean"),
    (ValueType::Time, "time"),
    (ValueType::Opaque, "opaque"),
    (ValueType::ObjectLink, "objlnk"),
    (ValueType::CoreLink, "corelnk"),
];

impl ValueType {
    /// The lower-case name.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(value_type, _)| *value_type == self)
            .expect("every type stands in NAMES")
            .1
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no type name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a type is one of string, integer, unsigned, float, boolean, time, opaque, objlnk, corelnk; found `{0}`"
)]
pub struct UnknownType(String);

/// Upper and lower case are the same, because back ends of the older dialect write `STRING`.
impl FromStr for ValueType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let known = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        known
            .map(|(value_type, _)| *value_type)
            .ok_or_else(|| UnknownType(text.chars().take(40).collect()))
    }
}

/// What a resource, or one instance of a multiple resource, holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    String(String),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// Seconds since the Unix epoch.
    Time(i64),
    /// Bytes.
    Opaque(Vec<u8>),
    /// A reference to an object instance.
    ObjectLink(ObjectLink),
    /// A CoRE link.
    CoreLink(String),
}

impl Value {
    /// The type of this value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::String(_) => ValueType::String,
            Value::Integer(_) => ValueType::Integer,
            Value::Unsigned(_) => ValueType::Unsigned,
            Value::Float(_) => ValueType::Float,
            Value::Boolean(_) => ValueType::Boolean,
            Value::Time(_) => ValueType::Time,
            Value::Opaque(_) => ValueType::Opaque,
            Value::ObjectLink(_) => ValueType::ObjectLink,
            Value::CoreLink(_) => ValueType::CoreLink,
        }
    }

    /// The same value as `wanted`, if nothing is lost by it; otherwise the value itself as the error. It bridges the
    /// types that LwM2M 1.0 did not have: a back end of that time calls an unsigned number an integer.
    pub fn convert(self, wanted: ValueType) -> Result<Value, Value> {
        if self.value_type() == wanted {
            return Ok(self);
        }
        match (self, wanted) {
            (Value::Integer(number), ValueType::Unsigned) => u64::try_from(number)
                .map(Value::Unsigned)
                .map_err(|_| Value::Integer(number)),
            (Value::Unsigned(number), ValueType::Integer) => i64::try_from(number)
                .map(Value::Integer)
                .map_err(|_| Value::Unsigned(number)),
            (Value::String(text), ValueType::CoreLink) => Ok(Value::CoreLink(text)),
            (Value::CoreLink(text), ValueType::String) => Ok(Value::String(text)),
            (other, _) => Err(other),
        }
    }
}

/// A reference to an object instance, written `object:instance`. 65535:65535 refers to nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectLink {
    /// The object.
    pub object: u16,
    /// Its instance.
    pub instance: u16,
}

impl fmt::Display for ObjectLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object, self.instance)
    }
}

/// A text that is no object link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object link is two numbers from 0 to 65535 with a colon between, like 3:0; found `{0}`")]
pub struct BadObjectLink(String);

impl FromStr for ObjectLink {
    type Err = BadObjectLink;

    fn from_str(text: &str) -> Result<Self, BadObjectLink> {
        let parsed = text.split_once(':').and_then(|(object, instance)| {
            Some(ObjectLink {
                object: crate::path::parse_id(object)?,
                instance: crate::path::parse_id(instance)?,
            })
        });
        parsed.ok_or_else(|| BadObjectLink(text.chars().take(40).collect()))
    }
}
