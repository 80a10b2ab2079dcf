//! What a device answered, as the JSON behind `"resp":`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lwm2m::coap::{Code, Options, option};
use lwm2m::format::{self, ContentFormat};
use lwm2m::node::{Instance, Node, Resource};
use lwm2m::path::{Level, Path};
use lwm2m::value::Value;

use super::super::json::{push_display, push_string};
use super::Request;

/// A success whose content cannot be read, for a person. The ticket ends with `UNDECODABLE`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Undecodable {
    /// What was expected and what was found.
    pub message: String,
}

impl Undecodable {
    fn new(message: impl Into<String>) -> Self {
        Undecodable {
            message: message.into(),
        }
    }
}

/// The bit of a Block option that says that more blocks follow, and the place of the block's number (RFC 7959, 2.2).
const MORE_BLOCKS: u32 = 0b1000;
const BLOCK_NUMBER_SHIFT: u32 = 4;

impl Request {
    /// The JSON object for the device's response to this request, errors of the device included.
    pub fn response_body(
        &self,
        code: Code,
        options: &Options,
        payload: &[u8],
    ) -> Result<String, Undecodable> {
        if code == Code::CONTINUE {
            return Err(Undecodable::new(
                "the device asks for the request in blocks (RFC 7959), which are not supported yet",
            ));
        }
        let mut json = String::with_capacity(128 + payload.len());
        push_display(
            &mut json,
            format_args!("{{\"kind\":\"{}\",\"code\":\"", self.kind()),
        );
        match code.known_name() {
            Some(name) => json.push_str(name),
            None => json.push_str(&code.name()),
        }
        json.push('"');
        match self {
            Request::Read { path, format } if code == Code::CONTENT => {
                let node = decode(path, *format, options, payload)?;
                json.push_str(",\"node\":");
                push_node(&mut json, &node)?;
            }
            _ if !code.is_success() && !payload.is_empty() && is_text(options) => {
                json.push_str(",\"errorMessage\":");
                push_string(&mut json, &String::from_utf8_lossy(payload));
            }
            _ => {}
        }
        json.push('}');
        Ok(json)
    }
}

/// A diagnostic payload has no Content-Format (RFC 7252, 5.5.2); some devices call it text.
fn is_text(options: &Options) -> bool {
    options
        .get_uint(option::CONTENT_FORMAT)
        .is_none_or(|number| number == 0)
}

/// The node in the payload. Without Content-Format it is what was asked for, or text where there is one value.
fn decode(
    path: &Path,
    asked: Option<ContentFormat>,
    options: &Options,
    payload: &[u8],
) -> Result<Node, Undecodable> {
    let block = options.get_uint(option::BLOCK2).unwrap_or(0);
    if block & MORE_BLOCKS != 0 || block >> BLOCK_NUMBER_SHIFT != 0 {
        return Err(Undecodable::new(
            "the device answers in blocks (RFC 7959), which are not supported yet",
        ));
    }
    let format = match options.get(option::CONTENT_FORMAT) {
        Some(_) => {
            let number = options.get_uint(option::CONTENT_FORMAT);
            let known = number.and_then(|number| ContentFormat::from_number(u16::try_from(number).ok()?));
            known.ok_or_else(|| {
                let found = number.map_or("an overlong one".to_owned(), |number| number.to_string());
                Undecodable::new(format!(
                    "the device answered in a content format that LwM2M does not have: {found}"
                ))
            })?
        }
        None if path.level() >= Level::Resource => asked.unwrap_or(ContentFormat::Text),
        None => asked.ok_or_else(|| Undecodable::new("the device's answer has no Content-Format"))?,
    };
    format::decode(format, path, payload)
        .map_err(|error| Undecodable::new(format!("the device's answer: {error}")))
}

/// Appends `node`.
fn push_node(json: &mut String, node: &Node) -> Result<(), Undecodable> {
    match node {
        Node::Resource(resource) => push_resource(json, resource),
        Node::Instance(instance) => push_instance(json, instance),
        Node::Object(object) => {
            push_display(
                json,
                format_args!("{{\"kind\":\"object\",\"id\":{},\"instances\":", object.id),
            );
            push_map(json, &object.instances, push_instance)?;
            json.push('}');
            Ok(())
        }
    }
}

fn push_instance(json: &mut String, instance: &Instance) -> Result<(), Undecodable> {
    push_display(
        json,
        format_args!("{{\"kind\":\"instance\",\"id\":{},\"resources\":", instance.id),
    );
    push_map(json, &instance.resources, push_resource)?;
    json.push('}');
    Ok(())
}

fn push_resource(json: &mut String, resource: &Resource) -> Result<(), Undecodable> {
    let (id, value_type) = (resource.id(), resource.value_type());
    match resource {
        Resource::Single { value, .. } => {
            push_display(
                json,
                format_args!(
                    "{{\"kind\":\"singleresource\",\"id\":{id},\"type\":\"{value_type}\",\"value\":"
                ),
            );
            push_value(json, value)?;
        }
        Resource::Multiple { values, .. } => {
            push_display(
                json,
                format_args!(
                    "{{\"kind\":\"multipleresource\",\"id\":{id},\"type\":\"{value_type}\",\"values\":"
                ),
            );
            push_map(json, values, push_value)?;
        }
    }
    json.push('}');
    Ok(())
}

/// Appends an object with identifiers as names.
fn push_map<T>(
    json: &mut String,
    map: &std::collections::BTreeMap<u16, T>,
    push: fn(&mut String, &T) -> Result<(), Undecodable>,
) -> Result<(), Undecodable> {
    json.push('{');
    for (place, (id, element)) in map.iter().enumerate() {
        let separator = if place == 0 { "" } else { "," };
        push_display(json, format_args!("{separator}\"{id}\":"));
        push(json, element)?;
    }
    json.push('}');
    Ok(())
}

fn push_value(json: &mut String, value: &Value) -> Result<(), Undecodable> {
    match value {
        Value::String(text) | Value::CoreLink(text) => push_string(json, text),
        Value::Integer(number) => push_display(json, number),
        Value::Unsigned(number) => push_display(json, number),
        Value::Float(number) => {
            let number = serde_json::Number::from_f64(*number).ok_or_else(|| {
                Undecodable::new(format!(
                    "the device's answer holds the float {number}, which JSON cannot express"
                ))
            })?;
            push_display(json, number);
        }
        Value::Boolean(truth) => push_display(json, truth),
        Value::Time(seconds) => {
            let milliseconds = seconds.checked_mul(1000).ok_or_else(|| {
                Undecodable::new(format!(
                    "the device's answer holds the time {seconds} s, which has no 64 bits of milliseconds"
                ))
            })?;
            push_display(json, milliseconds);
        }
        Value::Opaque(bytes) => {
            json.push('"');
            BASE64.encode_string(bytes, json);
            json.push('"');
        }
        Value::ObjectLink(link) => push_display(json, format_args!("\"{link}\"")),
    }
    Ok(())
}
