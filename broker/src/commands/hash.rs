//! Commands on hashes.

use super::{integer, own_name};
use crate::error::CommandError;
use crate::number::parse_integer;
use crate::reply::Reply;
use crate::state::{Context, Outcome};
use crate::value::{Hash, owned};

pub(crate) fn hset(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    set_fields(context, arguments).map(Reply::count)
}

pub(crate) fn hmset(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    set_fields(context, arguments).map(|_| Reply::OK)
}

fn set_fields(context: &mut Context<'_>, arguments: &[&[u8]]) -> Result<usize, CommandError> {
    let (pairs, rest) = arguments[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::Arity(own_name(arguments)));
    }
    let (data, now) = context.data();
    data.change_or_create(arguments[1], now, |hash: &mut Hash| {
        pairs
            .iter()
            .filter(|[field, value]| hash.set(field, value))
            .count()
    })
}

pub(crate) fn hsetnx(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let absent = |hash: &Hash| hash.get(arguments[2]).is_none();
    if !data.container(arguments[1], now)?.is_none_or(absent) {
        return Ok(Reply::Integer(0));
    }
    data.change_or_create(arguments[1], now, |hash: &mut Hash| {
        hash.set(arguments[2], arguments[3])
    })?;
    Ok(Reply::Integer(1))
}

pub(crate) fn hget(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let hash: Option<&Hash> = data.container(arguments[1], now)?;
    Ok(value(hash, arguments[2]))
}

pub(crate) fn hmget(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let hash: Option<&Hash> = data.container(arguments[1], now)?;
    Ok(Reply::Array(
        arguments[2..].iter().map(|field| value(hash, field)).collect(),
    ))
}

fn value(hash: Option<&Hash>, field: &[u8]) -> Reply {
    hash.and_then(|hash| hash.get(field))
        .map_or(Reply::Nil, Reply::bulk)
}

pub(crate) fn hgetall(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    list(context, arguments[1], [true, true])
}

pub(crate) fn hkeys(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    list(context, arguments[1], [true, false])
}

pub(crate) fn hvals(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    list(context, arguments[1], [false, true])
}

/// All fields, or all values, or each field and its value.
fn list(context: &mut Context<'_>, key: &[u8], wanted: [bool; 2]) -> Outcome {
    let (data, now) = context.data();
    let hash: Option<&Hash> = data.container(key, now)?;
    let pick = |(field, value)| [field, value].into_iter().zip(wanted);
    let picked = hash.into_iter().flat_map(Hash::iter).flat_map(pick);
    Ok(Reply::bulks(
        picked.filter(|(_, wanted)| *wanted).map(|(text, _)| owned(text)),
    ))
}

pub(crate) fn hexists(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let hash: Option<&Hash> = data.container(arguments[1], now)?;
    Ok(Reply::Integer(i64::from(
        hash.is_some_and(|hash| hash.get(arguments[2]).is_some()),
    )))
}

pub(crate) fn hlen(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::count(
        data.container(arguments[1], now)?.map_or(0, Hash::len),
    ))
}

pub(crate) fn hdel(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let removed = data.change(arguments[1], now, |hash: &mut Hash| {
        arguments[2..].iter().filter(|field| hash.remove(field)).count()
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}

pub(crate) fn hincrby(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let increment = integer(arguments[3])?;
    let (data, now) = context.data();
    let hash: Option<&Hash> = data.container(arguments[1], now)?;
    let old = match hash.and_then(|hash| hash.get(arguments[2])) {
        Some(text) => parse_integer(text).ok_or(CommandError::HashNotInteger)?,
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(CommandError::Overflow)?;
    let set = |hash: &mut Hash| hash.set(arguments[2], new.to_string().as_bytes());
    data.change_or_create(arguments[1], now, set)?;
    Ok(Reply::Integer(new))
}
