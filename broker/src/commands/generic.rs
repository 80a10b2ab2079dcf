//! Commands on keys of any type: existence, deadlines, listing.

use super::{integer, is, own_name, text};
use crate::error::CommandError;
use crate::glob;
use crate::number::parse_integer;
use crate::reply::Reply;
use crate::state::{Context, Outcome};

pub(crate) fn del(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let removed = arguments[1..]
        .iter()
        .filter(|key| data.get(key, now).is_some() && data.remove(key))
        .count();
    Ok(Reply::count(removed))
}

pub(crate) fn exists(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::count(
        arguments[1..]
            .iter()
            .filter(|key| data.get(key, now).is_some())
            .count(),
    ))
}

pub(crate) fn type_name(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::status(
        data.get(arguments[1], now)
            .map_or("none", |value| value.type_name()),
    ))
}

pub(crate) fn expire(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    set_deadline(context, arguments, 1000, true)
}

pub(crate) fn pexpire(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    set_deadline(context, arguments, 1, true)
}

pub(crate) fn expireat(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    set_deadline(context, arguments, 1000, false)
}

pub(crate) fn pexpireat(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    set_deadline(context, arguments, 1, false)
}

/// Conditions on the deadline that a key has already.
#[derive(Default)]
struct DeadlineConditions {
    only_without: bool,
    only_with: bool,
    only_later: bool,
    only_earlier: bool,
}

impl DeadlineConditions {
    fn parse(options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut conditions = DeadlineConditions::default();
        for option in options {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => conditions.only_without = true,
                b"xx" => conditions.only_with = true,
                b"gt" => conditions.only_later = true,
                b"lt" => conditions.only_earlier = true,
                _ => {
                    return Err(CommandError::other(format!(
                        "ERR Unsupported option {}",
                        text(option)
                    )));
                }
            }
        }
        let DeadlineConditions {
            only_without,
            only_with,
            only_later,
            only_earlier,
        } = conditions;
        if only_without && (only_with || only_later || only_earlier) {
            let message = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(CommandError::other(message));
        }
        if only_later && only_earlier {
            return Err(CommandError::other(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// Whether the new deadline may replace the current one; no deadline counts as later than any.
    fn allow(&self, current: Option<u64>, new: i64) -> bool {
        let current = current.map(|deadline| i64::try_from(deadline).unwrap_or(i64::MAX));
        !(self.only_without && current.is_some()
            || self.only_with && current.is_none()
            || self.only_later && current.is_none_or(|current| new <= current)
            || self.only_earlier && current.is_some_and(|current| new >= current))
    }
}

/// `unit`: milliseconds in one unit of the argument. `relative`: counted from now.
fn set_deadline(context: &mut Context<'_>, arguments: &[&[u8]], unit: i64, relative: bool) -> Outcome {
    let conditions = DeadlineConditions::parse(&arguments[3..])?;
    let deadline = integer(arguments[2])?;
    let base = if relative { context.now_ms() as i64 } else { 0 };
    let deadline = deadline
        .checked_mul(unit)
        .and_then(|deadline| deadline.checked_add(base));
    let deadline = deadline.ok_or_else(|| CommandError::InvalidExpire(own_name(arguments)))?;
    let key = arguments[1];
    let (data, now) = context.data();
    let Some(current) = data.deadline(key, now) else {
        return Ok(Reply::Integer(0));
    };
    if !conditions.allow(current, deadline) {
        return Ok(Reply::Integer(0));
    }
    match u64::try_from(deadline) {
        Ok(deadline) if deadline > now => data.set_deadline(key, Some(deadline)),
        _ => {
            data.remove(key);
        }
    }
    Ok(Reply::Integer(1))
}

pub(crate) fn ttl(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    remaining(context, arguments[1], |milliseconds| (milliseconds + 500) / 1000)
}

pub(crate) fn pttl(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    remaining(context, arguments[1], |milliseconds| milliseconds)
}

fn remaining(context: &mut Context<'_>, key: &[u8], unit: fn(u64) -> u64) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::Integer(match data.deadline(key, now) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => unit(deadline - now) as i64,
    }))
}

pub(crate) fn persist(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let has_deadline = data.deadline(arguments[1], now).flatten().is_some();
    if has_deadline {
        data.set_deadline(arguments[1], None);
    }
    Ok(Reply::Integer(i64::from(has_deadline)))
}

pub(crate) fn keys(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let keys = data.sorted(now).into_iter().map(|(key, _, _)| key.clone());
    Ok(Reply::bulks(keys.filter(|key| glob::matches(arguments[1], key))))
}

pub(crate) fn scan(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let cursor = std::str::from_utf8(arguments[1])
        .ok()
        .and_then(|cursor| cursor.parse().ok());
    let cursor: u64 = cursor.ok_or_else(|| CommandError::other("ERR invalid cursor"))?;
    let (mut pattern, mut count, mut type_name): (&[u8], usize, Option<&[u8]>) = (b"*", 10, None);
    for option in arguments[2..].chunks(2) {
        match option {
            [name, value] if is(name, "match") => pattern = value,
            [name, value] if is(name, "type") => type_name = Some(value),
            [name, value] if is(name, "count") => {
                let number = parse_integer(value).ok_or(CommandError::NotInteger)?;
                count = usize::try_from(number)
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or(CommandError::Syntax)?;
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    let (data, now) = context.data();
    let (next, found) = data.scan(cursor, count, now);
    let wanted = found.into_iter().filter(|(key, value)| {
        glob::matches(pattern, key) && type_name.is_none_or(|name| is(name, value.type_name()))
    });
    let keys = Reply::bulks(wanted.map(|(key, _)| key));
    Ok(Reply::Array(vec![Reply::bulk(next.to_string()), keys]))
}
