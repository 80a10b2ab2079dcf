//! Between Lua's values and replies, by the rules of Redis: a number loses its fraction, an array ends at the first
//! nil, false is nil, `{ok=…}` is a status and `{err=…}` an error.

use mlua::{Lua, Result, Table, Value};

use crate::reply::Reply;

/// How deep tables may be nested in a script's result.
const MAX_DEPTH: usize = 256;

/// A reply as the value of `redis.call`.
pub(super) fn to_lua(lua: &Lua, reply: Reply) -> Result<Value> {
    Ok(match reply {
        Reply::Integer(number) => Value::Number(number as f64),
        Reply::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Nil | Reply::NilArray => Value::Boolean(false),
        Reply::Simple(text) => single_field(lua, "ok", &text)?,
        Reply::Error(text) => single_field(lua, "err", &text)?,
        Reply::Array(items) | Reply::Several(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in items.into_iter().enumerate() {
                table.raw_set(index + 1, to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
    })
}

fn single_field(lua: &Lua, name: &str, text: &[u8]) -> Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, lua.create_string(text)?)?;
    Ok(Value::Table(table))
}

/// A script's result as a reply.
pub(super) fn to_reply(value: &Value) -> Reply {
    to_reply_at(value, 0)
}

fn to_reply_at(value: &Value, depth: usize) -> Reply {
    match value {
        Value::String(text) => Reply::bulk(text.as_bytes()),
        Value::Integer(number) => Reply::Integer(*number),
        Value::Number(number) => Reply::Integer(truncate(*number)),
        Value::Boolean(true) => Reply::Integer(1),
        Value::Table(_) if depth == MAX_DEPTH => Reply::error("ERR reached lua stack limit"),
        Value::Table(table) => table_to_reply(table, depth),
        _ => Reply::Nil,
    }
}

fn table_to_reply(table: &Table, depth: usize) -> Reply {
    // Raw access to a table of plain values cannot fail.
    let field = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
    if let Value::String(text) = field("err") {
        return Reply::error(text.as_bytes());
    }
    if let Value::String(text) = field("ok") {
        return Reply::status(text.as_bytes());
    }
    let items = (1..).map_while(|index: usize| match table.raw_get::<Value>(index) {
        Ok(Value::Nil) | Err(_) => None,
        Ok(item) => Some(to_reply_at(&item, depth + 1)),
    });
    Reply::Array(items.collect())
}

/// What a C conversion to a 64-bit integer gives on the machines Redis runs on.
fn truncate(number: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}
