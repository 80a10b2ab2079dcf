//! What a client says about its own connection.

use bytes::Bytes;

use super::{integer, is, text};
use crate::error::CommandError;
use crate::number::parse_integer;
use crate::reply::Reply;
use crate::state::{Client, Context, DATABASES, Outcome};
use crate::value::owned;

pub(crate) fn ping(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    if arguments.len() > 2 {
        return Err(CommandError::Arity("ping".into()));
    }
    let payload = arguments.get(1);
    if context
        .state
        .clients
        .get(&context.client)
        .is_some_and(|client| client.subscription_count() > 0)
    {
        let payload = payload.copied().unwrap_or_default();
        return Ok(Reply::bulks([Bytes::from_static(b"pong"), owned(payload)]));
    }
    Ok(payload.map_or(Reply::Simple(Bytes::from_static(b"PONG")), Reply::bulk))
}

pub(crate) fn echo(_: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    Ok(Reply::bulk(arguments[1]))
}

pub(crate) fn select(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let index = integer(arguments[1])?;
    let index = usize::try_from(index).ok().filter(|index| *index < DATABASES);
    let index = index.ok_or_else(|| CommandError::other("ERR DB index is out of range"))?;
    // In a script, SELECT holds for the rest of the script only.
    match &mut context.state.running {
        Some(run) => run.database = index,
        None => context.client_mut().database = index,
    }
    Ok(Reply::OK)
}

pub(crate) fn auth(_: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    match arguments.len() {
        2 => Err(CommandError::other(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        3 => Err(CommandError::other(
            "WRONGPASS invalid username-password pair or user is disabled.",
        )),
        _ => Err(CommandError::Syntax),
    }
}

/// Only version 2 of the protocol is spoken; options after the version are not.
pub(crate) fn hello(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    if let Some(version) = arguments.get(1) {
        let version = parse_integer(version)
            .ok_or_else(|| CommandError::other("ERR Protocol version is not an integer or out of range"))?;
        if version != 2 {
            return Err(CommandError::other("NOPROTO unsupported protocol version"));
        }
    }
    if let Some(option) = arguments.get(2) {
        return Err(CommandError::other(format!(
            "ERR Syntax error in HELLO option '{}'",
            text(option)
        )));
    }
    let word = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
    let client = Reply::Integer(context.client.0 as i64);
    let (server, version) = (word("redis"), word(super::server::VERSION));
    let pairs = [
        (word("server"), server),
        (word("version"), version),
        (word("proto"), Reply::Integer(2)),
        (word("id"), client),
        (word("mode"), word("standalone")),
        (word("role"), word("master")),
        (word("modules"), Reply::Array(Vec::new())),
    ];
    Ok(Reply::Array(
        pairs.into_iter().flat_map(|(key, value)| [key, value]).collect(),
    ))
}

pub(crate) fn client(context: &mut Context<'_>, arguments: &[&[u8]]) -> Outcome {
    let subcommand = text(arguments[1]).to_ascii_lowercase();
    match (subcommand.as_str(), arguments) {
        ("id", [_, _]) => Ok(Reply::Integer(context.client.0 as i64)),
        ("getname", [_, _]) => {
            let name = context.client_mut().name.clone();
            Ok(Reply::bulk_or_nil((!name.is_empty()).then_some(name)))
        }
        ("setname", [_, _, name]) => {
            if name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
                let message = "ERR Client names cannot contain spaces, newlines or special characters.";
                return Err(CommandError::other(message));
            }
            context.client_mut().name = owned(name);
            Ok(Reply::OK)
        }
        ("setinfo", [_, _, attribute, _]) if is(attribute, "lib-name") || is(attribute, "lib-ver") => {
            Ok(Reply::OK)
        }
        ("setinfo", [_, _, attribute, _]) => Err(CommandError::other(format!(
            "ERR Unrecognized option '{}'",
            text(attribute)
        ))),
        ("id" | "getname" | "setname" | "setinfo", _) => {
            Err(CommandError::Arity(format!("client|{subcommand}")))
        }
        _ => Err(CommandError::UnknownSubcommand {
            command: "CLIENT",
            subcommand: text(arguments[1]),
        }),
    }
}

pub(crate) fn quit(_: &mut Context<'_>, _: &[&[u8]]) -> Outcome {
    Ok(Reply::OK)
}

pub(crate) fn reset(context: &mut Context<'_>, _: &[&[u8]]) -> Outcome {
    context.state.unsubscribe_all(context.client);
    *context.client_mut() = Client::default();
    Ok(Reply::Simple(Bytes::from_static(b"RESET")))
}
