//! Reads one line of a service's output: a JSON object or plain text.
//!
//! Any bytes give a result. A line counts as JSON when it is one whole object that nests at most
//! [`DEPTH_MAX`] deep; every other line is text. Text says its level in one of its first words
//! (`ERROR`, `[warn]`, `error:`, `level=debug`); without such a word it is `info`, on stderr as
//! well, because many programs print everything there. All pieces of a line that was too long but
//! the last have the field `split`.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::value::RawValue;

use super::{
    escape::{is_harmful, visible, visible_text},
    json::{self, Members},
    record::{Level, parse_timestamp},
};

/// A JSON line that nests deeper is plain text.
const DEPTH_MAX: usize = 32;

/// A service's own time is believed when it is so close to the time of reading; otherwise it is
/// kept among the fields. Readers rely on files that are nearly in order.
pub(crate) const SKEW_MAX: Duration = Duration::from_secs(60);

/// What a line said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The service's own time, if it told a plausible one.
    pub(crate) at: Option<SystemTime>,
    pub(crate) level: Level,
    pub(crate) message: Cow<'a, str>,
    /// The text of a JSON object, or empty.
    pub(crate) fields: String,
}

/// Reads a line, without its line feed, that arrived at the given time.
pub(crate) fn parse(line: &[u8], arrived: SystemTime) -> Line<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    parse_object(line, arrived).unwrap_or_else(|| parse_text(line))
}

/// Reads a part of a line that was too long to be kept whole.
pub(crate) fn parse_piece(piece: &[u8]) -> Line<'_> {
    Line { fields: r#"{"split":true}"#.to_owned(), ..parse_text(piece) }
}

fn parse_text(line: &[u8]) -> Line<'_> {
    let message = visible(line);
    let level = level_in_text(&message).unwrap_or(Level::Info);
    Line { at: None, level, message, fields: String::new() }
}

/// The first words may be a date, a time, a host and a process before the level comes.
const LEVEL_WORDS_MAX: usize = 5;

fn level_in_text(text: &str) -> Option<Level> {
    text.split_ascii_whitespace().take(LEVEL_WORDS_MAX).find_map(level_of_word)
}

fn level_of_word(word: &str) -> Option<Level> {
    const WORD_LENGTH_MAX: usize = 24;
    if word.len() > WORD_LENGTH_MAX {
        return None;
    }
    if let Some(value) = word.strip_prefix("level=") {
        return value.trim_matches('"').parse().ok();
    }
    let bare = word.trim_matches(|c| matches!(c, '[' | ']' | '<' | '>' | '(' | ')' | ':' | '|'));
    let marked = bare.len() < word.len();
    let shouted = bare.len() > 2 && bare.bytes().all(|byte| byte.is_ascii_uppercase());
    if marked || shouted { bare.parse().ok() } else { None }
}

fn parse_object(line: &[u8], arrived: SystemTime) -> Option<Line<'static>> {
    if line.first() != Some(&b'{') || !nests_acceptably(line) {
        return None;
    }
    let members: Members<'_> = serde_json::from_slice(line).ok()?;
    let mut object =
        Object { arrived, at: None, level: None, message: None, fields: String::new() };
    object.take_members(members);
    if !object.fields.is_empty() {
        object.fields.push('}');
    }
    Some(Line {
        at: object.at,
        level: object.level.unwrap_or(Level::Info),
        message: object.message.unwrap_or_default().into(),
        fields: object.fields,
    })
}

