//! A request: the `req` of an envelope, parsed and checked once, then turned into the CoAP request that goes to the
//! device and, with what comes back, into the JSON behind `"resp":`.

mod coap;
mod node;
mod response;
#[cfg(test)]
mod tests;

pub use coap::{CoapRequest, Device, EncodeError};
pub use response::Undecodable;

use lwm2m::format::{self, ContentFormat, FormatError};
use lwm2m::node::Node;
use lwm2m::path::{Level, Path};
use serde_json::value::RawValue;

use super::json::{members, shortened, text};

/// The longest payload that is sent to a device, in bytes: what fits a datagram beside header and options.
pub const MAX_DEVICE_PAYLOAD: usize = 1024;

/// What can be asked of a device so far.
#[derive(Copy, Clone)]
enum Operation {
    Read,
    Write,
    Execute,
}

/// The kinds of request that the interface has, and what each does; nothing, if it is not there yet.
const KINDS: [(&str, Option<Operation>); 13] = [
    ("read", Some(Operation::Read)),
    ("write", Some(Operation::Write)),
    ("execute", Some(Operation::Execute)),
    ("observe", None),
    ("cancelObserve", None),
    ("discover", None),
    ("writeAttributes", None),
    ("create", None),
    ("delete", None),
    ("readComposite", None),
    ("observeComposite", None),
    ("writeComposite", None),
    ("cancel", None),
];

/// A request that a back end makes of a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Read a node.
    Read {
        /// Which one.
        path: Path,
        /// The format to ask for; without it the device chooses.
        format: Option<ContentFormat>,
    },
    /// Write a node.
    Write {
        /// Where.
        path: Path,
        /// What; it fits the path.
        node: Node,
        /// Whether it replaces what is there.
        mode: WriteMode,
        /// The format to send it in; without it the best that the device is bound to know.
        format: Option<ContentFormat>,
    },
    /// Execute a resource.
    Execute {
        /// Which one.
        path: Path,
        /// Its arguments, as the device is to see them.
        parameters: Option<String>,
    },
}

/// What becomes of the resources that a write does not mention (OMA TS 1.1 Core, 6.3.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// They vanish: PUT.
    Replace,
    /// They stay: POST.
    Update,
}

/// What is wrong with a request, for the person who wrote it. It is answered with `BAD_REQUEST`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// What was expected and what was found.
    pub message: String,
}

impl BadRequest {
    fn new(message: impl Into<String>) -> Self {
        BadRequest {
            message: message.into(),
        }
    }
}

impl From<FormatError> for BadRequest {
    fn from(error: FormatError) -> Self {
        BadRequest::new(error.to_string())
    }
}

impl Request {
    /// Reads a request from its raw JSON.
    pub fn parse(req: &str) -> Result<Self, BadRequest> {
        let names = ["kind", "path", "contentFormat", "mode", "node", "parameters"];
        let [kind, path, content_format, mode, node, parameters] = members(req, names)
            .map_err(|error| BadRequest::new(format!("`req` is no valid JSON: {error}")))?;
        let operation = operation(kind)?;
        let path = parse_path(path)?;
        let format = content_format.map(|json| parse_format(json.get())).transpose()?;
        match operation {
            Operation::Read => Ok(Request::Read { path, format }),
            Operation::Write => Request::write(path, node, parse_mode(mode)?, format),
            Operation::Execute => Request::execute(path, parameters),
        }
    }

    fn write(
        path: Path,
        node: Option<&RawValue>,
        mode: WriteMode,
        format: Option<ContentFormat>,
    ) -> Result<Self, BadRequest> {
        if path.level() == Level::Object {
            return Err(BadRequest::new(format!(
                "a write goes to an object instance, a resource or a resource instance, found {path}"
            )));
        }
        if mode == WriteMode::Update && path.level() != Level::Instance {
            return Err(BadRequest::new(format!(
                "`mode` UPDATE is for object instances only; {path} is a {}, where it would execute something",
                path.level()
            )));
        }
        let node =
            node.ok_or_else(|| BadRequest::new("a write needs the member `node` with what to write"))?;
        let node = node::parse(node.get(), &path)?;
        let request = Request::Write {
            path,
            node,
            mode,
            format,
        };
        request.check_payload()?;
        Ok(request)
    }

    /// A write that cannot be encoded is refused on arrival, not after its ack.
    fn check_payload(&self) -> Result<(), BadRequest> {
        let Request::Write {
            path, node, format, ..
        } = self
        else {
            return Ok(());
        };
        let length = format::encode(format.unwrap_or(coap::DEFAULT_WRITE_FORMAT), path, node)?.len();
        if length <= MAX_DEVICE_PAYLOAD {
            return Ok(());
        }
        Err(BadRequest::new(format!(
            "a write has at most {MAX_DEVICE_PAYLOAD} bytes of payload, this one has {length}"
        )))
    }

