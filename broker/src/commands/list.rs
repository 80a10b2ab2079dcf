//! Commands on lists.

use super::{index_range, integer};
use crate::error::CommandError;
use crate::number::parse_integer;
use crate::reply::Reply;
use crate::state::{Context, Outcome};
use crate::value::{End, List};

pub(crate) fn lpush(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    push(context, arguments, End::Left)
}

pub(crate) fn rpush(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    push(context, arguments, End::Right)
}

fn push(context: &mut Context<'_>, arguments: &[&[u8]], end: End) -> Outcome {
    let (data, now) = context.data();
    let length = data.change_or_create(arguments[1], now, |list: &mut List| {
        arguments[2..].iter().for_each(|item| list.push(end, item));
        list.len()
    })?;
    Ok(Reply::count(length))
}

pub(crate) fn lpop(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    pop(context, arguments, End::Left, "lpop")
}

pub(crate) fn rpop(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    pop(context, arguments, End::Right, "rpop")
}

fn pop(context: &mut Context<'_>, arguments: &[&[u8]], end: End, name: &str) -> Outcome {
    if arguments.len() > 3 {
        return Err(CommandError::Arity(name.into()));
    }
    let count = match arguments.get(2) {
        Some(count) => {
            let count = parse_integer(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::NotPositive)?)
        }
        None => None,
    };
    let (data, now) = context.data();
    let Some(length) = data.container(arguments[1], now)?.map(List::len) else {
        return Ok(if count.is_some() {
            Reply::NilArray
        } else {
            Reply::Nil
        });
    };
    let wanted = count.unwrap_or(1).min(length);
    if wanted == 0 {
        return Ok(Reply::Array(Vec::new()));
    }
    let popped = data.change(arguments[1], now, |list: &mut List| {
        (0..wanted).filter_map(|_| list.pop(end)).collect::<Vec<_>>()
    })?;
    let mut popped = popped.unwrap_or_default();
    Ok(if count.is_some() {
        Reply::bulks(popped)
    } else {
        Reply::bulk_or_nil(popped.pop())
    })
}

pub(crate) fn llen(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::count(
        data.container(arguments[1], now)?.map_or(0, List::len),
    ))
}

pub(crate) fn lindex(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let list: Option<&List> = data.container(arguments[1], now)?;
    let Some(list) = list else { return Ok(Reply::Nil) };
    let index = integer(arguments[2])?;
    let index = if index < 0 {
        index.saturating_add(list.len() as i64)
    } else {
        index
    };
    let item = usize::try_from(index).ok().and_then(|index| list.get(index));
    Ok(Reply::bulk_or_nil(item.cloned()))
}

pub(crate) fn lrange(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (start, stop) = (integer(arguments[2])?, integer(arguments[3])?);
    let (data, now) = context.data();
    let list: Option<&List> = data.container(arguments[1], now)?;
    let Some(list) = list else {
        return Ok(Reply::Array(Vec::new()));
    };
    let range = index_range(start, stop, list.len());
    Ok(Reply::bulks(list.range(range.start, range.end).cloned()))
}

pub(crate) fn ltrim(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (start, stop) = (integer(arguments[2])?, integer(arguments[3])?);
    let (data, now) = context.data();
    data.change(arguments[1], now, |list: &mut List| {
        let keep = index_range(start, stop, list.len());
        let after = list.len() - keep.end;
        (0..after).for_each(|_| drop(list.pop(End::Right)));
        (0..keep.start).for_each(|_| drop(list.pop(End::Left)));
    })?;
    Ok(Reply::OK)
}

pub(crate) fn lrem(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let count = integer(arguments[2])?;
    let end = if count < 0 { End::Right } else { End::Left };
    let limit = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(limit) => limit,
    };
    let (data, now) = context.data();
    let removed = data.change(arguments[1], now, |list: &mut List| {
        list.remove(arguments[3], end, limit)
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}
