//! Problems as the user reads them: the place, the line, the part of it that is meant, a hint.

use std::fmt::{self, Write as _};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

use crate::{
    load::{Loaded, Rejected},
    problem::{Excerpt, Problem, Severity},
    source::SourceText,
};

/// Whether escape sequences are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// For a terminal.
    Always,
    /// For files, pipes and tests.
    Never,
}

/// Longer lines are cut around the place, in columns.
const WIDTH_MAX: usize = 120;

impl Rejected {
    /// Every problem, and a last line with their number.
    pub fn render(&self, color: Color) -> String {
        let mut report = render(&self.problems, &self.source, color);
        let errors = self.errors();
        let warnings = self.problems.len() - errors;
        let plural = |count| if count == 1 { "" } else { "s" };
        let name = &self.source.name;
        let _ = write!(report, "{name}: {errors} error{}", plural(errors));
        if warnings > 0 {
            let _ = write!(report, ", {warnings} warning{}", plural(warnings));
        }
        report.push('\n');
        report
    }

    /// Every problem as JSON, for `bh check --json`.
    pub fn to_json(&self) -> serde_json::Value {
        to_json(false, &self.problems, &self.source)
    }
}

impl Loaded {
    /// The warnings; empty when there are none.
    pub fn render_warnings(&self, color: Color) -> String {
        render(&self.warnings, &self.source, color)
    }

    /// The warnings as JSON, in the same shape as a rejected file's.
    pub fn to_json(&self) -> serde_json::Value {
        to_json(true, &self.warnings, &self.source)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.render(Color::Never).trim_end())
    }
}

impl std::error::Error for Rejected {}

fn to_json(ok: bool, problems: &[Problem], source: &SourceText) -> serde_json::Value {
    serde_json::json!({ "file": source.name, "ok": ok, "problems": problems })
}

fn render(problems: &[Problem], source: &SourceText, color: Color) -> String {
    let renderer = match color {
        Color::Always => Renderer::styled(),
        Color::Never => Renderer::plain(),
    };
    let renderer = renderer.term_width(WIDTH_MAX).decor_style(DecorStyle::Ascii);
    let blocks = problems.iter().map(|problem| renderer.render(&[group(problem, source)]));
    blocks.fold(String::new(), |report, block| report + &block + "\n\n")
}

fn group<'a>(problem: &'a Problem, source: &'a SourceText) -> annotate_snippets::Group<'a> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let found = problem.found.as_ref().map(|found| format!("found {found}"));
    let group = level.primary_title(problem.message.as_str());
    let group = match &problem.excerpt {
        Some(Excerpt::File(span)) => {
            // Only the line is handed over: the renderer looks at all that it is given, each time.
            let line = source.line_around(span.start);
            // A value over many lines is meant by its first one.
            let within = |byte: usize| byte.clamp(line.start, line.end) - line.start;
            let annotation = AnnotationKind::Primary.span(within(span.start)..within(span.end));
            let annotation = match found {
                Some(found) => annotation.label(found),
                None => annotation,
            };
            let snippet = Snippet::source(&source.text[line])
                .path(problem.file.as_str())
                .line_start(problem.line);
            group.element(snippet.annotation(annotation))
        }
        Some(Excerpt::Code | Excerpt::Concealed) => {
            let origin = Origin::path(problem.file.as_str());
            let origin = origin.line(problem.line).char_column(problem.column);
            group.element(origin).elements(found.map(|found| Level::NOTE.message(found)))
        }
        Some(Excerpt::Override(given)) => group
            .element(Origin::path(given.as_str()))
            .elements(found.map(|f| Level::NOTE.message(f))),
        None => {
            let origin = Origin::path(problem.file.as_str());
            group.element(origin).elements(found.map(|found| Level::NOTE.message(found)))
        }
    };
    match &problem.hint {
        Some(hint) => group.element(Level::HELP.with_name(Some("hint")).message(hint.as_str())),
        None => group,
    }
}
