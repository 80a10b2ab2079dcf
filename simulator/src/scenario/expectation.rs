//! The pass/fail line: a limit for a path of report.json, and its judgement.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Below this path of the report stands a count for each error code that came; one that never came was counted 0 times.
pub const COUNTS_BY_CODE: &str = "tickets.errors_by_code.";

/// One line of `[expect]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Members of report.json joined by dots: `tickets.violations`, `cost.instances.0.cpu_s`.
    pub path: String,
    /// What must hold for it.
    pub limit: Limit,
}

/// What must hold for a value of the report.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// `0`, `"== 0"`
    Equal(f64),
    /// `"<= 1500"`
    AtMost(f64),
    /// `">= 1000"`
    AtLeast(f64),
    /// `"< 5"`
    Below(f64),
    /// `"> 5"`
    Above(f64),
    /// `true`
    Flag(bool),
    /// `"pass"`
    Text(String),
}

/// An expectation and what the run had to say to it; as in report.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The path.
    pub path: String,
    /// The limit, as text: `<= 1500`.
    pub limit: String,
    /// What the report says; null if it has no such value (nothing was measured).
    pub actual: Json,
    /// True if the limit holds. A missing value never does.
    pub pass: bool,
}

impl Limit {
    /// Reads a limit that is a string.
    pub fn parse(text: &str) -> Result<Limit, String> {
        let text = text.trim();
        let signs = ["<=", ">=", "==", "<", ">"];
        let Some(sign) = signs.into_iter().find(|sign| text.starts_with(sign)) else {
            return Ok(Limit::Text(text.into()));
        };
        let number = text[sign.len()..].trim();
        let number = number
            .parse()
            .map_err(|_| format!("expected a number after `{sign}`, found \"{number}\""))?;
        Ok(match sign {
            "<=" => Limit::AtMost(number),
            ">=" => Limit::AtLeast(number),
            "<" => Limit::Below(number),
            ">" => Limit::Above(number),
            _ => Limit::Equal(number),
        })
    }

    fn holds(&self, actual: &Json) -> bool {
        let number = actual.as_f64();
        match self {
            Limit::Equal(limit) => number == Some(*limit),
            Limit::AtMost(limit) => number.is_some_and(|number| number <= *limit),
            Limit::AtLeast(limit) => number.is_some_and(|number| number >= *limit),
            Limit::Below(limit) => number.is_some_and(|number| number < *limit),
            Limit::Above(limit) => number.is_some_and(|number| number > *limit),
            Limit::Flag(limit) => actual.as_bool() == Some(*limit),
            Limit::Text(limit) => actual.as_str() == Some(limit),
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::Equal(limit) => write!(f, "== {limit}"),
            Limit::AtMost(limit) => write!(f, "<= {limit}"),
            Limit::AtLeast(limit) => write!(f, ">= {limit}"),
            Limit::Below(limit) => write!(f, "< {limit}"),
            Limit::Above(limit) => write!(f, "> {limit}"),
            Limit::Flag(limit) => write!(f, "{limit}"),
            Limit::Text(limit) => write!(f, "{limit}"),
        }
    }
}

impl Expectation {
    /// Judges the report.
    pub fn judge(&self, report: &Json) -> Outcome {
        let absent = match self.path.starts_with(COUNTS_BY_CODE) {
            true => Json::from(0),
            false => Json::Null,
        };
        let actual = value_at(report, &self.path).cloned().unwrap_or(absent);
        let pass = self.limit.holds(&actual);
        Outcome {
            path: self.path.clone(),
            limit: self.limit.to_string(),
            actual,
            pass,
        }
    }
}

/// The value at a dotted path.
pub fn value_at<'a>(report: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(report, |value, member| match value {
        Json::Object(members) => members.get(member),
        Json::Array(items) => items.get(member.parse::<usize>().ok()?),
        _ => None,
    })
}
