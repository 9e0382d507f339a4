//! How a record of a service's output is written, for people and for programs.

use blackhole_node::logs::{
    Entry,
    render::{Colour, Renderer, Timestamps},
    to_json,
};

use crate::output::{self, Form};

/// Turns records into lines, one after the other.
pub(crate) struct LogLines {
    form: Form,
    renderer: Renderer,
}

impl LogLines {
    /// For the standard output, coloured when that is wanted there.
    pub(crate) fn new(form: Form, timestamps: Timestamps) -> Self {
        let colour = if output::is_coloured() { Colour::Always } else { Colour::Never };
        Self { form, renderer: Renderer::new(colour, timestamps) }
    }

    /// Appends a line with its line feed.
    pub(crate) fn append(&mut self, entry: &Entry, lines: &mut String) {
        match (self.form, entry) {
            (Form::Text, entry) => self.renderer.render(entry, lines),
            (Form::Json, Entry::Record(record)) => {
                lines.push_str(&to_json(record));
                lines.push('\n');
            }
            (Form::Json, Entry::Skipped(count)) => {
                lines.push_str(&format!("{{\"records_skipped\":{count}}}\n"));
            }
        }
    }
}
