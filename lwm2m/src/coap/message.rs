//! The message format (RFC 7252, 3): a strict decoder and an encoder.
//!
//! In: a datagram. Out: a [`Message`], or a [`DecodeError`] that knows whether the sender is owed a Reset (4.2).

use super::option::{self, Options};
use super::{Code, Token};

/// The longest datagram that is read or sent. RFC 7252, 4.6 suggests 1152 bytes; long object lists go beyond it.
pub const MAX_MESSAGE_BYTES: usize = 8192;

/// The most options that a message may have.
pub const MAX_OPTIONS: usize = 128;

/// The type of a message (RFC 7252, 3): the RFC's "T".
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Kind {
    /// CON
    Confirmable,
    /// NON
    NonConfirmable,
    /// ACK
    Acknowledgement,
    /// RST
    Reset,
}

/// A CoAP message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// CON, NON, ACK or RST.
    pub kind: Kind,
    /// Method or response code; `EMPTY` needs an empty token, no options and no payload.
    pub code: Code,
    /// Ties ACK and RST to the message they answer, and copies to each other.
    pub message_id: u16,
    /// Ties a response to its request.
    pub token: Token,
    /// Ordered by number.
    pub options: Options,
    /// Empty: no payload, and no marker in the datagram.
    pub payload: Vec<u8>,
}

/// A datagram that is no CoAP message.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a CoAP message: {malformation}")]
pub struct DecodeError {
    /// What is wrong.
    pub malformation: Malformation,
    /// What could be read before, if the header is that of a CoAP version 1 message: a broken Confirmable is answered,
    /// all else is ignored (RFC 7252, 4.2 and 4.3).
    pub header: Option<Header>,
}

/// The beginning of a message that is broken further on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// CON, NON, ACK or RST.
    pub kind: Kind,
    /// As it stands there.
    pub code: Code,
    /// The message ID.
    pub message_id: u16,
    /// `None` if the token itself is broken.
    pub token: Option<Token>,
}

/// What is wrong with a datagram.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformation {
    /// Fewer than the header's four bytes.
    #[error("expected a header of 4 bytes, found {0} bytes")]
    Short(usize),
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("expected at most {MAX_MESSAGE_BYTES} bytes, found {0}")]
    Long(usize),
    /// Another version than 1.
    #[error("expected version 1, found {0}")]
    Version(u8),
    /// A class that RFC 7252, 12.1 reserves.
    #[error("expected a request, a response or an empty message, found the reserved code {0}")]
    ReservedCode(Code),
    /// A token length of 9 to 15.
    #[error("expected a token of 0 to 8 bytes, found the length {0}")]
    TokenLength(u8),
    /// The datagram ends inside the token.
    #[error("the datagram ends inside the token")]
    CutToken,
    /// An empty message with something behind its header.
    #[error("an empty message (0.00) has 4 bytes, this one has {0}")]
    NonEmpty(usize),
    /// The datagram ends inside an option, or the option uses the reserved 15.
    #[error("the option at byte {0} is cut short, or uses the reserved delta or length 15")]
    Option(usize),
    /// Deltas that add up to more than 65 535.
    #[error("the option at byte {0} has a number beyond 65535")]
    OptionNumber(usize),
    /// More than [`MAX_OPTIONS`].
    #[error("expected at most {MAX_OPTIONS} options")]
    TooManyOptions,
    /// The marker 0xff as the last byte.
    #[error("expected a payload after the payload marker, found the end")]
    NoPayload,
}

impl Malformation {
    /// The response code for a request that is well-formed and more than is read here; `None` for a message format
    /// error, which is answered with a Reset (RFC 7252, 4.2).
    pub fn response_code(&self) -> Option<Code> {
        match self {
            Malformation::Long(_) => Some(Code::REQUEST_ENTITY_TOO_LARGE),
            Malformation::TooManyOptions => Some(Code::BAD_REQUEST),
            _ => None,
        }
    }
}

impl Message {
    /// A message without options and payload.
    pub fn new(kind: Kind, code: Code, message_id: u16, token: Token) -> Self {
        Message {
            kind,
            code,
            message_id,
            token,
            options: Options::new(),
            payload: Vec::new(),
        }
    }

    /// An empty message: an acknowledgement, a Reset, or as a Confirmable a ping.
    pub fn empty(kind: Kind, message_id: u16) -> Self {
        Message::new(kind, Code::EMPTY, message_id, Token::EMPTY)
    }

