//! The registration interface as a server sees it: a CoAP request to `/rd` becomes a Register, an Update or a
//! De-register with every parameter checked, or an error with the response code that the device gets.
//! OMA TS 1.0, 5.3 and 8.2.3; OMA TS 1.1 Core, 6.2, and Transport, 6.4.3.

mod binding;
mod parameters;

use std::fmt;

pub use binding::Binding;
use parameters::Parameters;

use crate::coap::{Code, Message, option};
use crate::format::ContentFormat;
use crate::link::{self, Link};
use crate::path::Path;

/// The lifetime of a registration whose Register has no `lt`, in seconds: a day.
pub const DEFAULT_LIFETIME: u32 = 86_400;
/// The longest endpoint name, in bytes.
pub const MAX_ENDPOINT_BYTES: usize = 255;
/// The longest path under which a device's objects may stand, in bytes; it goes into every request.
pub const MAX_ROOT_BYTES: usize = 255;
/// The first segment of every path of the interface.
pub const REGISTRATION_PATH: &str = "rd";

/// The LwM2M versions that are understood. A device with any other is told so with 4.12 (OMA TS 1.1 Core, 6.2.1) and
/// may register again with one of these.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// LwM2M 1.0, also the version of a device that names none.
    V1_0,
    /// LwM2M 1.1.
    V1_1,
}

impl Version {
    /// As it stands in the `lwm2m` parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::V1_0 => "1.0",
            Version::V1_1 => "1.1",
        }
    }

    /// The version that `text` names, if it is one of those understood.
    pub fn from_text(text: &str) -> Option<Self> {
        [Version::V1_0, Version::V1_1]
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request of the registration interface. It borrows from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationRequest<'a> {
    /// POST on `/rd`.
    Register(Register<'a>),
    /// POST, or PUT as in LwM2M 1.0's early clients, on `/rd/ID`.
    Update(Update<'a>),
    /// DELETE on `/rd/ID`.
    Deregister {
        /// The ID in the location, at most 255 bytes.
        registration_id: &'a str,
    },
}

/// A device that makes itself known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// Its name: 1 to [`MAX_ENDPOINT_BYTES`] bytes without control characters.
    pub endpoint: &'a str,
    /// Seconds until the registration ends without an Update, at least 1.
    pub lifetime: u32,
    /// Its version of LwM2M.
    pub version: Version,
    /// How it can be reached.
    pub binding: Binding<'a>,
    /// Whether it sleeps: a `Q` in a binding of 1.0, the parameter `Q` in 1.1.
    pub queue_mode: bool,
    /// Its telephone number.
    pub sms: Option<&'a str>,
    /// Its objects and instances, at least one link.
    pub links: Vec<Link<'a>>,
    /// Every parameter that has no place of its own above (1.1's `Q` is one), in order; without `=` the value is empty.
    pub attributes: Vec<(&'a str, &'a str)>,
}

/// A device that is still there. `None` means that the registered value stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The ID in the location, at most 255 bytes.
    pub registration_id: &'a str,
    /// A new lifetime in seconds, at least 1.
    pub lifetime: Option<u32>,
    /// A new binding. It is one of either version; [`Binding::fits`] says of which.
    pub binding: Option<Binding<'a>>,
    /// A new telephone number.
    pub sms: Option<&'a str>,
    /// A new list of objects and instances.
    pub links: Option<Vec<Link<'a>>>,
    /// As in [`Register::attributes`].
    pub attributes: Vec<(&'a str, &'a str)>,
}

/// Why a request was refused, in the two forms in which the device is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RegistrationError {
    /// Response code.
    pub code: Code,
    /// Diagnostic payload.
    pub message: String,
}

impl RegistrationError {
    fn new(code: Code, message: impl Into<String>) -> Self {
        RegistrationError {
            code,
            message: message.into(),
        }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        RegistrationError::new(Code::BAD_REQUEST, message)
    }
}

