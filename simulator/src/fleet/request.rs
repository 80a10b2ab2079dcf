//! The client's side of device management (OMA TS 1.1 Core, 6.3; Transport, 6.4.5): Read, Discover, Write, Execute.
//!
//! In: a request and a view of the device's objects. Out: the response, and the entry for the device's ledger.

use std::collections::BTreeMap;

use lwm2m::coap::{Code, Message, Options, Response, option};
use lwm2m::format::{self, ContentFormat};
use lwm2m::link::{self, Attribute, AttributeValue, Link};
use lwm2m::node::{Node, Resource};
use lwm2m::objects;
use lwm2m::path::{Level, Path};
use lwm2m::value::Value;
use rand::{Rng, RngExt};

use super::objects::{LONGEST_TEXT, SECURITY, View, operations};
use crate::operation::Method;

/// A request that was carried out, or refused.
pub(super) struct Done {
    /// What it was.
    pub(super) kind: Method,
    pub(super) path: String,
    /// What was written, or the argument of an Execute.
    pub(super) argument: Option<String>,
    /// What a read of one value returned, as text.
    pub(super) value: Option<String>,
    /// What a read of several returned, by their path below that of the request.
    pub(super) values: Option<BTreeMap<String, String>>,
    pub(super) response: Response,
    /// The server asked for an Update, or changed what one has to tell.
    pub(super) update_registration: bool,
}

/// A Content-Format that nobody has registered (it is of the range for experiments; RFC 7252, 12.3).
const UNKNOWN_FORMAT: u32 = 65_000;
/// A critical option that nobody has registered (odd; RFC 7252, 12.2).
const UNKNOWN_CRITICAL: u16 = 65_001;

impl Done {
    /// True for what a server has to decode.
    pub(super) fn has_content_of_read(&self) -> bool {
        self.kind == Method::Read && !self.response.payload.is_empty()
    }

    /// Makes nonsense of the answer, in one of the ways of broken devices: its content, or an option without which it means
    /// something else.
    pub(super) fn spoil(&mut self, random: &mut impl Rng) {
        (self.value, self.values) = (None, None);
        let way = random.random_range(0..6);
        // The first of several blocks, one from the middle, an option that nobody knows.
        let odd = [
            (option::BLOCK2, 0x0d),
            (option::BLOCK2, 0x1d),
            (UNKNOWN_CRITICAL, 1),
        ];
        if let Some((number, value)) = odd.get(way) {
            self.response.options.push_uint(*number, *value);
            return;
        }
        let (format, payload): (u32, &[u8]) = match way - odd.len() {
            // A resource of 200 bytes, of which none is there.
            0 => (ContentFormat::Tlv.number().into(), &[0xc8, 0, 200]),
            // Not UTF-8.
            1 => (ContentFormat::Text.number().into(), &[0xff]),
            _ => (UNKNOWN_FORMAT, b"?"),
        };
        self.response.options = Options::new();
        self.response.options.push_uint(option::CONTENT_FORMAT, format);
        self.response.payload = payload.to_vec();
    }
}

/// What came of it before it is turned into a response.
#[derive(Default)]
struct Success {
    argument: Option<String>,
    value: Option<String>,
    values: Option<BTreeMap<String, String>>,
    update_registration: bool,
    content: Option<(ContentFormat, Vec<u8>)>,
}

/// Carries out a request.
pub(super) fn execute(mut view: View<'_>, message: &Message) -> Done {
    let path = request_path(message);
    let kind = kind(message, path.as_ref());
    let result = match &path {
        None => Err(Code::NOT_FOUND),
        // Security is for the bootstrap server alone.
        Some(path) if path.object_id() == SECURITY => Err(Code::UNAUTHORIZED),
        Some(path) if !view.has(path) => Err(Code::NOT_FOUND),
        Some(path) => match kind {
            Method::Read => read(&view, path, message),
            Method::Discover => discover(&view, path),
            Method::Write => write(&mut view, path, message),
            Method::Execute => execute_resource(path, message),
            _ => Err(Code::METHOD_NOT_ALLOWED),
        },
    };
    let code = match kind {
        Method::Read | Method::Discover => Code::CONTENT,
        _ => Code::CHANGED,
    };
    let path = path.map_or_else(String::new, |path| path.to_string());
    let (code, success) = match result {
        Ok(success) => (code, success),
        Err(code) => (
            code,
            Success {
                argument: argument_of_refused(kind, message),
                ..Success::default()
            },
        ),
    };
    let Success {
        argument,
        value,
        values,
        update_registration,
        content,
    } = success;
    let mut response = Response::of(code);
    if let Some((format, payload)) = content {
        response
            .options
            .push_uint(option::CONTENT_FORMAT, format.number().into());
        response.payload = payload;
    }
    Done {
        kind,
        path,
        argument,
        value,
        values,
        response,
        update_registration,
    }
}

