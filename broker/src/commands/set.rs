//! Commands on sets.

use crate::reply::Reply;
use crate::state::{Context, Outcome};
use crate::value::Set;

pub(crate) fn sadd(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let added = data.change_or_create(arguments[1], now, |set: &mut Set| {
        arguments[2..].iter().filter(|member| set.insert(member)).count()
    })?;
    Ok(Reply::count(added))
}

pub(crate) fn srem(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let removed = data.change(arguments[1], now, |set: &mut Set| {
        arguments[2..].iter().filter(|member| set.remove(member)).count()
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}

pub(crate) fn smembers(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let set: Option<&Set> = data.container(arguments[1], now)?;
    Ok(Reply::bulks(set.into_iter().flat_map(Set::iter).cloned()))
}

pub(crate) fn sismember(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let set: Option<&Set> = data.container(arguments[1], now)?;
    Ok(Reply::Integer(i64::from(
        set.is_some_and(|set| set.contains(arguments[2])),
    )))
}

pub(crate) fn scard(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::count(
        data.container(arguments[1], now)?.map_or(0, Set::len),
    ))
}
