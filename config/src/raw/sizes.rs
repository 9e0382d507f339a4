//! Amounts of bytes: `64KiB`, `1GiB`, `500MB`, and plain integers.

use serde_json::{Value as Json, json};

use crate::{
    problem::{Draft, Problems},
    read::{Read, parsed},
    tree::{Node, Value},
};

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 13] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
];

const HINT: &str = "sizes are written as \"64KiB\", \"500MB\", \"1GiB\"";

fn parse(text: &str) -> Result<Size, (String, Option<String>)> {
    let malformed = || ("must be a size".to_owned(), Some(HINT.to_owned()));
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let factor = match unit {
        "" => 1,
        unit => match UNITS.iter().find(|(known, _)| known == &unit) {
            Some((_, factor)) => *factor,
            None if number.is_empty() => return Err(malformed()),
            None => {
                let near = UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit));
                let hint = near.map_or(HINT.to_owned(), |(known, _)| {
                    format!("did you mean \"{number}{known}\"?")
                });
                return Err((format!("has the unknown unit `{unit}`"), Some(hint)));
            }
        },
    };
    let too_large = || ("is too large".to_owned(), None);
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor).map(Size).ok_or_else(too_large),
        Err(_) => {
            let bytes = number.parse::<f64>().map_err(|_| malformed())? * factor as f64;
            if bytes < u64::MAX as f64 { Ok(Size(bytes as u64)) } else { Err(too_large()) }
        }
    }
}

impl Read for Size {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Integer(number) => match number.integer().and_then(|n| u64::try_from(n).ok()) {
                Some(bytes) => Some(Self(bytes)),
                None => {
                    problems.push(Draft::value(node, "must be a size of 0 bytes or more"));
                    None
                }
            },
            _ => parsed(node, problems, parse),
        }
    }

    fn schema() -> Json {
        json!({
            "type": ["string", "integer"], "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)?\s*([KMGT]i?B|kB|B|K|M|G)?$",
            "examples": ["64KiB", "1GiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_units() {
        assert_eq!(parse("64KiB"), Ok(Size(65_536)));
        assert_eq!(parse("1.5 GiB"), Ok(Size(1_610_612_736)));
        assert_eq!(parse("500MB"), Ok(Size(500_000_000)));
        assert_eq!(parse("12"), Ok(Size(12)));
        for bad in ["", "MiB", "-1", "1 parsec", "99999999999TiB", "1..5G", "é"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("1gib").unwrap_err().1, Some("did you mean \"1GiB\"?".into()));
    }
}
