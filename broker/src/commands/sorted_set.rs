//! Commands on sorted sets.

use bytes::Bytes;

use super::{index_range, integer, is, option};
use crate::error::CommandError;
use crate::number::{format_float, parse_bound, parse_float, parse_integer};
use crate::reply::Reply;
use crate::state::{Context, Outcome};
use crate::value::{ScoreRange, SortedSet};

fn score_reply(score: f64) -> Reply {
    Reply::Bulk(format_float(score).into())
}

#[derive(Clone, Copy, Default)]
struct AddOptions {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
    increment: bool,
}

impl AddOptions {
    /// Reads the options in front of the first score; returns how many arguments they are.
    fn parse(arguments: &[&[u8]]) -> Result<(Self, usize), CommandError> {
        let mut options = AddOptions::default();
        let mut count = 0;
        for argument in arguments {
            match option(argument, &mut [0; 16]) {
                b"nx" => options.only_new = true,
                b"xx" => options.only_existing = true,
                b"gt" => options.only_greater = true,
                b"lt" => options.only_less = true,
                b"ch" => options.count_changed = true,
                b"incr" => options.increment = true,
                _ => break,
            }
            count += 1;
        }
        Ok((options, count))
    }

    fn check(&self, pairs: usize) -> Result<(), CommandError> {
        if self.only_new && self.only_existing {
            return Err(CommandError::other(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        let bounds = usize::from(self.only_greater) + usize::from(self.only_less);
        if bounds + usize::from(self.only_new) > 1 && bounds > 0 {
            let message = "ERR GT, LT, and/or NX options at the same time are not compatible";
            return Err(CommandError::other(message));
        }
        if self.increment && pairs > 1 {
            return Err(CommandError::other(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    /// The score a member gets, `None` to leave it alone.
    fn new_score(&self, old: Option<f64>, given: f64) -> Result<Option<f64>, CommandError> {
        let Some(old) = old else {
            return Ok((!self.only_existing).then_some(given));
        };
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(CommandError::NotANumber);
        }
        let refused = self.only_new || (self.only_greater && new <= old) || (self.only_less && new >= old);
        Ok((!refused).then_some(new))
    }
}

pub(crate) fn zadd(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (options, count) = AddOptions::parse(&arguments[2..])?;
    let (pairs, rest) = arguments[2 + count..].as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(CommandError::Syntax);
    }
    options.check(pairs.len())?;
    add(context, arguments[1], options, pairs)
}

pub(crate) fn zincrby(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let options = AddOptions {
        increment: true,
        ..AddOptions::default()
    };
    add(context, arguments[1], options, &[[arguments[2], arguments[3]]])
}

fn add(context: &mut Context<'_>, key: &[u8], options: AddOptions, pairs: &[[&[u8]; 2]]) -> Outcome {
    let scores = pairs
        .iter()
        .map(|[score, _]| parse_float(score).ok_or(CommandError::NotFloat));
    let scores = scores.collect::<Result<Vec<f64>, _>>()?;
    let (data, now) = context.data();
    let absent = data.container::<SortedSet>(key, now)?.is_none();
    if absent && options.only_existing {
        return Ok(if options.increment {
            Reply::Nil
        } else {
            Reply::Integer(0)
        });
    }
    let (mut added, mut updated, mut last) = (0, 0, None);
    data.change_or_create(key, now, |set: &mut SortedSet| {
        for ([_, member], given) in pairs.iter().zip(scores) {
            let old = set.score(member);
            last = options.new_score(old, given)?;
            let Some(new) = last else { continue };
            added += usize::from(old.is_none());
            updated += usize::from(old.is_some_and(|old| old != new));
            if old != Some(new) {
                set.insert(member, new);
            }
        }
        Ok(())
    })??;
    Ok(match (options.increment, options.count_changed) {
        (true, _) => last.map_or(Reply::Nil, score_reply),
        (false, true) => Reply::count(added + updated),
        (false, false) => Reply::count(added),
    })
}

pub(crate) fn zrem(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let removed = data.change(arguments[1], now, |set: &mut SortedSet| {
        arguments[2..].iter().filter(|member| set.remove(member)).count()
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}

pub(crate) fn zscore(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    let set: Option<&SortedSet> = data.container(arguments[1], now)?;
    Ok(set
        .and_then(|set| set.score(arguments[2]))
        .map_or(Reply::Nil, score_reply))
}

pub(crate) fn zcard(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let (data, now) = context.data();
    Ok(Reply::count(
        data.container(arguments[1], now)?.map_or(0, SortedSet::len),
    ))
}

/// Reads the bounds of a range of scores, where `(` makes a bound exclusive.
fn parse_range(low: &[u8], high: &[u8]) -> Result<ScoreRange, CommandError> {
    let bound = |text: &[u8]| {
        let (text, exclusive) = text.strip_prefix(b"(").map_or((text, false), |rest| (rest, true));
        let value = parse_bound(text);
        value
            .map(|value| (value, exclusive))
            .ok_or(CommandError::RangeNotFloat)
    };
    let ((low, low_exclusive), (high, high_exclusive)) = (bound(low)?, bound(high)?);
    Ok(ScoreRange {
        low,
        low_exclusive,
        high,
        high_exclusive,
    })
}

pub(crate) fn zcount(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let range = parse_range(arguments[2], arguments[3])?;
    let (data, now) = context.data();
    let set: Option<&SortedSet> = data.container(arguments[1], now)?;
    Ok(Reply::count(set.map_or(0, |set| set.within(&range).count())))
}

pub(crate) fn zremrangebyscore(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let range = parse_range(arguments[2], arguments[3])?;
    let (data, now) = context.data();
    let removed = data.change(arguments[1], now, |set: &mut SortedSet| {
        let doomed: Vec<Bytes> = set.within(&range).map(|(member, _)| member.clone()).collect();
        doomed.iter().filter(|member| set.remove(member)).count()
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}

pub(crate) fn zpopmin(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    if arguments.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match arguments.get(2) {
        Some(count) => parse_integer(count).and_then(|count| usize::try_from(count).ok()),
        None => Some(1),
    };
    let count = count.ok_or(CommandError::NotPositive)?;
    let (data, now) = context.data();
    let popped = data.change(arguments[1], now, |set: &mut SortedSet| {
        let lowest = set
            .iter()
            .take(count)
            .map(|(member, score)| (member.clone(), score));
        let lowest: Vec<(Bytes, f64)> = lowest.collect();
        for (member, _) in &lowest {
            set.remove(member);
        }
        lowest
    })?;
    Ok(with_scores(popped.unwrap_or_default()))
}

fn with_scores(members: Vec<(Bytes, f64)>) -> Reply {
    let pairs = members
        .into_iter()
        .flat_map(|(member, score)| [Reply::Bulk(member), score_reply(score)]);
    Reply::Array(pairs.collect())
}

/// The options of ZRANGE and ZRANGEBYSCORE.
struct RangeOptions {
    by_score: bool,
    reverse: bool,
    with_scores: bool,
    limit: Option<(i64, i64)>,
}

impl RangeOptions {
    fn parse(options: &[&[u8]], mut by_score: bool, general: bool) -> Result<Self, CommandError> {
        let (mut reverse, mut with_scores, mut limit) = (false, false, None);
        let mut rest = options;
        loop {
            rest = match rest {
                [] => break,
                [option, rest @ ..] if is(option, "withscores") => {
                    with_scores = true;
                    rest
                }
                [option, offset, count, rest @ ..] if is(option, "limit") => {
                    limit = Some((integer(offset)?, integer(count)?));
                    rest
                }
                [option, rest @ ..] if general && is(option, "rev") => {
                    reverse = true;
                    rest
                }
                [option, rest @ ..] if general && is(option, "byscore") => {
                    by_score = true;
                    rest
                }
                [option, ..] if general && is(option, "bylex") => {
                    return Err(CommandError::other("ERR BYLEX is not supported by this broker"));
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        if limit.is_some() && !by_score {
            return Err(CommandError::other(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        Ok(RangeOptions {
            by_score,
            reverse,
            with_scores,
            limit,
        })
    }
}

pub(crate) fn zrange(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let options = RangeOptions::parse(&arguments[4..], false, true)?;
    range(context, arguments, &options)
}

pub(crate) fn zrangebyscore(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let options = RangeOptions::parse(&arguments[4..], true, false)?;
    range(context, arguments, &options)
}

fn range(context: &mut Context<'_>, arguments: &[&[u8]], options: &RangeOptions) -> Outcome {
    let members = if options.by_score {
        // REV swaps the order of the bounds, too: the higher one comes first.
        let (low, high) = if options.reverse { (3, 2) } else { (2, 3) };
        let range = parse_range(arguments[low], arguments[high])?;
        let (data, now) = context.data();
        let set: Option<&SortedSet> = data.container(arguments[1], now)?;
        set.map_or(Vec::new(), |set| limited(set.within(&range), options))
    } else {
        let (start, stop) = (integer(arguments[2])?, integer(arguments[3])?);
        let (data, now) = context.data();
        let set: Option<&SortedSet> = data.container(arguments[1], now)?;
        let range = index_range(start, stop, set.map_or(0, SortedSet::len));
        let limit = Some((range.start as i64, range.len() as i64));
        set.map_or(Vec::new(), |set| {
            limited(set.iter(), &RangeOptions { limit, ..*options })
        })
    };
    if options.with_scores {
        return Ok(with_scores(members));
    }
    Ok(Reply::bulks(members.into_iter().map(|(member, _)| member)))
}

/// Applies REV and LIMIT: a negative offset gives nothing, a negative count everything.
fn limited<'a>(
    members: impl DoubleEndedIterator<Item = (&'a Bytes, f64)>,
    options: &RangeOptions,
) -> Vec<(Bytes, f64)> {
    let (offset, count) = options.limit.unwrap_or((0, -1));
    let Ok(offset) = usize::try_from(offset) else {
        return Vec::new();
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let own = |(member, score): (&Bytes, f64)| (member.clone(), score);
    if options.reverse {
        members.rev().skip(offset).take(count).map(own).collect()
    } else {
        members.skip(offset).take(count).map(own).collect()
    }
}
