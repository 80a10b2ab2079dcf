//! The CoRE link format, RFC 6690: `</1/0>,</3/0>;ver="1.1"`. Text in, links that borrow from it out, and back.

use std::borrow::Cow;
use std::fmt;

/// The longest text that is parsed, in bytes.
pub const MAX_BYTES: usize = 1 << 16;
/// The most links in one text.
pub const MAX_LINKS: usize = 1024;
/// The most attributes of one link.
pub const MAX_ATTRIBUTES: usize = 32;

/// One link: a target and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// What stands between the angle brackets.
    pub target: Cow<'a, str>,
    /// The attributes in the order in which they were written.
    pub attributes: Vec<Attribute<'a>>,
}

/// One attribute of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value; `None` for an attribute that consists of its name.
    pub value: Option<AttributeValue<'a>>,
}

/// The value of an attribute, in the two spellings that RFC 6690 has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// Written bare, like the number in `ct=40`.
    Token(Cow<'a, str>),
    /// Written in quotes; here without them and without escapes.
    Quoted(Cow<'a, str>),
}

impl AttributeValue<'_> {
    /// The value without regard to its spelling.
    pub fn text(&self) -> &str {
        match self {
            AttributeValue::Token(text) | AttributeValue::Quoted(text) => text,
        }
    }
}

impl<'a> Link<'a> {
    /// A link without attributes.
    pub fn new(target: impl Into<Cow<'a, str>>) -> Self {
        Link {
            target: target.into(),
            attributes: Vec::new(),
        }
    }

    /// The value of the first attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue<'a>> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)?
            .value
            .as_ref()
    }
}

/// Why a text is not in link format, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The grammar of RFC 6690 is broken.
    #[error("link format, byte {at}: expected {expected}")]
    Syntax {
        /// Offset from the start of the text.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Beyond [`MAX_BYTES`], [`MAX_LINKS`] or [`MAX_ATTRIBUTES`].
    #[error("link format: the number of {what} is limited to {limit}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The largest allowed count.
        limit: usize,
    },
}

/// The links in `text`. White space around commas and semicolons is accepted; an empty text has no links.
pub fn parse(text: &str) -> Result<Vec<Link<'_>>, LinkError> {
    if text.len() > MAX_BYTES {
        return Err(LinkError::TooMany {
            what: "bytes",
            limit: MAX_BYTES,
        });
    }
    let mut parser = Parser { text, at: 0 };
    let mut links = Vec::new();
    parser.skip_space();
    if parser.peek().is_none() {
        return Ok(links);
    }
    loop {
        if links.len() == MAX_LINKS {
            return Err(LinkError::TooMany {
                what: "links",
                limit: MAX_LINKS,
            });
        }
        links.push(parser.link()?);
        if parser.peek().is_none() {
            return Ok(links);
        }
        parser.expect(b',', "a comma or the end")?;
        parser.skip_space();
    }
}

/// Walks over the text by bytes; it stops only at ASCII characters, so every slice is at a character boundary.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: u8, expected: &'static str) -> Result<(), LinkError> {
        if self.peek() != Some(wanted) {
            return Err(LinkError::Syntax {
                at: self.at,
                expected,
            });
        }
        self.at += 1;
        Ok(())
    }

    /// The longest run of bytes that are `wanted`.
    fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// A link, and the white space after it.
    fn link(&mut self) -> Result<Link<'a>, LinkError> {
        self.expect(b'<', "a link in angle brackets")?;
        let target = self.run(|byte| byte > b' ' && !matches!(byte, b'<' | b'>' | b'"' | 0x7F));
        self.expect(b'>', "`>` at the end of a link without white space")?;
        if let Some(place) = bad_escape(target) {
            return Err(LinkError::Syntax {
                at: self.at - 1 - target.len() + place,
                expected: "two hexadecimal digits after a percent sign (RFC 3986, 2.1)",
            });
        }
        let mut link = Link::new(target);
        self.skip_space();
        while self.peek() == Some(b';') {
            self.at += 1;
            self.skip_space();
            if link.attributes.len() == MAX_ATTRIBUTES {
                return Err(LinkError::TooMany {
                    what: "attributes of a link",
                    limit: MAX_ATTRIBUTES,
                });
            }
            link.attributes.push(self.attribute()?);
            self.skip_space();
        }
        Ok(link)
    }

    fn attribute(&mut self) -> Result<Attribute<'a>, LinkError> {
        let start = self.at;
        let name = self.run(|byte| is_token_byte(byte) && byte != b'=');
        if name.is_empty() {
            return Err(LinkError::Syntax {
                at: start,
                expected: "the name of an attribute",
            });
        }
        let name = Cow::Borrowed(name);
        if self.peek() != Some(b'=') {
            return Ok(Attribute { name, value: None });
        }
        self.at += 1;
        let value = if self.peek() == Some(b'"') {
            AttributeValue::Quoted(self.quoted()?)
        } else {
            let at = self.at;
            let token = self.run(is_token_byte);
            if token.is_empty() {
                return Err(LinkError::Syntax {
                    at,
                    expected: "the value of an attribute after `=`",
                });
            }
            AttributeValue::Token(Cow::Borrowed(token))
        };
        Ok(Attribute {
            name,
            value: Some(value),
        })
    }

    /// A quoted string without its quotes. It borrows unless it holds an escape.
    fn quoted(&mut self) -> Result<Cow<'a, str>, LinkError> {
        self.expect(b'"', "a quoted string")?;
        let mut value = Cow::Borrowed("");
        loop {
            let piece = self.run(|byte| !matches!(byte, b'"' | b'\\'));
            if value.is_empty() {
                value = Cow::Borrowed(piece);
            } else {
                value.to_mut().push_str(piece);
            }
            if self.peek() != Some(b'\\') {
                self.expect(b'"', "`\"` at the end of a quoted string")?;
                return Ok(value);
            }
            let escaped = self.text[self.at + 1..].chars().next();
            let Some(escaped) = escaped else {
                return Err(LinkError::Syntax {
                    at: self.at,
                    expected: "a character after the backslash",
                });
            };
            value.to_mut().push(escaped);
            self.at += 1 + escaped.len_utf8();
        }
    }
}

/// Where a percent sign stands without two hexadecimal digits behind it.
fn bad_escape(target: &str) -> Option<usize> {
    let bytes = target.as_bytes();
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    (0..bytes.len()).find(|at| bytes[*at] == b'%' && !is_escape(*at))
}

/// The text that a segment of a path means (RFC 3986, 2.1); `None` if that is no UTF-8, or an escape is broken.
pub fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// What may stand in a name or in a value without quotes: visible ASCII but the four that have a meaning of their own.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// The link in link format. A token that could not be read back as one is written in quotes.
impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.target)?;
        for attribute in &self.attributes {
            write!(f, ";{}", attribute.name)?;
            match &attribute.value {
                None => {}
                Some(AttributeValue::Token(token))
                    if !token.is_empty() && token.bytes().all(is_token_byte) =>
                {
                    write!(f, "={token}")?;
                }
                Some(value) => {
                    f.write_str("=\"")?;
                    for character in value.text().chars() {
                        if matches!(character, '"' | '\\') {
                            f.write_str("\\")?;
                        }
                        write!(f, "{character}")?;
                    }
                    f.write_str("\"")?;
                }
            }
        }
        Ok(())
    }
}

/// `links` as one text in link format.
pub fn write(links: &[Link<'_>]) -> String {
    let mut text = String::new();
    for link in links {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&link.to_string());
    }
    text
}
