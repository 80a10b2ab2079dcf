//! Quantities as people write them in a scenario: `"40s"`, `"200ms"`, `"2m"`, `"1.5s"`, `"2%"`.

use std::time::Duration;

/// The longest duration a scenario can name: far beyond any run, near enough that no sum of two overflows.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// Reads a duration: a non-negative decimal number and one of `us`, `ms`, `s`, `m` (or `min`), `h`, `d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = "a duration such as \"40s\", \"200ms\", \"2m\" or \"1h\"";
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("expected {expected}, found \"{text}\""))?;
    let seconds = match unit.trim() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "" => return Err(format!("expected {expected}, found \"{text}\" without a unit")),
        other => return Err(format!("expected {expected}, found the unknown unit \"{other}\"")),
    } * number;
    if seconds > MAX_SECONDS {
        return Err(format!("expected at most 366 d, found \"{text}\""));
    }
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Reads a share of a whole: `"2%"` or `"0.02"`, from 0 to 1.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let found = || format!("expected a share such as 0.02 or \"2%\", found \"{text}\"");
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| found())? / 100.0,
        None => text.trim().parse::<f64>().map_err(|_| found())?,
    };
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(found())
    }
}

/// A duration in the largest unit that needs no fraction, as `parse_duration` reads it.
pub fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0s".into(),
        m if m % 60_000_000 == 0 => format!("{}m", m / 60_000_000),
        m if m % 1_000_000 == 0 => format!("{}s", m / 1_000_000),
        m if m % 1_000 == 0 => format!("{}ms", m / 1_000),
        m => format!("{m}us"),
    }
}
