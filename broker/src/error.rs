//! Why a command was refused, in the words of Redis 7.0, which clients match on.

use thiserror::Error;

/// A refused command. The text is the error reply, code first.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CommandError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR min or max is not a float")]
    RangeNotFloat,
    #[error("ERR hash value is not an integer")]
    HashNotInteger,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR resulting score is not a number (NaN)")]
    NotANumber,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(String),
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    #[error("ERR unknown subcommand '{subcommand}'. Try {command} HELP.")]
    UnknownSubcommand {
        command: &'static str,
        subcommand: String,
    },
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("NOSCRIPT No matching script. Please use EVAL.")]
    NoScript,
    /// One of the rarer texts, complete with its code.
    #[error("{0}")]
    Other(String),
}

impl CommandError {
    /// A text that occurs in one place only; `text` starts with the error code.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        CommandError::Other(text.into())
    }
}