fn request_path(message: &Message) -> Option<Path> {
    let segments = message.options.uri_path().collect::<Result<Vec<_>, _>>().ok()?;
    format!("/{}", segments.join("/")).parse().ok()
}

/// What the method means at this depth.
fn kind(message: &Message, path: Option<&Path>) -> Method {
    let level = path.map(Path::level);
    match message.code {
        Code::GET if accept(message) == Some(ContentFormat::Link.number().into()) => Method::Discover,
        Code::GET => Method::Read,
        Code::PUT if message.options.get(option::URI_QUERY).is_some() => Method::WriteAttributes,
        Code::PUT => Method::Write,
        Code::POST if level == Some(Level::Resource) => Method::Execute,
        Code::POST if level == Some(Level::Object) => Method::Create,
        Code::POST => Method::Write,
        Code::DELETE => Method::Delete,
        Code::FETCH => Method::ReadComposite,
        Code::IPATCH => Method::WriteComposite,
        _ => Method::Unknown,
    }
}

fn accept(message: &Message) -> Option<u32> {
    message.options.get_uint(option::ACCEPT)
}

fn read(view: &View<'_>, path: &Path, message: &Message) -> Result<Success, Code> {
    // What is there and cannot be read is executed.
    let node = view.read(path).ok_or(Code::METHOD_NOT_ALLOWED)?;
    let single = matches!(node, Node::Resource(Resource::Single { .. }));
    let format = match accept(message) {
        None if single => ContentFormat::Text,
        None => ContentFormat::Tlv,
        Some(0) if single => ContentFormat::Text,
        Some(number) if number == u32::from(ContentFormat::Tlv.number()) => ContentFormat::Tlv,
        Some(_) => return Err(Code::NOT_ACCEPTABLE),
    };
    let payload = format::encode(format, path, &node).map_err(|_| Code::INTERNAL_SERVER_ERROR)?;
    let (value, values) = match &node {
        Node::Resource(Resource::Single { value, .. }) => (Some(as_text(value)), None),
        several => (None, Some(texts_of(several))),
    };
    Ok(Success {
        value,
        values,
        content: Some((format, payload)),
        ..Success::default()
    })
}

fn discover(view: &View<'_>, path: &Path) -> Result<Success, Code> {
    let object = path.object_id();
    let mut paths = Vec::new();
    if path.level() == Level::Object {
        paths.push(*path);
    }
    match path.level() {
        Level::Object | Level::Instance => {
            paths.push(Path::instance(object, 0));
            let resources = View::resources(object).unwrap_or_default();
            paths.extend(resources.iter().map(|id| Path::resource(object, 0, *id)));
        }
        Level::Resource => paths.push(*path),
        Level::ResourceInstance => return Err(Code::METHOD_NOT_ALLOWED),
    }
    let links: Vec<_> = paths.iter().map(|path| link_to(view, path)).collect();
    let content = Some((ContentFormat::Link, link::write(&links).into_bytes()));
    Ok(Success {
        content,
        ..Success::default()
    })
}

