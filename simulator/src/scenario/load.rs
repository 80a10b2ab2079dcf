//! `[[load]]`: what is asked, of which devices, how often and when.

use std::time::Duration;

use super::document::{Node, Value};
use super::error::nearest;
use super::schema::KINDS;
use super::section::Section;
use super::units::{parse_duration, show_duration};
use crate::fleet::Devices;
use crate::load::{LoadOptions, Share, Stage};
use crate::operation::{Operation, RequestKind};

/// The longest `timeout` a request may carry (northbound interface: 24 h).
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);
/// Far more than a curve needs.
const MAX_STAGES: usize = 1000;

/// One `[[load]]` on these devices in a run that ends at `end`.
pub(super) fn load(section: &Section<'_>, devices: &Devices, end: Duration) -> LoadOptions {
    let start = section.duration("start", Duration::ZERO);
    LoadOptions {
        mix: mix(section),
        group: group(section, devices),
        start,
        stages: match section.get("stages") {
            Some(_) => stages(section),
            None => steady(section, start, end),
        },
        timeout: timeout(section),
        repeat: section.flag("repeat", true),
        impatience: section.share("impatience"),
        shared_tickets: section.share("shared_tickets"),
    }
}

/// The same rate from `start` to `stop`.
fn steady(section: &Section<'_>, start: Duration, end: Duration) -> Vec<Stage> {
    if section.get("rate").is_none() {
        section.missing("rate");
    }
    if let Some(node) = section.get("ramp") {
        section.wrong("ramp", node, "`stages`, between whose rates it goes");
    }
    let stop = section.duration("stop", end);
    if start >= stop {
        let (start, stop) = (show_duration(start), show_duration(stop));
        let message = format!("the load starts at {start} and stops at {stop}: nothing would be sent");
        section.problems.add(section.place("start"), message);
    }
    vec![Stage::steady(
        stop.saturating_sub(start),
        section.rate("rate", 1.0),
    )]
}

/// Rates one after the other. With `ramp` a stage begins with the rate before it; before the first one it is `rate`.
fn stages(section: &Section<'_>) -> Vec<Stage> {
    if let Some(node) = section.get("stop") {
        section.wrong(
            "stop",
            node,
            "no `stop` beside `stages`, which say how long they last",
        );
    }
    let mut rate = section.get("rate").map_or(0.0, |_| section.rate("rate", 1.0));
    let ramp = section.flag("ramp", false);
    let sections = section.sections("stages");
    let stage = |stage: &Section<'_>| {
        for key in ["for", "rate"] {
            if stage.get(key).is_none() {
                stage.missing(key);
            }
        }
        let to = stage.rate_or_none("rate");
        let from = if stage.flag("ramp", ramp) { rate } else { to };
        rate = to;
        Stage {
            length: stage.positive("for", Duration::from_secs(1)),
            from,
            to,
        }
    };
    let stages: Vec<Stage> = sections.iter().map(stage).collect();
    if let Some(node) = section.get("stages")
        && (stages.is_empty() || stages.len() > MAX_STAGES)
    {
        let expected = format!("1 to {MAX_STAGES} stages, such as [{{ for = \"10s\", rate = 300 }}]");
        section.wrong("stages", node, &expected);
    }
    stages
}

/// The group of devices that the load names.
fn group(section: &Section<'_>, devices: &Devices) -> Option<usize> {
    let node = section.get("devices")?;
    let name = section.text("devices", "");
    let group = devices.named(&name);
    if group.is_none() {
        let names: Vec<&str> = devices
            .groups
            .iter()
            .filter_map(|it| it.name.as_deref())
            .collect();
        let hint = match (nearest(&name, names.iter().copied()), names.is_empty()) {
            (Some(near), _) => format!("; did you mean \"{near}\"?"),
            (None, true) => "; no [[devices]] has one".to_owned(),
            (None, false) => format!("; there are {}", names.join(", ")),
        };
        let message = format!(
            "`{}`: expected the `name` of a group of [[devices]], found {}{hint}",
            section.path("devices"),
            node.describe()
        );
        section.problems.add(&node.origin, message);
    }
    group
}

