//! One table of the scenario while it is being typed: each getter takes a key that the schema knows, writes down what
//! is wrong with its value and goes on with the default, so that one look shows every mistake.

use std::cell::RefCell;
use std::time::Duration;

use super::document::{Document, Node, Origin, Table, Value};
use super::error::{Problem, nearest};
use super::schema::{Key, Kind, Names};
use super::units::{parse_duration, parse_share};

/// No load asks for more in a second.
const MAX_RATE: f64 = 1e7;

/// Collects what is wrong with a document.
pub struct Problems<'a> {
    document: &'a Document,
    found: RefCell<Vec<(usize, Problem)>>,
}

impl<'a> Problems<'a> {
    pub fn new(document: &'a Document) -> Self {
        Problems {
            document,
            found: RefCell::default(),
        }
    }

    pub fn add(&self, origin: &Origin, message: impl Into<String>) {
        let place = match origin {
            Origin::File(offset) => *offset,
            Origin::Option(_) => usize::MAX,
        };
        let problem = self.document.problem(origin, message.into());
        self.found.borrow_mut().push((place, problem));
    }

    /// In the order of the file, options last; each once, though a table may be looked at twice.
    pub fn into_found(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(place, _)| *place);
        found.dedup();
        found.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// A table, the keys it may have, and where mistakes go.
pub struct Section<'a> {
    name: String,
    table: &'a Table,
    keys: &'static [Key],
    origin: Origin,
    pub problems: &'a Problems<'a>,
}

