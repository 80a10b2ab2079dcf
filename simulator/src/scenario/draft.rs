//! A scenario that is being made or changed: its TOML tree, and the text of the file that it amounts to.
//!
//! It knows no keys but those that it orders, so that whatever a scenario can say survives being written again.

use std::fmt::Write as _;
use std::time::Duration;

use toml::{Table, Value};

use super::{Scenario, parse_duration};

/// The order in which a person wants to read them; further keys follow.
const ORDER: [&str; 26] = [
    "name",
    "question",
    "seed",
    "duration",
    "calm",
    "cluster",
    "devices",
    "balancer",
    "load",
    "fault",
    "expect",
    "instances",
    "lease",
    "count",
    "lifetime",
    "policy",
    "health",
    "kind",
    "path",
    "rate",
    "start",
    "stop",
    "at",
    "do",
    "instance",
    "outputs",
];

/// A table of these.
pub fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// A scenario as a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The tables and keys of the file.
    pub root: Table,
}

impl Draft {
    /// What a scenario says.
    pub fn of(scenario: &Scenario) -> Draft {
        Draft {
            root: scenario.tree(),
        }
    }

    /// The file.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let keys = ordered(&self.root)
            .into_iter()
            .filter(|(_, value)| !is_empty(value));
        let (plain, tables): (Vec<_>, Vec<_>) = keys.partition(|(_, value)| !is_section(value));
        render_keys(&mut text, plain);
        for (name, value) in tables {
            match value {
                Value::Array(items) => {
                    for item in items.iter().filter_map(Value::as_table) {
                        let _ = write!(text, "\n[[{name}]]\n");
                        render_keys(&mut text, ordered(item));
                    }
                }
                Value::Table(table) => {
                    let _ = write!(text, "\n[{name}]\n");
                    render_keys(&mut text, ordered(table));
                }
                _ => {}
            }
        }
        text
    }

    /// Reads the file that it amounts to; `None` if it contradicts itself.
    pub fn scenario(&self) -> Option<Scenario> {
        Scenario::parse(&self.render(), "drawn.toml").ok()
    }

    /// A table of the top level; made if there is none.
    pub fn section(&mut self, name: &str) -> &mut Table {
        let entry = self.root.entry(name).or_insert_with(|| Table::new().into());
        if !entry.is_table() {
            *entry = Table::new().into();
        }
        entry.as_table_mut().expect("it was just made one")
    }

    /// The tables of `[[name]]`; made if there are none.
    pub fn list(&mut self, name: &str) -> &mut Vec<Value> {
        let entry = self.root.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if !entry.is_array() {
            *entry = Value::Array(Vec::new());
        }
        entry.as_array_mut().expect("it was just made one")
    }

    /// The table `[devices]`, made if there is none, or each of `[[devices]]`.
    pub fn devices(&mut self) -> Vec<&mut Table> {
        if self.count("devices") == 0 {
            return vec![self.section("devices")];
        }
        self.list("devices")
            .iter_mut()
            .filter_map(Value::as_table_mut)
            .collect()
    }

    /// Where these tables are: `["devices"]`, or `["devices", "0"]` and so on.
    pub fn device_places(&self) -> Vec<Vec<String>> {
        let whole = "devices".to_owned();
        match self.count("devices") {
            0 => vec![vec![whole]],
            groups => (0..groups)
                .map(|index| vec![whole.clone(), index.to_string()])
                .collect(),
        }
    }

    /// How many tables `[[name]]` there are.
    pub fn count(&self, name: &str) -> usize {
        self.root.get(name).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// What a key holds: `["devices", "count"]`, `["fault", "0", "at"]`.
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(self.root.get(*first)?, |value, key| match value {
                Value::Table(table) => table.get(*key),
                Value::Array(items) => items.get(key.parse::<usize>().ok()?),
                _ => None,
            })
    }

    /// The same with another value at a path; `None` if the path leads nowhere.
    pub fn with(&self, path: &[&str], value: impl Into<Value>) -> Option<Draft> {
        let mut changed = self.clone();
        let (last, tables) = path.split_last()?;
        let mut place = Value::Table(std::mem::take(&mut changed.root));
        let mut inner = &mut place;
        for key in tables {
            inner = match inner {
                Value::Table(table) => table.get_mut(*key)?,
                Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        inner.as_table_mut()?.insert((*last).to_owned(), value.into());
        match place {
            Value::Table(root) => Some(Draft { root }),
            _ => None,
        }
    }

    /// A whole number.
    pub fn integer(&self, path: &[&str]) -> Option<i64> {
        self.get(path)?.as_integer()
    }

    /// A number.
    pub fn number(&self, path: &[&str]) -> Option<f64> {
        let value = self.get(path)?;
        value
            .as_float()
            .or_else(|| value.as_integer().map(|whole| whole as f64))
    }

    /// A duration.
    pub fn duration(&self, path: &[&str]) -> Option<Duration> {
        parse_duration(self.get(path)?.as_str()?).ok()
    }
}

/// A duration as a scenario has it.
pub fn millis(duration: Duration) -> Value {
    match duration.as_millis() {
        whole if whole % 1000 == 0 => format!("{}s", whole / 1000).into(),
        other => format!("{other}ms").into(),
    }
}

fn is_section(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => items.iter().any(Value::is_table),
        _ => false,
    }
}

