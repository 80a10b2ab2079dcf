//! The token, which ties a response to its request (RFC 7252, 5.3.1).

use std::fmt;

/// 0 to 8 bytes. `Copy`, because it is the key of an exchange.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Default)]
pub struct Token {
    // Bytes beyond `length` are zero, so that the derived comparisons are right.
    length: u8,
    bytes: [u8; Token::MAX_LENGTH],
}

/// More than eight bytes were given as a token.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a CoAP token has 0 to 8 bytes, this one has {0}")]
pub struct TokenTooLong(pub usize);

impl Token {
    /// The longest token, in bytes.
    pub const MAX_LENGTH: usize = 8;

    /// The token without bytes.
    pub const EMPTY: Token = Token {
        length: 0,
        bytes: [0; Token::MAX_LENGTH],
    };

    /// The bytes of the token.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl TryFrom<&[u8]> for Token {
    type Error = TokenTooLong;

    fn try_from(from: &[u8]) -> Result<Self, TokenTooLong> {
        let mut bytes = [0; Token::MAX_LENGTH];
        bytes
            .get_mut(..from.len())
            .ok_or(TokenTooLong(from.len()))?
            .copy_from_slice(from);
        Ok(Token {
            length: from.len() as u8,
            bytes,
        })
    }
}

impl From<[u8; Token::MAX_LENGTH]> for Token {
    fn from(bytes: [u8; Token::MAX_LENGTH]) -> Self {
        Token {
            length: Token::MAX_LENGTH as u8,
            bytes,
        }
    }
}

/// Two hexadecimal digits per byte.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_up_to_eight_bytes_and_shows_them_in_hexadecimal() {
        let token = Token::try_from(&[0x01, 0xab][..]).unwrap();
        assert_eq!(token.to_string(), "01ab");
        assert_eq!(token.as_bytes(), [0x01, 0xab]);
        assert_eq!(Token::try_from(&[0; 9][..]), Err(TokenTooLong(9)));
        assert_eq!(Token::EMPTY.as_bytes(), [0u8; 0]);
    }

    #[test]
    fn tokens_that_differ_only_in_length_are_different() {
        assert_ne!(Token::try_from(&[0][..]).unwrap(), Token::EMPTY);
        assert_ne!(
            Token::try_from(&[0][..]).unwrap(),
            Token::try_from(&[0, 0][..]).unwrap()
        );
    }
}