    fn execute(path: Path, parameters: Option<&RawValue>) -> Result<Self, BadRequest> {
        if path.level() != Level::Resource {
            return Err(BadRequest::new(format!(
                "an execute goes to a resource, like /3/0/4; found {path}"
            )));
        }
        let parameters = parameters.map(|json| match text(json.get()) {
            Some(text) if text.len() > MAX_DEVICE_PAYLOAD => Err(BadRequest::new(format!(
                "`parameters` has at most {MAX_DEVICE_PAYLOAD} bytes, found {}",
                text.len()
            ))),
            Some(text) => Ok(text.into_owned()),
            None => Err(BadRequest::new(format!(
                "`parameters` must be a string, found {}",
                shortened(json.get())
            ))),
        });
        Ok(Request::Execute {
            path,
            parameters: parameters.transpose()?,
        })
    }

    /// The kind, as it stands in request and response.
    pub fn kind(&self) -> &'static str {
        match self {
            Request::Read { .. } => "read",
            Request::Write { .. } => "write",
            Request::Execute { .. } => "execute",
        }
    }

    /// The path that the request names, without the device's root.
    pub fn path(&self) -> &Path {
        match self {
            Request::Read { path, .. } | Request::Write { path, .. } | Request::Execute { path, .. } => path,
        }
    }

    /// Whether a device may get it twice without harm, so that another instance may send it again (northbound
    /// contract, rule 4). A write that updates is not: what it changes between two copies would be changed back.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Request::Read { .. } => true,
            Request::Write { mode, .. } => *mode == WriteMode::Replace,
            Request::Execute { .. } => false,
        }
    }
}

/// The kind, if it is known and can be executed.
fn operation(kind: Option<&RawValue>) -> Result<Operation, BadRequest> {
    let json = kind.map_or("nothing", RawValue::get);
    let named = text(json).and_then(|name| KINDS.iter().find(|(kind, _)| *kind == name));
    let names = |wanted: fn(&&(&'static str, Option<Operation>)) -> bool| {
        let names: Vec<&str> = KINDS.iter().filter(wanted).map(|(kind, _)| *kind).collect();
        names.join(", ")
    };
    match named {
        Some((_, Some(operation))) => Ok(*operation),
        Some((kind, None)) => Err(BadRequest::new(format!(
            "requests of kind {kind} are not supported yet; supported are {}",
            names(|(_, operation)| operation.is_some())
        ))),
        None => Err(BadRequest::new(format!(
            "`kind` must be one of {}; found {}",
            names(|_| true),
            shortened(json)
        ))),
    }
}

/// A path. A slash at its end, or none at its start, is accepted, because the older dialect did.
fn parse_path(json: Option<&RawValue>) -> Result<Path, BadRequest> {
    let json = json
        .ok_or_else(|| BadRequest::new("the member `path`, like \"/3/0/1\", is missing"))?
        .get();
    let wrong =
        |error: &dyn std::fmt::Display| BadRequest::new(format!("`path` {}: {error}", shortened(json)));
    let text = text(json).ok_or_else(|| wrong(&"a path is a string, like \"/3/0/1\""))?;
    let inner = text.strip_prefix('/').unwrap_or(&text);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    format!("/{inner}").parse().map_err(|error| wrong(&error))
}

/// A format for values, by its number.
fn parse_format(json: &str) -> Result<ContentFormat, BadRequest> {
    let Some(format) = json.parse().ok().and_then(ContentFormat::from_number) else {
        return Err(BadRequest::new(format!(
            "`contentFormat` must be a number: 0 (text), 42 (opaque) or 11542 (TLV); found {}",
            shortened(json)
        )));
    };
    match format {
        ContentFormat::Text | ContentFormat::Opaque | ContentFormat::Tlv => Ok(format),
        other => Err(FormatError::Unsupported(other).into()),
    }
}

fn parse_mode(json: Option<&RawValue>) -> Result<WriteMode, BadRequest> {
    match json.map(RawValue::get) {
        None | Some("\"REPLACE\"") => Ok(WriteMode::Replace),
        Some("\"UPDATE\"") => Ok(WriteMode::Update),
        Some(other) => Err(BadRequest::new(format!(
            "`mode` must be \"REPLACE\" or \"UPDATE\", found {}",
            shortened(other)
        ))),
    }
}