/// A link that tells the number of values of a multiple resource (`dim`).
fn link_to(view: &View<'_>, path: &Path) -> Link<'static> {
    let mut link = Link::new(path.to_string());
    if path.level() == Level::Resource
        && let Some(Node::Resource(Resource::Multiple { values, .. })) = view.read(path)
    {
        let value = Some(AttributeValue::Token(values.len().to_string().into()));
        link.attributes.push(Attribute {
            name: "dim".into(),
            value,
        });
    }
    link
}

fn write(view: &mut View<'_>, path: &Path, message: &Message) -> Result<Success, Code> {
    if path.level() == Level::Object || (message.code == Code::POST && path.level() != Level::Instance) {
        return Err(Code::METHOD_NOT_ALLOWED);
    }
    if let Some(resource) = path.resource_id()
        && !operations(path.object_id(), resource).write
    {
        return Err(Code::METHOD_NOT_ALLOWED);
    }
    let node = format::decode(content_format(path, message)?, path, &message.payload)
        .map_err(|_| Code::BAD_REQUEST)?;
    let resources = match node {
        Node::Resource(resource) => vec![resource],
        Node::Instance(instance) => instance.resources.into_values().collect(),
        Node::Object(_) => return Err(Code::BAD_REQUEST),
    };
    // All is checked before anything is changed.
    let values = resources
        .into_iter()
        .map(|resource| writable(path.object_id(), resource))
        .collect::<Result<Vec<_>, _>>()?;
    if path.level() == Level::Instance && message.code == Code::PUT {
        view.clear(path.object_id());
    }
    let texts: Vec<_> = values.iter().map(|(_, value)| as_text(value)).collect();
    for (id, value) in values {
        view.write(path.object_id(), id, value);
    }
    Ok(Success {
        argument: Some(texts.join(",")),
        // Lifetime and binding are what a server has to be told of.
        update_registration: path.object_id() == 1,
        ..Success::default()
    })
}

fn content_format(path: &Path, message: &Message) -> Result<ContentFormat, Code> {
    let format = match message.options.get_uint(option::CONTENT_FORMAT) {
        None if path.level() == Level::Instance => ContentFormat::Tlv,
        None => ContentFormat::Text,
        Some(number) => {
            let number = u16::try_from(number).map_err(|_| Code::UNSUPPORTED_CONTENT_FORMAT)?;
            ContentFormat::from_number(number).ok_or(Code::UNSUPPORTED_CONTENT_FORMAT)?
        }
    };
    match format {
        ContentFormat::Text | ContentFormat::Tlv => Ok(format),
        _ => Err(Code::UNSUPPORTED_CONTENT_FORMAT),
    }
}

/// The value to write, if the resource may be written and the value is one it can have.
fn writable(object: u16, resource: Resource) -> Result<(u16, Value), Code> {
    let Resource::Single { id, value } = resource else {
        return Err(Code::BAD_REQUEST);
    };
    if !View::resources(object).is_some_and(|resources| resources.contains(&id)) {
        return Err(Code::NOT_FOUND);
    }
    if !operations(object, id).write {
        return Err(Code::METHOD_NOT_ALLOWED);
    }
    let expected = objects::value_type(object, id).ok_or(Code::METHOD_NOT_ALLOWED)?;
    let value = value.convert(expected).map_err(|_| Code::BAD_REQUEST)?;
    match &value {
        Value::String(text) if text.len() > LONGEST_TEXT => Err(Code::REQUEST_ENTITY_TOO_LARGE),
        Value::Integer(seconds) if object == 1 && u32::try_from(*seconds).is_err() => Err(Code::BAD_REQUEST),
        Value::Integer(0) if (object, id) == (1, 1) => Err(Code::BAD_REQUEST),
        _ => Ok((id, value)),
    }
}

/// The ledger is all that an execution leaves behind; a reboot would also forget what the device has to recognise as
/// copies, so that is the harness's to order ([`super::Fleet::reboot`]).
fn execute_resource(path: &Path, message: &Message) -> Result<Success, Code> {
    let resource = path.resource_id().ok_or(Code::METHOD_NOT_ALLOWED)?;
    if !operations(path.object_id(), resource).execute {
        return Err(Code::METHOD_NOT_ALLOWED);
    }
    if !message.payload.is_empty() && message.options.get_uint(option::CONTENT_FORMAT).unwrap_or(0) != 0 {
        return Err(Code::UNSUPPORTED_CONTENT_FORMAT);
    }
    let argument = std::str::from_utf8(&message.payload).map_err(|_| Code::BAD_REQUEST)?;
    Ok(Success {
        argument: (!argument.is_empty()).then(|| argument.to_owned()),
        update_registration: (path.object_id(), resource) == (1, 8),
        ..Success::default()
    })
}

/// So that a refused request can be told from another one, too.
fn argument_of_refused(kind: Method, message: &Message) -> Option<String> {
    let telling = matches!(kind, Method::Write | Method::Execute) && !message.payload.is_empty();
    telling.then(|| String::from_utf8_lossy(&message.payload).into_owned())
}

/// All values in a node, by their path below it.
fn texts_of(node: &Node) -> BTreeMap<String, String> {
    let of_resource = |resource: &Resource| match resource {
        Resource::Single { id, value } => vec![(id.to_string(), as_text(value))],
        Resource::Multiple { id, values, .. } => values
            .iter()
            .map(|(index, value)| (format!("{id}/{index}"), as_text(value)))
            .collect(),
    };
    match node {
        Node::Resource(Resource::Single { .. }) => BTreeMap::new(),
        Node::Resource(Resource::Multiple { values, .. }) => values
            .iter()
            .map(|(index, value)| (index.to_string(), as_text(value)))
            .collect(),
        Node::Instance(instance) => instance.resources.values().flat_map(of_resource).collect(),
        Node::Object(object) => {
            let instances = object.instances.values();
            let below = instances.flat_map(|instance| {
                let resources = instance.resources.values().flat_map(of_resource);
                resources.map(|(path, text)| (format!("{}/{path}", instance.id), text))
            });
            below.collect()
        }
    }
}

/// A value as the text format writes it.
fn as_text(value: &Value) -> String {
    let node = Node::single(0, value.clone());
    let text = format::encode(ContentFormat::Text, &Path::resource(0, 0, 0), &node);
    text.ok()
        .and_then(|text| String::from_utf8(text).ok())
        .unwrap_or_default()
}
