//! Lengths of time: `200ms`, `1m30s`, `5m`, and a plain `0`.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::{
    problem::{Draft, Problems},
    read::{Read, parsed},
    tree::{Node, Value},
};

/// A hundred years: longer ones overflow clocks.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const UNITS: [(&str, f64); 7] = [
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

const PATTERN: &str = r"^(0|([0-9]+(\.[0-9]+)?\s*(us|ms|s|m|h|d|w)\s*)+)$";

/// Between asking and killing; or for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Grace {
    Within(Duration),
    Infinity,
}

fn parse(text: &str) -> Result<Duration, (String, Option<String>)> {
    let example = || Some("durations are written as \"200ms\", \"1m30s\", \"5m\"".to_owned());
    let malformed = || ("must be a duration".to_owned(), example());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| malformed())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = &rest[..letters];
        if unit.is_empty() {
            let rule = "must be a duration with a unit".to_owned();
            return Err((
                rule,
                Some(format!("write \"{text}s\" for seconds, \"{text}ms\" for milliseconds")),
            ));
        }
        let Some((_, factor)) = UNITS.iter().find(|(known, _)| *known == unit) else {
            let known: Vec<&str> = UNITS.iter().map(|(unit, _)| *unit).collect();
            let rule = format!("has the unknown unit `{unit}`");
            return Err((rule, Some(format!("units are {}", known.join(", ")))));
        };
        seconds += number * factor;
        rest = rest[letters..].trim_start();
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err(("is too long: at most a hundred years".to_owned(), None)),
    }
}

/// The shortest text that reads as the same duration.
pub(crate) fn written(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let seconds = duration.as_secs_f64();
    let unit = UNITS.iter().rev().find(|(unit, factor)| {
        *unit != "w" && seconds >= *factor && (seconds / factor).fract() < 1e-9
    });
    match unit {
        Some((unit, factor)) => format!("{:.0}{unit}", seconds / factor),
        None => format!("{}us", duration.as_micros()),
    }
}

impl Read for Duration {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Integer(number) if number.integer() == Some(0) => Some(Self::ZERO),
            Value::Integer(number) | Value::Float(number) if number.digits.starts_with('-') => {
                problems.push(Draft::value(node, "must be a duration of 0 or more"));
                None
            }
            Value::Integer(_) | Value::Float(_) => {
                let written = node.value.to_string();
                let hint =
                    format!("write \"{written}s\" for seconds, \"{written}ms\" for milliseconds");
                problems.push(Draft::value(node, "must be a duration with a unit").hint(hint));
                None
            }
            _ => parsed(node, problems, parse),
        }
    }

    fn schema() -> Json {
        json!({
            "type": ["string", "integer"], "pattern": PATTERN, "maximum": 0, "minimum": 0,
            "examples": ["200ms", "1m30s", "5m"],
        })
    }
}

impl Read for Grace {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "infinity" => Some(Self::Infinity),
            _ => Duration::read(node, problems).map(Self::Within),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [Duration::schema(), { "const": "infinity" }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let millis = |text| parse(text).map(|duration| duration.as_millis());
        assert_eq!(millis("200ms"), Ok(200));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1m 30s"), Ok(90_000));
        assert_eq!(millis("1.5s"), Ok(1_500));
        assert_eq!(millis("0"), Ok(0));
        assert_eq!(millis("7d"), Ok(7 * 86_400_000));
        for bad in ["", "s", "5", "5 parsecs", "-5s", "1..5s", "5s!", "99999999999w", "é", "5é"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_written_duration_reads_as_the_same() {
        for text in ["0s", "200ms", "90s", "5m", "24h", "7d", "1500us"] {
            let duration = parse(text).expect(text);
            assert_eq!(parse(&written(duration)), Ok(duration), "{text}");
        }
    }
}
