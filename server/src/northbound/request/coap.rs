//! Requests as CoAP requests. OMA TS 1.1 Transport, 6.4 (mapping of operations); RFC 7252.

use lwm2m::coap::{Code, Options, option};
use lwm2m::format::{self, ContentFormat, FormatError};
use lwm2m::link;
use lwm2m::path::Path;
use lwm2m::registration::{MAX_ROOT_BYTES, Version};

use super::{MAX_DEVICE_PAYLOAD, Request, WriteMode};

/// The format of a write that names none. TLV is the only one that carries every node and that every client of LwM2M
/// 1.0 must read; of the formats that 1.1 prefers (SenML) none is written yet. Text would do for a single resource,
/// but a client need not read it.
pub(super) const DEFAULT_WRITE_FORMAT: ContentFormat = ContentFormat::Tlv;

/// What has to be known of a device to address it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Its version of LwM2M.
    pub version: Version,
    /// The path under which its objects stand, as it registered it; `/` for most.
    pub root: &'a str,
}

/// A CoAP request without message ID and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoapRequest {
    /// Method.
    pub code: Code,
    /// Options.
    pub options: Options,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Why a request cannot be sent to a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The node has no payload in the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The request would not fit a datagram.
    #[error(
        "the payload is limited to {MAX_DEVICE_PAYLOAD} bytes and the device's root to {MAX_ROOT_BYTES}, found {payload} and {root}"
    )]
    TooLarge {
        /// Bytes of payload.
        payload: usize,
        /// Bytes of the root.
        root: usize,
    },
}

impl Request {
    /// The CoAP request for `device`.
    pub fn to_coap(&self, device: &Device<'_>) -> Result<CoapRequest, EncodeError> {
        let mut options = Options::new();
        let root = device.root.split('/').filter(|segment| !segment.is_empty());
        for segment in root {
            let segment = link::decode_segment(segment).unwrap_or(segment.into());
            options.push(option::URI_PATH, segment.as_bytes());
        }
        push_path(&mut options, self.path());
        let (code, payload) = match self {
            Request::Read { format, .. } => {
                if let Some(format) = format {
                    options.push_uint(option::ACCEPT, u32::from(format.number()));
                }
                (Code::GET, Vec::new())
            }
            Request::Write {
                path,
                node,
                mode,
                format,
            } => {
                let format = format.unwrap_or(default_write_format(device.version));
                options.push_uint(option::CONTENT_FORMAT, u32::from(format.number()));
                let code = match mode {
                    WriteMode::Replace => Code::PUT,
                    WriteMode::Update => Code::POST,
                };
                (code, format::encode(format, path, node)?)
            }
            // Text, and yet without Content-Format: that is how the reference sends it, and some clients insist.
            Request::Execute { parameters, .. } => (
                Code::POST,
                parameters.as_deref().unwrap_or_default().as_bytes().to_vec(),
            ),
        };
        if payload.len() > MAX_DEVICE_PAYLOAD || device.root.len() > MAX_ROOT_BYTES {
            return Err(EncodeError::TooLarge {
                payload: payload.len(),
                root: device.root.len(),
            });
        }
        Ok(CoapRequest {
            code,
            options,
            payload,
        })
    }
}

/// See [`DEFAULT_WRITE_FORMAT`].
fn default_write_format(version: Version) -> ContentFormat {
    match version {
        Version::V1_0 | Version::V1_1 => DEFAULT_WRITE_FORMAT,
    }
}

/// One Uri-Path option per identifier, without a detour over text on the heap.
fn push_path(options: &mut Options, path: &Path) {
    for id in path.ids() {
        let mut digits = [0; 5];
        let mut start = digits.len();
        let mut rest = *id;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        options.push(option::URI_PATH, &digits[start..]);
    }
}