fn timeout(section: &Section<'_>) -> Duration {
    let default = Duration::from_secs(20);
    let Some(node) = section.get("timeout") else {
        return default;
    };
    let timeout = match &node.value {
        Value::Integer(millis) => u64::try_from(*millis).ok().map(Duration::from_millis),
        Value::Text(text) => parse_duration(text).ok(),
        _ => None,
    };
    match timeout {
        Some(timeout) if timeout >= Duration::from_millis(1) && timeout <= MAX_TIMEOUT => timeout,
        _ => {
            section.wrong(
                "timeout",
                node,
                "milliseconds or a duration such as \"20s\", from 1 ms to 24 h",
            );
            default
        }
    }
}

fn mix(section: &Section<'_>) -> Vec<Share> {
    let share = |(kind, weight)| Share {
        operations: paths(section, kind)
            .into_iter()
            .map(|path| Operation {
                kind,
                path: path.into(),
            })
            .collect(),
        weight,
    };
    weights(section).into_iter().map(share).collect()
}

/// The kinds and how often each is drawn: one, a list (a repeated name counts twice) or a table of weights.
fn weights(section: &Section<'_>) -> Vec<(RequestKind, u32)> {
    let Some(node) = section.get("kind") else {
        section.missing("kind");
        return Vec::new();
    };
    let mut parts: Vec<(RequestKind, u32)> = Vec::new();
    let mut add = |kind: RequestKind, weight: u32| match parts.iter_mut().find(|part| part.0 == kind) {
        Some(part) => part.1 = part.1.saturating_add(weight),
        None => parts.push((kind, weight)),
    };
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            items
                .iter()
                .filter_map(|item| kind(section, item))
                .for_each(|kind| add(kind, 1));
        }
        Value::Table(table) if !table.entries.is_empty() => {
            for entry in &table.entries {
                let name = Node {
                    value: Value::Text(entry.key.clone()),
                    origin: entry.key_origin.clone(),
                };
                match (kind(section, &name), &entry.node.value) {
                    (Some(kind), Value::Integer(weight @ 1..=1_000_000)) => add(kind, *weight as u32),
                    (Some(_), _) => section.wrong("kind", &entry.node, "a weight from 1 to 1000000"),
                    (None, _) => {}
                }
            }
        }
        Value::List(_) | Value::Table(_) => section.wrong("kind", node, "at least one kind"),
        _ => kind(section, node).into_iter().for_each(|kind| add(kind, 1)),
    }
    parts
}

fn kind(section: &Section<'_>, node: &Node) -> Option<RequestKind> {
    RequestKind::named(section.name_of("kind", node, &KINDS)?)
}

/// The paths of one kind of a load.
fn paths(section: &Section<'_>, kind: RequestKind) -> Vec<String> {
    let default = vec![kind.declaration().default_path.to_string()];
    let Some(mut node) = section.get("path") else {
        return default;
    };
    if let Value::Table(by_kind) = &node.value {
        for entry in &by_kind.entries {
            let name = Node {
                value: Value::Text(entry.key.clone()),
                origin: entry.key_origin.clone(),
            };
            section.name_of("path", &name, &KINDS);
        }
        match by_kind.get(kind.as_str()) {
            Some(own) => node = own,
            None => return default,
        }
    }
    let items = match &node.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    if items.is_empty() {
        section.wrong("path", node, "at least one path");
    }
    items
        .into_iter()
        .filter_map(|item| path(section, item, kind))
        .collect()
}

fn path(section: &Section<'_>, node: &Node, kind: RequestKind) -> Option<String> {
    let ids = match &node.value {
        Value::Text(text) => parse_path(text),
        _ => None,
    };
    let checked = match &ids {
        Some(ids) => kind.check_path(ids),
        None => Err("a path such as \"/3/0/0\", with numbers from 0 to 65534"),
    };
    match checked {
        Ok(()) => ids.map(|ids| ids.iter().map(|id| format!("/{id}")).collect()),
        Err(expected) => {
            section.wrong("path", node, expected);
            None
        }
    }
}

fn parse_path(text: &str) -> Option<Vec<u16>> {
    text.strip_prefix('/')?
        .split('/')
        .map(|id| id.parse().ok().filter(|&id| id < u16::MAX))
        .collect()
}