fn ordered(table: &Table) -> Vec<(&String, &Value)> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
    keys
}

fn render_keys(text: &mut String, keys: Vec<(&String, &Value)>) {
    for (key, value) in keys {
        let bare = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let key = if bare {
            key.clone()
        } else {
            Value::String(key.clone()).to_string()
        };
        let _ = writeln!(text, "{key} = {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "question = \"?\"\nname = \"x\"\nduration = \"9s\"\n[devices]\nnetwork = { loss = 0.5 }\n\
                        [[fault]]\ndo = \"kill\"\nat = \"1s\"\ninstance = 0\n[[fault]]\nat = \"2s\"\ndo = \"restart\"\n\
                        instance = 0\n[expect]\n\"tickets.lost\" = 0\n";

    fn draft() -> Draft {
        Draft::of(&Scenario::parse(FILE, "x.toml").unwrap())
    }

    #[test]
    fn a_scenario_that_is_written_again_says_the_same_in_a_fixed_order() {
        let text = draft().render();
        let expected = "name = \"x\"\nquestion = \"?\"\nduration = \"9s\"\n\n[devices]\nnetwork = { loss = 0.5 }\n\n\
                        [[fault]]\nat = \"1s\"\ndo = \"kill\"\ninstance = 0\n\n[[fault]]\nat = \"2s\"\n\
                        do = \"restart\"\ninstance = 0\n\n[expect]\n\"tickets.lost\" = 0\n";
        assert_eq!(text, expected);
        assert_eq!(draft().scenario().unwrap().fault.len(), 2);
    }

    #[test]
    fn one_value_is_changed_and_the_rest_stays() {
        let changed = draft().with(&["fault", "1", "at"], "3s").unwrap();
        assert_eq!(
            changed.duration(&["fault", "1", "at"]),
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            changed.duration(&["fault", "0", "at"]),
            Some(Duration::from_secs(1))
        );
        assert_eq!(draft().with(&["fault", "2", "at"], "3s"), None);
        assert_eq!(draft().number(&["devices", "network", "loss"]), Some(0.5));
    }

    #[test]
    fn groups_of_devices_are_reached_one_by_one_and_written_again() {
        let text = FILE.replace("[devices]\n", "[[devices]]\ncount = 2\n[[devices]]\ncount = 5\n");
        let mut draft = Draft::of(&Scenario::parse(&text, "x.toml").unwrap());
        let places = draft.device_places();
        let counts = places
            .iter()
            .map(|place| draft.integer(&[&place[0], &place[1], "count"]));
        assert_eq!(counts.collect::<Vec<_>>(), [Some(2), Some(5)]);
        for group in draft.devices() {
            group.insert("count".into(), 1.into());
        }
        assert_eq!(draft.scenario().unwrap().devices.count(), 2);
    }
}
