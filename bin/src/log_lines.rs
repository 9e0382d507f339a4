//! How one record of a service's output is written, for people and for programs.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use blackhole_protocol::control::v1::{LogRecord, Stream};
use serde::Serialize;

use crate::{
    output::{self, Form, Output},
    text,
};

/// Colours of prefixes, given out in the order in which instances first write.
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

/// Writes records one after the other.
pub(crate) struct LogLines {
    form: Form,
    timestamps: bool,
    styles: HashMap<(String, u32), Style>,
    prefix_width: usize,
}

impl LogLines {
    pub(crate) fn new(form: Form, timestamps: bool) -> Self {
        Self { form, timestamps, styles: HashMap::new(), prefix_width: 0 }
    }

    pub(crate) fn write(&mut self, output: &mut Output, record: LogRecord) -> io::Result<()> {
        match self.form {
            Form::Json => output::write_json_line(output, &Line::from(record)),
            Form::Text => self.write_text(output, &record),
        }
    }

    fn write_text(&mut self, output: &mut Output, record: &LogRecord) -> io::Result<()> {
        let prefix = format!("{}-{}", record.service, record.instance);
        self.prefix_width = self.prefix_width.max(prefix.len());
        let style = self.style(record);
        if self.timestamps {
            write!(output, "{} ", text::local(record.at.as_ref()))?;
        }
        let width = self.prefix_width;
        write!(output, "{style}{prefix:<width$} |{style:#} {}", record.message)?;
        if !record.fields.is_empty() {
            let dim = Style::new().dimmed();
            write!(output, " {dim}{}{dim:#}", record.fields)?;
        }
        writeln!(output)?;
        output.flush()
    }

    fn style(&mut self, record: &LogRecord) -> Style {
        let color = COLORS[self.styles.len() % COLORS.len()];
        let instance = (record.service.clone(), record.instance);
        *self.styles.entry(instance).or_insert(Style::new().fg_color(Some(color.into())))
    }
}

#[derive(Debug, Serialize)]
struct Line {
    timestamp: Option<String>,
    node: String,
    service: String,
    instance: u32,
    generation: u64,
    pid: u32,
    stream: Option<&'static str>,
    level: String,
    message: String,
    fields: serde_json::Value,
}

impl From<LogRecord> for Line {
    fn from(record: LogRecord) -> Self {
        let stream = match record.stream() {
            Stream::Stdout => Some("stdout"),
            Stream::Stderr => Some("stderr"),
            Stream::Unspecified => None,
        };
        Self {
            timestamp: text::rfc3339(record.at.as_ref()),
            node: record.node,
            service: record.service,
            instance: record.instance,
            generation: record.generation,
            pid: record.pid,
            stream,
            level: record.level,
            message: record.message,
            fields: serde_json::from_str(&record.fields)
                .unwrap_or_else(|_| serde_json::Value::Object(serde_json::Map::new())),
        }
    }
}
