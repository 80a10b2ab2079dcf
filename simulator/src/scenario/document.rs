//! The scenario before it is typed: the TOML tree, each value with the place it came from, `--set` laid over it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, ScenarioError};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Byte offset in the file.
    File(usize),
    /// The text of the `--set` option.
    Option(String),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub origin: Origin,
}

/// TOML's values, as far as a scenario uses them.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    /// A date or time: nothing in a scenario is one.
    Moment(String),
    List(Vec<Node>),
    Table(Table),
}

/// A table in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub entries: Vec<TableEntry>,
}

/// A key with its place, and what it holds.
#[derive(Clone, Debug)]
pub struct TableEntry {
    pub key: String,
    pub key_origin: Origin,
    pub node: Node,
}

impl Table {
    /// Without places.
    pub fn plain(&self) -> toml::Table {
        let plain = |entry: &TableEntry| (entry.key.clone(), entry.node.plain());
        self.entries.iter().map(plain).collect()
    }

    /// What `key` holds.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }
}

impl Node {
    fn plain(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) | Value::Moment(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Number(number) => (*number).into(),
            Value::Flag(flag) => (*flag).into(),
            Value::List(items) => items.iter().map(Node::plain).collect::<Vec<_>>().into(),
            Value::Table(table) => table.plain().into(),
        }
    }

    /// What was found, for messages: `the number 5`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("the string \"{text}\""),
            Value::Integer(number) => format!("the number {number}"),
            Value::Number(number) => format!("the number {number}"),
            Value::Flag(flag) => format!("`{flag}`"),
            Value::Moment(text) => format!("the date {text}"),
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }
}

/// A scenario file, read but not yet understood.
#[derive(Debug)]
pub struct Document {
    pub file: String,
    pub text: String,
    pub overrides: Vec<String>,
    pub root: Table,
}

impl Document {
    /// Reads the TOML and lays each override over it.
    pub fn read(text: &str, file: &str, overrides: &[String]) -> Result<Document, ScenarioError> {
        let tree = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let place = place_in_file(file, text, offset);
            ScenarioError {
                problems: vec![Problem {
                    place,
                    message: format!("not TOML: {}", error.message()),
                }],
            }
        })?;
        let mut root = table(tree.get_ref(), &|span| Origin::File(span));
        for option in overrides {
            lay_over(&mut root, option)
                .map_err(|message| Problem {
                    place: format!("--set {option}"),
                    message,
                })
                .map_err(|problem| ScenarioError {
                    problems: vec![problem],
                })?;
        }
        Ok(Document {
            file: file.into(),
            text: text.into(),
            overrides: overrides.to_vec(),
            root,
        })
    }

    /// A problem at a place of this document.
    pub fn problem(&self, origin: &Origin, message: String) -> Problem {
        let place = match origin {
            Origin::File(offset) => place_in_file(&self.file, &self.text, *offset),
            Origin::Option(option) => format!("--set {option}"),
        };
        Problem { place, message }
    }
}

fn place_in_file(file: &str, text: &str, offset: usize) -> String {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
    format!("{file}:{line}:{column}")
}

fn table(tree: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) -> Table {
    let mut keyed: Vec<_> = tree.iter().collect();
    keyed.sort_by_key(|(key, value)| key.span().start.min(value.span().start));
    let entries = keyed.into_iter().map(|(key, value)| TableEntry {
        key: key.get_ref().to_string(),
        key_origin: origin(key.span().start),
        node: node(value, origin),
    });
    Table {
        entries: entries.collect(),
    }
}

fn node(value: &Spanned<DeValue<'_>>, origin: &dyn Fn(usize) -> Origin) -> Node {
    let typed = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Number(number.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(number) => Value::Number(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, origin)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, origin)),
    };
    Node {
        value: typed,
        origin: origin(value.span().start),
    }
}

/// `devices.count=5000`, `fault.0.at=12s`, `balancer.policy=round-robin`: a TOML key and a value, which may be a
/// string without its quotes.
fn lay_over(root: &mut Table, option: &str) -> Result<(), String> {
    let (key, value) = option.split_once('=').ok_or("expected KEY=VALUE, found no `=`")?;
    let origin = |_| Origin::Option(option.to_string());
    let as_written = format!("{key} = {value}");
    let quoted = format!("{key} = {}", toml::Value::String(value.trim().to_string()));
    let tree = DeTable::parse(&as_written)
        .or_else(|_| DeTable::parse(&quoted))
        .map_err(|error| format!("expected KEY=VALUE as in the scenario file: {}", error.message()))?;
    merge_tables(root, table(tree.get_ref(), &origin))
}

fn merge_tables(below: &mut Table, above: Table) -> Result<(), String> {
    for entry in above.entries {
        match below.entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => merge_nodes(&mut known.node, entry.node)?,
            None => below.entries.push(entry),
        }
    }
    Ok(())
}

fn merge_nodes(below: &mut Node, above: Node) -> Result<(), String> {
    let origin = above.origin;
    match (&mut below.value, above.value) {
        (Value::Table(below), Value::Table(above)) => merge_tables(below, above),
        (Value::List(items), Value::Table(above)) => merge_items(items, above),
        (place, value) => {
            *place = value;
            below.origin = origin;
            Ok(())
        }
    }
}

fn merge_items(items: &mut [Node], above: Table) -> Result<(), String> {
    for entry in above.entries {
        let count = items.len();
        let item = entry
            .key
            .parse::<usize>()
            .ok()
            .and_then(|index| items.get_mut(index));
        let item = item.ok_or_else(|| {
            format!(
                "the scenario has {count} of these; expected a number below {count}, found `{}`",
                entry.key
            )
        })?;
        merge_nodes(item, entry.node)?;
    }
    Ok(())
}
