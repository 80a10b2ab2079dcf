//! Commands about the broker itself.

use bytes::Bytes;

use super::{is, text};
use crate::error::CommandError;
use crate::glob;
use crate::reply::Reply;
use crate::state::{Context, Outcome};

/// The release of Redis whose behaviour this is; clients decide by it what they may use.
pub(crate) const VERSION: &str = "7.0.15";

pub(crate) fn time(context: &mut Context<'_>, _: &[&[u8]]) -> Outcome {
    let (seconds, rest) = (context.now_us / 1_000_000, context.now_us % 1_000_000);
    Ok(Reply::bulks([
        Bytes::from(seconds.to_string()),
        Bytes::from(rest.to_string()),
    ]))
}

pub(crate) fn command(_: &mut Context<'_>, _: &[&[u8]]) -> Outcome {
    Ok(Reply::Array(Vec::new()))
}

pub(crate) fn dbsize(context: &mut Context<'_>, _: &[&[u8]]) -> Outcome {
    Ok(Reply::count(context.data().0.len()))
}

pub(crate) fn flushdb(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    check_flush_mode(arguments)?;
    context.data().0.clear();
    Ok(Reply::OK)
}

pub(crate) fn flushall(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    check_flush_mode(arguments)?;
    context
        .state
        .databases
        .iter_mut()
        .for_each(|database| database.clear());
    Ok(Reply::OK)
}

fn check_flush_mode(arguments: &[&[u8]]) -> Result<(), CommandError> {
    match &arguments[1..] {
        [] => Ok(()),
        [mode] if is(mode, "sync") || is(mode, "async") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

pub(crate) fn info(context: &mut Context<'_>, _: &[&[u8]]) -> Outcome {
    let state = &*context.state;
    let mut lines = format!(
        "# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\nserver_name:lwm2m-broker\r\n\r\n\
         # Clients\r\nconnected_clients:{}\r\n\r\n\
         # Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n\r\n\
         # Persistence\r\nloading:0\r\naof_enabled:{}\r\n\r\n\
         # Replication\r\nrole:master\r\n\r\n# Keyspace\r\n",
        state.clients.len(),
        state.used_memory(),
        state.limits.max_memory,
        u8::from(state.appends),
    );
    for (index, database) in state
        .databases
        .iter()
        .enumerate()
        .filter(|(_, database)| database.len() > 0)
    {
        lines.push_str(&format!("db{index}:keys={}\r\n", database.len()));
    }
    Ok(Reply::Bulk(lines.into()))
}

pub(crate) fn config(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let subcommand = text(arguments[1]).to_ascii_lowercase();
    match (subcommand.as_str(), &arguments[2..]) {
        ("get", patterns @ [_, ..]) => Ok(config_get(context, patterns)),
        ("set", [name, value]) if is(name, "maxmemory") => {
            let bytes = std::str::from_utf8(value)
                .ok()
                .and_then(|bytes| bytes.parse().ok());
            let bytes = bytes.ok_or_else(|| {
                CommandError::other(
                    "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - \
                     argument must be a number of bytes",
                )
            })?;
            context.state.limits.max_memory = bytes;
            Ok(Reply::OK)
        }
        ("set", [name, _, ..]) => Err(CommandError::other(format!(
            "ERR CONFIG SET: '{}' cannot be changed here, only 'maxmemory' can",
            text(name)
        ))),
        ("get" | "set", _) => Err(CommandError::Arity(format!("config|{subcommand}"))),
        _ => Err(CommandError::UnknownSubcommand {
            command: "CONFIG",
            subcommand: text(arguments[1]),
        }),
    }
}

fn config_get(context: &Context<'_>, patterns: &[&[u8]]) -> Reply {
    let appends = if context.state.appends { "yes" } else { "no" };
    let settings = [
        ("appendonly", appends.to_string()),
        ("databases", crate::state::DATABASES.to_string()),
        ("maxmemory", context.state.limits.max_memory.to_string()),
        ("maxmemory-policy", "noeviction".to_string()),
        (
            "proto-max-bulk-len",
            context.state.limits.max_value_bytes.to_string(),
        ),
        ("save", String::new()),
    ];
    let wanted = |name: &str| {
        patterns
            .iter()
            .any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found = settings.into_iter().filter(|(name, _)| wanted(name));
    Reply::Array(
        found
            .flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)])
            .collect(),
    )
}
