//! Commands on strings and the counters in them.

use bytes::Bytes;

use super::integer;
use crate::error::CommandError;
use crate::number::parse_integer;
use crate::reply::Reply;
use crate::state::{Context, Outcome};
use crate::value::{Value, owned};

pub(crate) fn get(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::bulk_or_nil(data.string(arguments[1], now)?))
}

pub(crate) fn getdel(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let value = data.string(arguments[1], now)?;
    data.remove(arguments[1]);
    Ok(Reply::bulk_or_nil(value))
}

pub(crate) fn mget(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let values = arguments[1..]
        .iter()
        .map(|key| Reply::bulk_or_nil(data.string(key, now).ok().flatten()));
    Ok(Reply::Array(values.collect()))
}

pub(crate) fn strlen(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::count(
        data.string(arguments[1], now)?.map_or(0, |value| value.len()),
    ))
}

pub(crate) fn append(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let limit = context.state.limits.max_value_bytes;
    let (data, now) = context.data();
    let old = data.string(arguments[1], now)?.unwrap_or_default();
    if old.len() + arguments[2].len() > limit {
        return Err(CommandError::StringTooLong);
    }
    let joined = [&old, arguments[2]].concat();
    let length = joined.len();
    data.set_keeping_deadline(arguments[1], joined.into());
    Ok(Reply::count(length))
}

/// The options of SET.
#[derive(Default)]
struct SetOptions {
    only_if_absent: bool,
    only_if_present: bool,
    keep_deadline: bool,
    answer_old: bool,
    /// The argument of EX, PX, EXAT or PXAT, milliseconds in one of its units, and whether it counts from now.
    deadline: Option<(i64, i64, bool)>,
}

impl SetOptions {
    fn parse(options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut parsed = SetOptions::default();
        let mut deadline: Option<(&[u8], i64, bool)> = None;
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let (unit, relative) = match super::option(option, &mut [0; 16]) {
                b"nx" if !parsed.only_if_present => {
                    parsed.only_if_absent = true;
                    continue;
                }
                b"xx" if !parsed.only_if_absent => {
                    parsed.only_if_present = true;
                    continue;
                }
                b"get" => {
                    parsed.answer_old = true;
                    continue;
                }
                b"keepttl" if deadline.is_none() => {
                    parsed.keep_deadline = true;
                    continue;
                }
                b"ex" => (1000, true),
                b"px" => (1, true),
                b"exat" => (1000, false),
                b"pxat" => (1, false),
                _ => return Err(CommandError::Syntax),
            };
            let argument = options
                .next()
                .filter(|_| deadline.is_none() && !parsed.keep_deadline);
            deadline = Some((argument.ok_or(CommandError::Syntax)?, unit, relative));
        }
        if let Some((argument, unit, relative)) = deadline {
            parsed.deadline = Some((integer(argument)?, unit, relative));
        }
        Ok(parsed)
    }
}

pub(crate) fn set(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let options = SetOptions::parse(&arguments[3..])?;
    let (key, value) = (arguments[1], arguments[2]);
    let deadline = match options.deadline {
        Some((number, unit, relative)) => Some(absolute_deadline(context, number, unit, relative, "set")?),
        None => None,
    };
    let (data, now) = context.data();
    let old = if options.answer_old {
        data.string(key, now)?
    } else {
        None
    };
    let present = data.get(key, now).is_some();
    let refused = (options.only_if_absent && present) || (options.only_if_present && !present);
    if !refused {
        if options.keep_deadline {
            data.set_keeping_deadline(key, owned(value));
        } else {
            store(context, key, value, deadline);
        }
    }
    Ok(match (options.answer_old, refused) {
        (true, _) => Reply::bulk_or_nil(old),
        (false, true) => Reply::Nil,
        (false, false) => Reply::OK,
    })
}

pub(crate) fn setex(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let deadline = absolute_deadline(context, integer(arguments[2])?, 1000, true, "setex")?;
    store(context, arguments[1], arguments[3], Some(deadline));
    Ok(Reply::OK)
}

fn absolute_deadline(
    context: &Context<'_>,
    number: i64,
    unit: i64,
    relative: bool,
    command: &str,
) -> Result<u64, CommandError> {
    let base = if relative { context.now_ms() as i64 } else { 0 };
    let deadline = number
        .checked_mul(unit)
        .and_then(|deadline| deadline.checked_add(base));
    let deadline = deadline
        .filter(|_| number > 0)
        .and_then(|deadline| u64::try_from(deadline).ok());
    deadline.ok_or_else(|| CommandError::InvalidExpire(command.into()))
}

fn store(context: &mut Context<'_>, key: &[u8], value: &[u8], deadline: Option<u64>) {
    let (data, _) = context.data();
    data.set(key, Value::String(owned(value)));
    if deadline.is_some() {
        data.set_deadline(key, deadline);
    }
}

pub(crate) fn incr(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    add(context, arguments[1], 1)
}

pub(crate) fn decr(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    add(context, arguments[1], -1)
}

pub(crate) fn incrby(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    add(context, arguments[1], integer(arguments[2])?)
}

pub(crate) fn decrby(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let decrement = integer(arguments[2])?
        .checked_neg()
        .ok_or(CommandError::DecrementOverflow)?;
    add(context, arguments[1], decrement)
}

fn add(context: &mut Context<'_>, key: &[u8], increment: i64) -> Outcome {
    let (data, now) = context.data();
    let old = match data.string(key, now)? {
        Some(text) => parse_integer(&text).ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(CommandError::Overflow)?;
    data.set_keeping_deadline(key, Bytes::from(new.to_string()));
    Ok(Reply::Integer(new))
}