impl<'a> RegistrationRequest<'a> {
    /// The request that `message` makes. Its code decides, not its kind: whether it was confirmable is the message
    /// layer's business.
    pub fn parse(message: &'a Message) -> Result<Self, RegistrationError> {
        let mut segments = message.options.all(option::URI_PATH);
        let (first, id, more) = (segments.next(), segments.next(), segments.next());
        if let Some(what) = first.and_then(not_served) {
            return Err(RegistrationError::new(Code::NOT_FOUND, what));
        }
        if first != Some(REGISTRATION_PATH.as_bytes()) || more.is_some() {
            return Err(RegistrationError::new(
                Code::NOT_FOUND,
                "a registration goes to /rd, an Update or De-register to the location that it was given",
            ));
        }
        match (message.code, id) {
            (Code::POST, None) => Register::parse(message).map(RegistrationRequest::Register),
            (Code::POST | Code::PUT, Some(id)) => {
                Update::parse(registration_id(id)?, message).map(RegistrationRequest::Update)
            }
            (Code::DELETE, Some(id)) => Ok(RegistrationRequest::Deregister {
                registration_id: registration_id(id)?,
            }),
            (code, _) => Err(RegistrationError::new(
                Code::METHOD_NOT_ALLOWED,
                format!(
                    "POST to /rd registers; POST, PUT and DELETE go to a registration's location; found {code}"
                ),
            )),
        }
    }
}

/// Interfaces of LwM2M that are asked for at fixed paths, and not served here.
fn not_served(first: &[u8]) -> Option<&'static str> {
    match first {
        b"dp" => Some("/dp, the Send operation of LwM2M 1.1, is not served here; a registration goes to /rd"),
        b"bs" => Some("/bs is a bootstrap server's, and this is none; a registration goes to /rd"),
        _ => None,
    }
}

/// The identifier in a location. Bytes that are not text cannot be one that was given out.
fn registration_id(segment: &[u8]) -> Result<&str, RegistrationError> {
    let unknown = || RegistrationError::new(Code::NOT_FOUND, "no such registration");
    let id = std::str::from_utf8(segment).map_err(|_| unknown())?;
    if id.is_empty() { Err(unknown()) } else { Ok(id) }
}

impl<'a> Register<'a> {
    fn parse(message: &'a Message) -> Result<Self, RegistrationError> {
        let mut parameters = Parameters::parse(message)?;
        let endpoint = endpoint(parameters.take("ep"))?;
        let version = version(parameters.take("lwm2m"))?;
        let lifetime = lifetime(parameters.take("lt"))?.unwrap_or(DEFAULT_LIFETIME);
        let binding = match parameters.take("b") {
            None => Binding::default(),
            Some(text) => Binding::parse(text)
                .filter(|binding| binding.fits(version))
                .ok_or_else(|| bad_binding(text, version))?,
        };
        let queue_mode = binding.has_queue_mode() || (version >= Version::V1_1 && parameters.contains("Q"));
        let sms = sms(parameters.take("sms"))?;
        let links = links(message)?;
        if links.is_empty() {
            return Err(RegistrationError::bad_request(
                "a Register lists the device's objects in its payload, like </1/0>,</3/0>; found none",
            ));
        }
        let attributes = parameters.rest();
        Ok(Register {
            endpoint,
            lifetime,
            version,
            binding,
            queue_mode,
            sms,
            links,
            attributes,
        })
    }

    /// The path under which the device's objects stand, as it wrote it, if it named one.
    pub fn root(&self) -> Option<&str> {
        root(&self.links)
    }
}

/// The target of the first link with `rt="oma.lwm2m"`: the path under which the objects stand (OMA TS 1.1 Transport,
/// 6.4.1). Without one it is `/`.
pub fn root<'l>(links: &'l [Link<'_>]) -> Option<&'l str> {
    let names_root = |link: &&Link<'_>| {
        let types = link.attribute("rt").map_or("", |types| types.text());
        types
            .split_ascii_whitespace()
            .any(|resource_type| resource_type == "oma.lwm2m")
    };
    links.iter().find(names_root).map(|link| &*link.target)
}

impl<'a> Update<'a> {
    fn parse(registration_id: &'a str, message: &'a Message) -> Result<Self, RegistrationError> {
        let mut parameters = Parameters::parse(message)?;
        // What only a Register can say, and some clients say again: it changes nothing.
        parameters.take("ep");
        parameters.take("lwm2m");
        let binding = match parameters.take("b") {
            None => None,
            Some(text) => Some(Binding::parse(text).ok_or_else(|| bad_binding(text, Version::V1_1))?),
        };
        Ok(Update {
            registration_id,
            lifetime: lifetime(parameters.take("lt"))?,
            binding,
            sms: sms(parameters.take("sms"))?,
            links: if message.payload.is_empty() {
                None
            } else {
                Some(links(message)?)
            },
            attributes: parameters.rest(),
        })
    }
}

