//! Publishing and subscribing.

use bytes::Bytes;

use super::text;
use crate::error::CommandError;
use crate::glob;
use crate::pubsub::Kind;
use crate::reply::Reply;
use crate::state::{Context, Outcome};
use crate::value::owned;

pub(crate) fn publish(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    Ok(Reply::count(context.state.publish(arguments[1], arguments[2])))
}

pub(crate) fn subscribe(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    add(context, arguments, Kind::Channel, "subscribe")
}

pub(crate) fn psubscribe(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    add(context, arguments, Kind::Pattern, "psubscribe")
}

pub(crate) fn unsubscribe(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    remove(context, arguments, Kind::Channel, "unsubscribe")
}

pub(crate) fn punsubscribe(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    remove(context, arguments, Kind::Pattern, "punsubscribe")
}

fn add(context: &mut Context<'_>, arguments: &[&[u8]], kind: Kind, word: &'static str) -> Outcome {
    let limit = context.state.limits.max_subscriptions;
    if context.client_mut().subscription_count() + arguments.len() - 1 > limit {
        return Err(CommandError::other(format!(
            "ERR a client may subscribe at most {limit} channels and patterns; unsubscribe some first"
        )));
    }
    let mut confirmations = Vec::new();
    for name in &arguments[1..] {
        context.state.subscribe(context.client, kind, name);
        confirmations.push(confirmation(context, word, Some(owned(name))));
    }
    Ok(Reply::Several(confirmations))
}

fn remove(context: &mut Context<'_>, arguments: &[&[u8]], kind: Kind, word: &'static str) -> Outcome {
    let client = context.client_mut();
    let names: Vec<Bytes> = match (&arguments[1..], kind) {
        ([], Kind::Channel) => client.channels.iter().cloned().collect(),
        ([], Kind::Pattern) => client.patterns.iter().cloned().collect(),
        (names, _) => names.iter().map(|name| owned(name)).collect(),
    };
    if names.is_empty() {
        return Ok(Reply::Several(vec![confirmation(context, word, None)]));
    }
    let mut confirmations = Vec::new();
    for name in names {
        context.state.unsubscribe(context.client, kind, &name);
        confirmations.push(confirmation(context, word, Some(name)));
    }
    Ok(Reply::Several(confirmations))
}

fn confirmation(context: &mut Context<'_>, word: &'static str, name: Option<Bytes>) -> Reply {
    let count = context.client_mut().subscription_count();
    let word = Reply::Bulk(Bytes::from_static(word.as_bytes()));
    Reply::Array(vec![word, Reply::bulk_or_nil(name), Reply::count(count)])
}

pub(crate) fn pubsub(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let subcommand = text(arguments[1]).to_ascii_lowercase();
    let subscriptions = &context.state.subscriptions;
    match (subcommand.as_str(), &arguments[2..]) {
        ("channels", []) => Ok(Reply::bulks(subscriptions.channels.keys().cloned())),
        ("channels", [pattern]) => {
            let matching = |channel: &&Bytes| glob::matches(pattern, channel);
            Ok(Reply::bulks(
                subscriptions.channels.keys().filter(matching).cloned(),
            ))
        }
        ("numpat", []) => Ok(Reply::count(subscriptions.patterns.len())),
        ("numsub", channels) => {
            let listeners = |channel: &[u8]| {
                subscriptions
                    .channels
                    .get(channel)
                    .map_or(0, |clients| clients.len())
            };
            let pairs = channels
                .iter()
                .flat_map(|channel| [Reply::bulk(channel), Reply::count(listeners(channel))]);
            Ok(Reply::Array(pairs.collect()))
        }
        ("channels" | "numpat", _) => Err(CommandError::Arity(format!("pubsub|{subcommand}"))),
        _ => Err(CommandError::UnknownSubcommand {
            command: "PUBSUB",
            subcommand: text(arguments[1]),
        }),
    }
}