/// Counts brackets outside of strings. Unbalanced ones are left to the JSON parser.
fn nests_acceptably(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// A JSON line while its members are sorted into what we know and the rest.
struct Object {
    arrived: SystemTime,
    at: Option<SystemTime>,
    level: Option<Level>,
    message: Option<String>,
    fields: String,
}

impl Object {
    fn take_members(&mut self, members: Members<'_>) {
        for (key, value) in members.0 {
            if !self.take_known(&key, value) {
                self.take_field(&key, value);
            }
        }
    }

    /// The first value that can be understood wins; a later one stays among the fields.
    fn take_known(&mut self, key: &str, value: &RawValue) -> bool {
        match key {
            "timestamp" | "time" | "ts" | "@timestamp" => {
                self.at.is_none() && set(&mut self.at, time_of(value, self.arrived))
            }
            "level" | "severity" | "lvl" => {
                self.level.is_none() && set(&mut self.level, level_of(value))
            }
            "message" | "msg" => {
                self.message.is_none() && set(&mut self.message, message_of(value))
            }
            // Where `tracing` and our own records put the rest, the message included.
            "fields" => match serde_json::from_str::<Members<'_>>(value.get()) {
                Ok(members) => {
                    for (key, value) in members.0 {
                        let known = matches!(&*key, "message" | "msg");
                        if !(known && self.take_known(&key, value)) {
                            self.take_field(&key, value);
                        }
                    }
                    true
                }
                Err(_) => false,
            },
            _ => false,
        }
    }

    fn take_field(&mut self, key: &str, value: &RawValue) {
        self.fields.push(if self.fields.is_empty() { '{' } else { ',' });
        json::push_string(&mut self.fields, &visible_text(key));
        self.fields.push(':');
        push_harmless(&mut self.fields, value.get());
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

fn message_of(value: &RawValue) -> Option<String> {
    let text: Cow<'_, str> = serde_json::from_str(value.get()).ok()?;
    Some(visible_text(&text).into_owned())
}

fn level_of(value: &RawValue) -> Option<Level> {
    let text = value.get();
    match text.parse::<u64>() {
        // The numbers of bunyan and pino.
        Ok(0..=10) => Some(Level::Trace),
        Ok(11..=20) => Some(Level::Debug),
        Ok(21..=30) => Some(Level::Info),
        Ok(31..=40) => Some(Level::Warn),
        Ok(41..=60) => Some(Level::Error),
        Ok(_) => None,
        Err(_) => text.trim_matches('"').parse().ok(),
    }
}

fn time_of(value: &RawValue, arrived: SystemTime) -> Option<SystemTime> {
    let text = value.get();
    let told = match text.strip_prefix('"') {
        Some(quoted) => parse_timestamp(quoted.trim_end_matches('"'))?,
        None => since_epoch(text.parse().ok()?)?,
    };
    let skew = told.duration_since(arrived).unwrap_or_else(|error| error.duration());
    (skew <= SKEW_MAX).then_some(told)
}

/// A number is in seconds, milliseconds, microseconds or nanoseconds; its size says which.
fn since_epoch(number: f64) -> Option<SystemTime> {
    let seconds = match number {
        ..1e11 => number,
        ..1e14 => number / 1e3,
        ..1e17 => number / 1e6,
        _ => number / 1e9,
    };
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Copies JSON text that is valid: below U+0020 there is only space between tokens, and other
/// harmful characters are inside strings, where an escape means the same.
fn push_harmless(fields: &mut String, json: &str) {
    for character in json.chars() {
        match character {
            '\0'..=' ' => fields.push(' '),
            harmful if is_harmful(harmful) => json::push_escape(fields, harmful),
            other => fields.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrived() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)
    }

    fn told(line: &str) -> (String, Level, String) {
        let line = parse(line.as_bytes(), arrived());
        (line.message.into_owned(), line.level, line.fields)
    }

    fn text(message: &str, level: Level) -> (String, Level, String) {
        object(message, level, "")
    }

    fn object(message: &str, level: Level, fields: &str) -> (String, Level, String) {
        (message.to_owned(), level, fields.to_owned())
    }

    #[test]
    fn text_says_its_level_in_one_of_its_first_words() {
        for (line, level) in [
            ("hello error world", Level::Info),
            ("ERROR it broke", Level::Error),
            ("error: it broke", Level::Error),
            ("2026/01/02 03:04:05 [warn] 17#17: slow", Level::Warn),
            ("time=2026-01-02T03:04:05Z level=debug msg=x", Level::Debug),
            ("17:M 02 Jan 2026 03:04:05.678 # WARNING overcommit", Level::Info),
            ("LOG:  checkpoint starting", Level::Info),
            ("", Level::Info),
        ] {
            assert_eq!(told(line), text(line, level), "{line}");
        }
    }

    #[test]
    fn a_json_line_is_taken_apart() {
        assert_eq!(
            told(r#"{"level":"WARN","msg":"slow \u001b[2J","took":1.50,"by":{"a":[1, 2]}}"#),
            object("slow \\u{1b}[2J", Level::Warn, r#"{"took":1.50,"by":{"a":[1, 2]}}"#),
        );
        assert_eq!(
            told(r#"{"level":"INFO","fields":{"message":"up","port":80},"target":"a::b"}"#),
            object("up", Level::Info, r#"{"port":80,"target":"a::b"}"#),
        );
        assert_eq!(told(r#"{"level":50,"msg":"pino"}"#), text("pino", Level::Error));
        assert_eq!(
            told(r#"{"level":"?","a":1}"#),
            object("", Level::Info, r#"{"level":"?","a":1}"#)
        );
        assert_eq!(told("{}\r"), text("", Level::Info));
    }

    #[test]
    fn what_is_no_json_object_is_text() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        for line in ["{", r#"{"a":1} x"#, "[1]", "{a}", &deep] {
            assert_eq!(told(line), text(line, Level::Info));
        }
    }

    #[test]
    fn a_plausible_time_of_the_service_is_believed() {
        for time in [
            r#""2023-11-14T22:13:20Z""#,
            r#""2023-11-14 23:13:20+01:00""#,
            "1700000000",
            "1700000000000",
        ] {
            let line = format!(r#"{{"time":{time}}}"#);
            let told = parse(line.as_bytes(), arrived());
            assert_eq!(told.at, Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)), "{time}");
            assert_eq!(told.fields, "");
        }
        let line = r#"{"time":"1999-01-01T00:00:00Z"}"#;
        let told = parse(line.as_bytes(), arrived());
        assert_eq!((told.at, &*told.fields), (None, line));
    }

    fn check(line: &[u8]) -> Result<(), TestCaseError> {
        let told = parse(line, arrived());
        prop_assert!(!told.message.contains(is_harmful));
        prop_assert!(!told.fields.contains(is_harmful) && !told.fields.contains('\n'));
        if !told.fields.is_empty() {
            prop_assert!(serde_json::from_str::<Members<'_>>(&told.fields).is_ok());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line(line: Vec<u8>) {
            check(&line)?;
        }

        #[test]
        fn anything_that_looks_like_json_is_a_line(
            line in r#"\{("(level|time|msg|fields|a\PC{0,3})":(-?[0-9]{1,30}(\.[0-9]{1,3})?(e[0-9]{1,3})?|"\PC{0,9}"|"[\x00-\xa0]{0,5}"|\{"msg":"x"\}|\[\r?\]|null),?){0,4}\}"#,
        ) {
            check(line.as_bytes())?;
        }
    }
}
