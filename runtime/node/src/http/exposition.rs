//! Prometheus' text exposition format 0.0.4.
//!
//! Written by hand because the kept library for this writes OpenMetrics, whose counters `promtool
//! check metrics` refuses, and because our values live in the registry and not in its objects.
//! Source: Prometheus documentation, "Exposition formats".

use std::fmt::{Display, Write};

use crate::registry::Histogram;

/// The `Content-Type` of a page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The type of a metric family.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
}

/// A page under construction: families in order, each with its samples.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// Labels in order, names first.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, help: &str, kind: Type) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Adds a sample to the family that was begun last.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.line(format_args!("{name}{} {value}", Rendered(labels, None)));
    }

    /// Adds a histogram to the family that was begun last; `name` is the family's.
    pub(super) fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            let bound = bound.to_string();
            self.line(format_args!("{name}_bucket{} {count}", Rendered(labels, Some(&bound))));
        }
        let count = histogram.count();
        self.line(format_args!("{name}_bucket{} {count}", Rendered(labels, Some("+Inf"))));
        self.sample(&format!("{name}_sum"), labels, histogram.sum().as_secs_f64());
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// The finished page.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing to a string cannot fail");
    }
}

/// Labels as the format wants them, with the `le` of a bucket where there is one.
struct Rendered<'a>(Labels<'a>, Option<&'a str>);

impl Display for Rendered<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bucket = self.1.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in self.0.iter().copied().chain(bucket) {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            write!(formatter, "{separator}{name}=\"{value}\"")?;
            separator = ',';
        }
        if separator == ',' { formatter.write_str("}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn labels_are_escaped_and_absent_ones_leave_no_braces() {
        let mut page = Page::default();
        page.family("up", "Is it up.", Type::Gauge);
        page.sample("up", &[], 1);
        page.sample("up", &[("path", "a\\b\"c\nd"), ("x", "y")], 0.5);
        assert_eq!(
            page.into_text(),
            "# HELP up Is it up.\n# TYPE up gauge\nup 1\nup{path=\"a\\\\b\\\"c\\nd\",x=\"y\"} 0.5\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_everything_sum_and_count() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_millis(300));
        let mut page = Page::default();
        page.histogram("took", &[("service", "a")], &histogram);
        let text = page.into_text();
        assert!(text.contains("took_bucket{service=\"a\",le=\"0.1\"} 0\n"), "{text}");
        assert!(text.contains("took_bucket{service=\"a\",le=\"0.5\"} 1\n"), "{text}");
        assert!(text.ends_with(
            "le=\"+Inf\"} 1\ntook_sum{service=\"a\"} 0.3\ntook_count{service=\"a\"} 1\n"
        ));
    }
}
