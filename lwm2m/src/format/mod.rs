//! Content formats: nodes to payloads and back. Text, opaque and TLV; the others answer [`FormatError::Unsupported`].
//! OMA TS 1.1 Core, 7.4 (data formats); the numbers are IANA's CoAP content-format registry.

#[cfg(test)]
mod tests;
mod text;
mod tlv;

use std::fmt;

use crate::node::{Node, Resource};
use crate::objects;
use crate::path::{Level, Path};
use crate::value::{Value, ValueType};

/// The longest payload that is decoded, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The most elements (instances, resources and resource instances together) that one payload may hold.
pub const MAX_ELEMENTS: usize = 4096;

/// The content formats that LwM2M 1.0 to 1.2 use.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentFormat {
    /// `text/plain`
    Text,
    /// `application/link-format`
    Link,
    /// `application/octet-stream`
    Opaque,
    /// `application/cbor`
    Cbor,
    /// `application/senml+json`
    SenmlJson,
    /// `application/senml+cbor`
    SenmlCbor,
    /// `application/vnd.oma.lwm2m+tlv`
    Tlv,
    /// `application/vnd.oma.lwm2m+json`
    Json,
    /// `application/vnd.oma.lwm2m+cbor`
    Lwm2mCbor,
}

/// Formats with their registered number and name, in both directions.
const FORMATS: [(ContentFormat, u16, &str); 9] = [
    (ContentFormat::Text, 0, "text"),
    (ContentFormat::Link, 40, "link format"),
    (ContentFormat::Opaque, 42, "opaque"),
    (ContentFormat::Cbor, 60, "CBOR"),
    (ContentFormat::SenmlJson, 110, "SenML JSON"),
    (ContentFormat::SenmlCbor, 112, "SenML CBOR"),
    (ContentFormat::Tlv, 11542, "TLV"),
    (ContentFormat::Json, 11543, "LwM2M JSON"),
    (ContentFormat::Lwm2mCbor, 11544, "LwM2M CBOR"),
];

/// The numbers that were in use before registration, and what they meant.
const PRE_RELEASE: [(u16, ContentFormat); 4] = [
    (1541, ContentFormat::Text),
    (1542, ContentFormat::Tlv),
    (1543, ContentFormat::Json),
    (1544, ContentFormat::Opaque),
];

impl ContentFormat {
    /// The format behind `number`. Pre-release numbers are mapped, so [`number`](Self::number) may differ from it.
    pub fn from_number(number: u16) -> Option<Self> {
        let registered = FORMATS
            .iter()
            .find(|(_, known, _)| *known == number)
            .map(|(format, ..)| *format);
        registered.or_else(|| {
            PRE_RELEASE
                .iter()
                .find(|(known, _)| *known == number)
                .map(|(_, format)| *format)
        })
    }

    /// The registered number, which goes into Accept and Content-Format options.
    pub fn number(self) -> u16 {
        self.row().1
    }

    fn row(self) -> &'static (ContentFormat, u16, &'static str) {
        FORMATS
            .iter()
            .find(|(format, ..)| *format == self)
            .expect("every format stands in FORMATS")
    }
}

impl fmt::Display for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, number, name) = self.row();
        write!(f, "{name} ({number})")
    }
}

/// Why a payload could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The format is known, but neither written nor read here.
    #[error("content format {0} is not supported for values yet; use 0 (text), 42 (opaque) or 11542 (TLV)")]
    Unsupported(ContentFormat),
    /// Text and opaque hold exactly one value.
    #[error(
        "content format {format} holds the one value of a resource or resource instance, not a whole {what}"
    )]
    SingleValueOnly {
        /// The format.
        format: ContentFormat,
        /// What was at hand instead.
        what: String,
    },
    /// The node is of another kind, or has another id, than the path.
    #[error("{path} names {expected} with id {}, found {found}", .path.last_id())]
    Misplaced {
        /// The path of the request.
        path: Path,
        /// What stands there.
        expected: &'static str,
        /// What was found instead.
        found: String,
    },
    /// A value that is not of its resource's type.
    #[error("{what}: expected {expected}, found {found}")]
    BadValue {
        /// Which value.
        what: String,
        /// The type, and how it is written.
        expected: &'static str,
        /// What was found instead, shortened.
        found: String,
    },
    /// The structure of a TLV payload is broken.
    #[error("broken TLV at byte {at}: {reason}")]
    BrokenTlv {
        /// Offset from the start of the payload.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Beyond [`MAX_PAYLOAD`], [`MAX_ELEMENTS`] or what the format itself can express.
    #[error("payload too large: {what} is limited to {limit}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The largest allowed count.
        limit: usize,
    },
}

/// The payload of `node`, which stands at `path`.
pub fn encode(format: ContentFormat, path: &Path, node: &Node) -> Result<Vec<u8>, FormatError> {
    if !node.fits(path) {
        return Err(misplaced(path, format!("{} {}", node.kind(), node.id())));
    }
    match (format, node) {
        (ContentFormat::Tlv, _) => tlv::encode_node(path, node),
        (ContentFormat::Text, Node::Resource(Resource::Single { value, .. })) => {
            Ok(text::encode(value).into_bytes())
        }
        (
            ContentFormat::Opaque,
            Node::Resource(Resource::Single {
                value: Value::Opaque(bytes),
                ..
            }),
        ) => Ok(bytes.clone()),
        (ContentFormat::Opaque, Node::Resource(Resource::Single { value, .. })) => {
            Err(FormatError::BadValue {
                what: format!("{path} in content format {format}"),
                expected: "a value of type opaque",
                found: format!("one of type {}", value.value_type()),
            })
        }
        (ContentFormat::Text | ContentFormat::Opaque, _) => Err(FormatError::SingleValueOnly {
            format,
            what: node.kind().to_owned(),
        }),
        _ => Err(FormatError::Unsupported(format)),
    }
}

/// The node that `payload`, the representation of `path`, holds. Types come from [`objects`]; an unknown resource is a
/// string in text and opaque in TLV.
pub fn decode(format: ContentFormat, path: &Path, payload: &[u8]) -> Result<Node, FormatError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(FormatError::TooLarge {
            what: "the number of bytes",
            limit: MAX_PAYLOAD,
        });
    }
    match format {
        ContentFormat::Tlv => tlv::decode_node(path, payload),
        ContentFormat::Text | ContentFormat::Opaque if path.level() < Level::Resource => {
            Err(FormatError::SingleValueOnly {
                format,
                what: path.level().to_string(),
            })
        }
        ContentFormat::Text => {
            let value_type = objects::resource_at(path).and_then(|model| model.value_type);
            let value = text::decode(payload, value_type.unwrap_or(ValueType::String), path)?;
            Ok(Node::single(path.last_id(), value))
        }
        ContentFormat::Opaque => Ok(Node::single(path.last_id(), Value::Opaque(payload.to_vec()))),
        _ => Err(FormatError::Unsupported(format)),
    }
}

fn misplaced(path: &Path, found: String) -> FormatError {
    let expected = match path.level() {
        Level::Object => "an object",
        Level::Instance => "an object instance",
        Level::Resource => "a resource",
        Level::ResourceInstance => "a resource instance",
    };
    FormatError::Misplaced {
        path: *path,
        expected,
        found,
    }
}