impl<'a> Section<'a> {
    /// Opens a table and reports every key that the schema does not know.
    pub fn open(
        name: &str,
        table: &'a Table,
        origin: Origin,
        keys: &'static [Key],
        problems: &'a Problems<'a>,
    ) -> Section<'a> {
        for entry in &table.entries {
            match keys.iter().find(|key| key.name == entry.key) {
                None => problems.add(&entry.key_origin, unknown_key(&entry.key, name, keys)),
                Some(Key {
                    kind: Kind::Later, ..
                }) => {
                    let whole = if name.is_empty() {
                        entry.key.clone()
                    } else {
                        format!("{name}.{}", entry.key)
                    };
                    problems.add(
                        &entry.key_origin,
                        format!("`{whole}` is not there yet in this version"),
                    );
                }
                Some(_) => {}
            }
        }
        Section {
            name: name.into(),
            table,
            keys,
            origin,
            problems,
        }
    }

    /// The value of a key and the name that messages give it.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(
            self.keys.iter().any(|known| known.name == key),
            "`{key}` is missing in the schema"
        );
        self.table.get(key)
    }

    /// Reports what is wrong with a key.
    pub fn wrong(&self, key: &str, node: &Node, expected: &str) {
        let message = format!(
            "`{}`: expected {expected}, found {}",
            self.path(key),
            node.describe()
        );
        self.problems.add(&node.origin, message);
    }

    /// The place of a key's value, or of the table if the key is absent.
    pub fn place(&self, key: &str) -> &Origin {
        self.table.get(key).map_or(&self.origin, |node| &node.origin)
    }

    /// `devices.count`
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Reports a key without which the table means nothing.
    pub fn missing(&self, key: &str) {
        let example = self
            .keys
            .iter()
            .find(|known| known.name == key)
            .map_or("", |known| known.example);
        let message = format!("`{}` is missing; for example {key} = {example}", self.path(key));
        self.problems.add(&self.origin, message);
    }

    pub fn text(&self, key: &str, default: &str) -> String {
        match self.get(key) {
            None => default.into(),
            Some(Node {
                value: Value::Text(text),
                ..
            }) => text.clone(),
            Some(node) => {
                self.wrong(key, node, "a string");
                default.into()
            }
        }
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            self.wrong(key, node, "a list of strings");
            return Vec::new();
        };
        let text = |item: &Node| match &item.value {
            Value::Text(text) => Some(text.clone()),
            _ => {
                self.wrong(key, item, "a string");
                None
            }
        };
        items.iter().filter_map(text).collect()
    }

    pub fn flag(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            None => default,
            Some(Node {
                value: Value::Flag(flag),
                ..
            }) => *flag,
            Some(node) => {
                self.wrong(key, node, "true or false");
                default
            }
        }
    }

    /// A whole number in the range that the schema gives it.
    pub fn integer(&self, key: &str, default: i64) -> i64 {
        let range = self.keys.iter().find_map(|known| match &known.kind {
            Kind::Integer(range) if known.name == key => Some(range.clone()),
            _ => None,
        });
        let range = range.unwrap_or(i64::MIN..=i64::MAX);
        match self.get(key) {
            None => default,
            Some(Node {
                value: Value::Integer(number),
                ..
            }) if range.contains(number) => *number,
            Some(node) => {
                self.wrong(
                    key,
                    node,
                    &format!("a whole number from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    /// Whole numbers, at least one; `None` if the key is absent or wrong.
    pub fn integers(&self, key: &str) -> Option<Vec<u32>> {
        let node = self.get(key)?;
        let number = |item: &Node| match &item.value {
            Value::Integer(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        let numbers = match &node.value {
            Value::List(items) if !items.is_empty() => items.iter().map(number).collect(),
            _ => None,
        };
        if numbers.is_none() {
            self.wrong(key, node, "a list of whole numbers, such as [3, 17]");
        }
        numbers
    }

    /// A number above zero.
    pub fn rate(&self, key: &str, default: f64) -> f64 {
        match self.number(key) {
            None => default,
            Some(number) if number > 0.0 && number <= MAX_RATE => number,
            Some(_) => {
                self.wrong_value(key, "a rate per second, above 0 and at most 10000000");
                default
            }
        }
    }

    /// A rate that may be zero, as it is by default.
    pub fn rate_or_none(&self, key: &str) -> f64 {
        match self.number(key) {
            None => 0.0,
            Some(number) if (0.0..=MAX_RATE).contains(&number) => number,
            Some(_) => {
                self.wrong_value(key, "a rate per second, from 0 to 10000000");
                0.0
            }
        }
    }

    /// A number; not one if the value is something else.
    fn number(&self, key: &str) -> Option<f64> {
        Some(match &self.get(key)?.value {
            Value::Integer(number) => *number as f64,
            Value::Number(number) => *number,
            _ => f64::NAN,
        })
    }

    fn wrong_value(&self, key: &str, expected: &str) {
        if let Some(node) = self.get(key) {
            self.wrong(key, node, expected);
        }
    }

    /// A duration above zero.
    pub fn positive(&self, key: &str, default: Duration) -> Duration {
        let duration = self.duration(key, default);
        if duration.is_zero()
            && let Some(node) = self.get(key)
        {
            self.wrong(key, node, "a duration above zero");
        }
        duration
    }

    /// A share, or this if there is none.
    pub fn share_or(&self, key: &str, default: f64) -> f64 {
        self.get(key).map_or(default, |_| self.share(key))
    }

    /// A share from 0 to 1, or `"2%"`.
    pub fn share(&self, key: &str) -> f64 {
        let Some(node) = self.get(key) else { return 0.0 };
        let share = match &node.value {
            Value::Integer(number) => *number as f64,
            Value::Number(number) => *number,
            Value::Text(text) => parse_share(text).unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if (0.0..=1.0).contains(&share) {
            return share;
        }
        self.wrong(key, node, "a share from 0 to 1, or a percentage such as \"2%\"");
        0.0
    }

    pub fn duration(&self, key: &str, default: Duration) -> Duration {
        self.optional_duration(key).unwrap_or(default)
    }

    pub fn optional_duration(&self, key: &str) -> Option<Duration> {
        let node = self.get(key)?;
        let Value::Text(text) = &node.value else {
            self.wrong(key, node, "a duration in quotes, such as \"40s\" or \"200ms\"");
            return None;
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.problems
                    .add(&node.origin, format!("`{}`: {message}", self.path(key)));
                None
            }
        }
    }

    /// One of the names of the schema.
    pub fn choice(&self, key: &str, default: &'static str) -> &'static str {
        let Some(node) = self.get(key) else { return default };
        let Some(Kind::OneOf(names)) = self
            .keys
            .iter()
            .find(|known| known.name == key)
            .map(|known| &known.kind)
        else {
            return default;
        };
        self.name_of(key, node, names).unwrap_or(default)
    }

    /// The name that `node` holds, if this version has it.
    pub fn name_of(&self, key: &str, node: &Node, names: &Names) -> Option<&'static str> {
        let Value::Text(text) = &node.value else {
            self.wrong(key, node, &format!("one of {}", names.now.join(", ")));
            return None;
        };
        if let Some(name) = names.now.iter().find(|name| *name == text) {
            return Some(name);
        }
        let path = self.path(key);
        let has = names.now.join(", ");
        let message = if names.later.contains(&text.as_str()) {
            format!("`{path}`: \"{text}\" is not there yet in this version, which has: {has}")
        } else {
            let all = names.now.iter().chain(names.later).copied();
            let hint = nearest(text, all).map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
            format!("`{path}`: expected one of {has}, found \"{text}\"{hint}")
        };
        self.problems.add(&node.origin, message);
        None
    }

    /// A table under `key`; absent ones are empty.
    pub fn section(&self, key: &str, empty: &'a Table) -> Section<'a> {
        let keys = match self
            .keys
            .iter()
            .find(|known| known.name == key)
            .map(|known| &known.kind)
        {
            Some(Kind::Table(keys) | Kind::Tables(keys) | Kind::OneOrMany(keys)) => keys,
            _ => &[][..],
        };
        match self.get(key) {
            Some(Node {
                value: Value::Table(table),
                origin,
            }) => Section::open(&self.path(key), table, origin.clone(), keys, self.problems),
            other => {
                if let Some(node) = other {
                    self.wrong(key, node, &format!("a table, [{}]", self.path(key)));
                }
                Section::open(&self.path(key), empty, self.origin.clone(), keys, self.problems)
            }
        }
    }

    /// The tables of a `[[key]]`, or the one of a `[key]`; that of an absent key is empty.
    pub fn one_or_many(&self, key: &str, empty: &'a Table) -> Vec<Section<'a>> {
        match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) if !items.is_empty() => self.sections(key),
            _ => vec![self.section(key, empty)],
        }
    }

    /// The tables of a `[[key]]`.
    pub fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let Some(Kind::Tables(keys) | Kind::OneOrMany(keys)) = self
            .keys
            .iter()
            .find(|known| known.name == key)
            .map(|known| &known.kind)
        else {
            return Vec::new();
        };
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            self.wrong(key, node, &format!("tables that open with [[{key}]]"));
            return Vec::new();
        };
        let open = |item: &'a Node| match &item.value {
            Value::Table(table) => Some(Section::open(
                &self.path(key),
                table,
                item.origin.clone(),
                keys,
                self.problems,
            )),
            _ => {
                self.wrong(key, item, &format!("a table that opens with [[{key}]]"));
                None
            }
        };
        items.iter().filter_map(open).collect()
    }
}

fn unknown_key(key: &str, section: &str, keys: &[Key]) -> String {
    let place = if section.is_empty() {
        "at the top level".into()
    } else {
        format!("in [{section}]")
    };
    let known: Vec<&str> = keys.iter().map(|known| known.name).collect();
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key `{key}` {place}; did you mean `{near}`?"),
        None => format!("unknown key `{key}` {place}; known are {}", known.join(", ")),
    }
}