fn endpoint(parameter: Option<&str>) -> Result<&str, RegistrationError> {
    match parameter {
        None | Some("") => Err(RegistrationError::bad_request(
            "a Register needs the device's name: ep=NAME",
        )),
        Some(name) if name.len() > MAX_ENDPOINT_BYTES => Err(RegistrationError::bad_request(format!(
            "an endpoint name has at most {MAX_ENDPOINT_BYTES} bytes, found {}",
            name.len()
        ))),
        Some(name) if name.chars().any(char::is_control) => Err(RegistrationError::bad_request(
            "an endpoint name has no control characters",
        )),
        Some(name) => Ok(name),
    }
}

fn version(parameter: Option<&str>) -> Result<Version, RegistrationError> {
    let Some(text) = parameter else {
        return Ok(Version::V1_0);
    };
    Version::from_text(text).ok_or_else(|| {
        let message = format!("LwM2M versions 1.0 and 1.1 are supported, found lwm2m={text}");
        RegistrationError::new(Code::PRECONDITION_FAILED, message)
    })
}

fn lifetime(parameter: Option<&str>) -> Result<Option<u32>, RegistrationError> {
    let Some(text) = parameter else {
        return Ok(None);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| digits && *seconds > 0);
    seconds.map(Some).ok_or_else(|| {
        RegistrationError::bad_request(format!("a lifetime is 1 to 4294967295 seconds, found lt={text}"))
    })
}

fn bad_binding(text: &str, version: Version) -> RegistrationError {
    let known = match version {
        Version::V1_0 => "one of U, UQ, S, SQ, US and UQS",
        Version::V1_1 => "made of the letters U, M, H, T, S and N, each at most once",
    };
    RegistrationError::bad_request(format!("a binding of LwM2M {version} is {known}, found b={text}"))
}

fn sms(parameter: Option<&str>) -> Result<Option<&str>, RegistrationError> {
    match parameter {
        Some(number) if number.is_empty() || number.chars().any(char::is_control) => Err(
            RegistrationError::bad_request("a telephone number is not empty and has no control characters"),
        ),
        number => Ok(number),
    }
}

/// The links in the payload.
fn links(message: &Message) -> Result<Vec<Link<'_>>, RegistrationError> {
    let format = message.options.get_uint(option::CONTENT_FORMAT);
    if format.is_some_and(|format| format != u32::from(ContentFormat::Link.number())) {
        return Err(RegistrationError::new(
            Code::UNSUPPORTED_CONTENT_FORMAT,
            "the list of objects is sent in link format, content format 40",
        ));
    }
    let text = std::str::from_utf8(&message.payload)
        .map_err(|error| RegistrationError::bad_request(format!("the list of objects: {error}")))?;
    let links = link::parse(text).map_err(|error| RegistrationError::bad_request(error.to_string()))?;
    let root = root(&links).unwrap_or("/");
    let is_path = root.starts_with('/') && !root.contains(['?', '#']);
    if !is_path
        || root
            .split('/')
            .any(|segment| link::decode_segment(segment).is_none())
    {
        return Err(RegistrationError::bad_request(
            "the link with rt=\"oma.lwm2m\" is a path of UTF-8 text that starts with a slash",
        ));
    }
    match links.iter().find(|link| is_impossible(&link.target, root)) {
        Some(link) => Err(RegistrationError::bad_request(format!(
            "{} can't be the path of an object or instance: at most four numbers from 0 to 65535 without leading zeros",
            link.target
        ))),
        None => Ok(links),
    }
}

/// Numbers below the root that name no object, instance or resource. What is no number is a link to something else.
fn is_impossible(target: &str, root: &str) -> bool {
    let Some(below) = target.strip_prefix(root.trim_end_matches('/')) else {
        return false;
    };
    let Some(segments) = below.strip_prefix('/').filter(|segments| !segments.is_empty()) else {
        return false;
    };
    let is_number = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    segments.split('/').all(is_number) && below.parse::<Path>().is_err()
}
