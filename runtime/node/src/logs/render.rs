//! Records as lines for people: `web-1 | message key=value`.
//!
//! Used by `bh run` in the foreground and by `bh logs`. Whether colours are wanted (a terminal,
//! `NO_COLOR`) is decided by the caller. What is shown is made harmless again, because files and
//! peers are outside, too.

use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

use super::{
    escape::visible_text,
    json::Members,
    record::{Entry, Level, Record, timestamp},
};

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Always,
    /// For a file, a pipe, or when `NO_COLOR` is set.
    Never,
}

/// Whether lines begin with their time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// `2026-01-02T03:04:05.678901Z web-1 | …`
    Shown,
    /// `web-1 | …`
    Hidden,
}

/// Turns entries into lines.
#[derive(Debug, Clone)]
pub struct Renderer {
    colour: Colour,
    timestamps: Timestamps,
    prefix_width: usize,
}

/// Wider prefixes are not padded.
const PREFIX_WIDTH_MAX: usize = 32;

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";

impl Renderer {
    /// A renderer that pads prefixes to the widest one seen so far.
    pub fn new(colour: Colour, timestamps: Timestamps) -> Self {
        Self { colour, timestamps, prefix_width: 0 }
    }

    /// Appends one line with its line feed.
    pub fn render(&mut self, entry: &Entry, lines: &mut String) {
        match entry {
            Entry::Record(record) => self.render_record(record, lines),
            Entry::Skipped(count) => {
                let text = format!("… {count} records skipped: the reader is too slow");
                self.paint(lines, level_colour(Level::Warn), &text);
            }
        }
        lines.push('\n');
    }

    fn render_record(&mut self, record: &Record, lines: &mut String) {
        if self.timestamps == Timestamps::Shown {
            self.paint(lines, DIM, &timestamp(record.at));
            lines.push(' ');
        }
        let prefix = record.origin.instance.to_string();
        self.prefix_width = self.prefix_width.max(prefix.len().min(PREFIX_WIDTH_MAX));
        let width = self.prefix_width;
        let colour = service_colour(record.origin.instance.service.as_str());
        self.paint(lines, colour, &format!("{prefix:width$} |"));
        if record.level != Level::Info {
            lines.push(' ');
            self.paint(lines, level_colour(record.level), level_tag(record.level));
        }
        if !record.message.is_empty() {
            lines.push(' ');
            lines.push_str(&visible_text(&record.message));
        }
        if !record.fields.is_empty() {
            self.render_fields(&record.fields, lines);
        }
    }

    fn render_fields(&self, fields: &str, lines: &mut String) {
        let Ok(Members(members)) = serde_json::from_str(fields) else {
            lines.push(' ');
            lines.push_str(&visible_text(fields));
            return;
        };
        for (key, value) in members {
            lines.push(' ');
            self.paint(lines, DIM, &format!("{}=", visible_text(&key)));
            lines.push_str(&value_text(value.get()));
        }
    }

    fn paint(&self, lines: &mut String, colour: &str, text: &str) {
        match self.colour {
            Colour::Always => write!(lines, "{colour}{text}{RESET}")
                .expect("a string takes all that is written to it"),
            Colour::Never => lines.push_str(text),
        }
    }
}

/// A string is shown without quotes where it can be told from its neighbours without them.
fn value_text(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(Value::String(text)) if is_bare(&text) => visible_text(&text).into_owned(),
        _ => visible_text(json).into_owned(),
    }
}

fn is_bare(text: &str) -> bool {
    let separates = |c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\');
    !text.is_empty() && !text.contains(separates)
}

/// Stable: a service has the same colour in every run. Red and yellow are left to levels.
fn service_colour(service: &str) -> &'static str {
    const COLOURS: [&str; 8] = [
        "\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[92m", "\x1b[95m",
        "\x1b[94m",
    ];
    let mut hasher = DefaultHasher::new();
    service.hash(&mut hasher);
    let remainder = hasher.finish() % COLOURS.len() as u64;
    COLOURS[usize::try_from(remainder).expect("less than eight")]
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[1;31m",
        Level::Warn => "\x1b[33m",
        Level::Info | Level::Debug | Level::Trace => DIM,
    }
}

fn level_tag(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroU32,
        sync::Arc,
        time::{Duration, UNIX_EPOCH},
    };

    use blackhole_protocol::InstanceId;

    use super::*;
    use crate::logs::{Origin, Stream};

    fn entry(service: &str, level: Level, message: &str, fields: &str) -> Entry {
        let service = service.parse().expect("a name");
        let instance = InstanceId { service, index: NonZeroU32::MIN };
        Entry::Record(Arc::new(Record {
            at: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042),
            node: "dev".into(),
            origin: Arc::new(Origin { instance, generation: 3, pid: 42 }),
            stream: Stream::Stdout,
            level,
            message: message.to_owned(),
            fields: fields.to_owned(),
        }))
    }

    fn rendered(mut renderer: Renderer) -> String {
        let mut lines = String::new();
        let fields =
            r#"{"port":80,"path":"/a","why":"two words","evil":"\u001b[2J","n":{"a":[1]}}"#;
        for entry in [
            entry("storage", Level::Info, "up", fields),
            entry("web", Level::Error, "broke \u{1b}[2J", ""),
            entry("web", Level::Debug, "", "{torn"),
            Entry::Skipped(3),
        ] {
            renderer.render(&entry, &mut lines);
        }
        lines
    }

    #[test]
    fn lines_are_aligned_and_harmless() {
        insta::assert_snapshot!(rendered(Renderer::new(Colour::Never, Timestamps::Hidden)), @r#"
        storage-1 | up port=80 path=/a why="two words" evil=\u{1b}[2J n={"a":[1]}
        web-1     | ERROR broke \u{1b}[2J
        web-1     | DEBUG {torn
        … 3 records skipped: the reader is too slow
        "#);
        insta::assert_snapshot!(rendered(Renderer::new(Colour::Never, Timestamps::Shown)), @r#"
        2023-11-14T22:13:20.000042Z storage-1 | up port=80 path=/a why="two words" evil=\u{1b}[2J n={"a":[1]}
        2023-11-14T22:13:20.000042Z web-1     | ERROR broke \u{1b}[2J
        2023-11-14T22:13:20.000042Z web-1     | DEBUG {torn
        … 3 records skipped: the reader is too slow
        "#);
    }

    #[test]
    fn colours_are_stable_per_service() {
        let lines = rendered(Renderer::new(Colour::Always, Timestamps::Hidden));
        insta::assert_snapshot!(lines.replace('\x1b', "ESC"), @r#"
        ESC[96mstorage-1 |ESC[0m up ESC[2mport=ESC[0m80 ESC[2mpath=ESC[0m/a ESC[2mwhy=ESC[0m"two words" ESC[2mevil=ESC[0m\u{1b}[2J ESC[2mn=ESC[0m{"a":[1]}
        ESC[92mweb-1     |ESC[0m ESC[1;31mERRORESC[0m broke \u{1b}[2J
        ESC[92mweb-1     |ESC[0m ESC[2mDEBUGESC[0m {torn
        ESC[33m… 3 records skipped: the reader is too slowESC[0m
        "#);
    }
}