    /// Reads a datagram, strictly.
    pub fn decode(datagram: &[u8]) -> Result<Message, DecodeError> {
        let (kind, message_id) = read_kind_and_id(datagram).map_err(|malformation| DecodeError {
            malformation,
            header: None,
        })?;
        decode_rest(datagram, kind, message_id).map_err(|malformation| DecodeError {
            malformation,
            header: Some(Header {
                kind,
                code: Code::from(datagram[1]),
                message_id,
                token: read_token(datagram).ok(),
            }),
        })
    }

    /// Appends the message as a datagram. One that is longer than [`MAX_MESSAGE_BYTES`] no decoder here accepts.
    pub fn encode(&self, datagram: &mut Vec<u8>) {
        let token = self.token.as_bytes();
        datagram.reserve(self.encoded_length());
        datagram.push(1 << 6 | (self.kind as u8) << 4 | token.len() as u8);
        datagram.push(self.code.into());
        datagram.extend_from_slice(&self.message_id.to_be_bytes());
        datagram.extend_from_slice(token);
        datagram.extend_from_slice(self.options.as_wire());
        if !self.payload.is_empty() {
            datagram.push(PAYLOAD_MARKER);
            datagram.extend_from_slice(&self.payload);
        }
    }

    /// The length of the datagram, in bytes.
    pub fn encoded_length(&self) -> usize {
        let payload = if self.payload.is_empty() {
            0
        } else {
            1 + self.payload.len()
        };
        HEADER_BYTES + self.token.as_bytes().len() + self.options.as_wire().len() + payload
    }
}

const HEADER_BYTES: usize = 4;
const PAYLOAD_MARKER: u8 = 0xff;

/// The part without which the sender gets no Reset: a foreign version must be ignored silently.
fn read_kind_and_id(datagram: &[u8]) -> Result<(Kind, u16), Malformation> {
    let &[first, _, high, low, ..] = datagram else {
        return Err(Malformation::Short(datagram.len()));
    };
    if first >> 6 != 1 {
        return Err(Malformation::Version(first >> 6));
    }
    let kind = match first >> 4 & 0b11 {
        0 => Kind::Confirmable,
        1 => Kind::NonConfirmable,
        2 => Kind::Acknowledgement,
        _ => Kind::Reset,
    };
    Ok((kind, u16::from_be_bytes([high, low])))
}

fn decode_rest(datagram: &[u8], kind: Kind, message_id: u16) -> Result<Message, Malformation> {
    if datagram.len() > MAX_MESSAGE_BYTES {
        return Err(Malformation::Long(datagram.len()));
    }
    let code = Code::from(datagram[1]);
    if code == Code::EMPTY && datagram.len() > HEADER_BYTES {
        return Err(Malformation::NonEmpty(datagram.len()));
    }
    if code != Code::EMPTY && !code.is_request() && !code.is_response() {
        return Err(Malformation::ReservedCode(code));
    }
    let token = read_token(datagram)?;
    let start = HEADER_BYTES + token.as_bytes().len();
    let (end, last) = check_options(datagram, start)?;
    let options = Options::from_checked_wire(&datagram[start..end], last);
    let payload = match datagram.get(end..) {
        Some([PAYLOAD_MARKER]) => return Err(Malformation::NoPayload),
        Some([PAYLOAD_MARKER, payload @ ..]) => payload.to_vec(),
        _ => Vec::new(),
    };
    Ok(Message {
        kind,
        code,
        message_id,
        token,
        options,
        payload,
    })
}

fn read_token(datagram: &[u8]) -> Result<Token, Malformation> {
    let length = datagram[0] & 0x0f;
    if usize::from(length) > Token::MAX_LENGTH {
        return Err(Malformation::TokenLength(length));
    }
    let end = HEADER_BYTES + usize::from(length);
    let token = datagram.get(HEADER_BYTES..end).ok_or(Malformation::CutToken)?;
    Token::try_from(token).map_err(|_| Malformation::TokenLength(length))
}

/// Walks through the options from `start`. Returns where they end, and the number of the last.
fn check_options(datagram: &[u8], start: usize) -> Result<(usize, u16), Malformation> {
    let (mut at, mut number, mut count) = (start, 0usize, 0);
    while at < datagram.len() && datagram[at] != PAYLOAD_MARKER {
        let (delta, length, header) = option::read_header(&datagram[at..]).ok_or(Malformation::Option(at))?;
        number += delta;
        count += 1;
        if number > usize::from(u16::MAX) {
            return Err(Malformation::OptionNumber(at));
        }
        if count > MAX_OPTIONS {
            return Err(Malformation::TooManyOptions);
        }
        if header + length > datagram.len() - at {
            return Err(Malformation::Option(at));
        }
        at += header + length;
    }
    Ok((at, number as u16))
}
