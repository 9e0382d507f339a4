//! Figures as tables, JSON lines, and the page that is kept.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    figure::{Figure, Goal, Unit},
    machine::Machine,
    subject::{BH, LIMIT},
};

/// No program knows why something falls short.
const SHORTFALLS: &str = include_str!("../shortfalls.md");

/// Medians of one run.
#[derive(Debug)]
pub struct Report {
    figures: Vec<Figure>,
}

/// One figure, for programs.
#[derive(Serialize)]
struct Line<'a> {
    bench: &'a str,
    case: &'a str,
    value: f64,
    unit: String,
    /// The same figure of the limit.
    limit: Option<f64>,
    ratio: Option<f64>,
    peer: &'a str,
}

impl Report {
    /// Of figures in the order of measuring.
    pub fn new(figures: Vec<Figure>) -> Self {
        Self { figures }
    }

    /// One line of JSON for each figure.
    ///
    /// # Errors
    /// Never in practice: when a figure is no number.
    pub fn json_lines(&self) -> serde_json::Result<String> {
        let mut lines = String::new();
        for figure in &self.figures {
            let line = Line {
                bench: figure.bench,
                case: &figure.case,
                value: figure.median(),
                unit: figure.unit.to_string(),
                limit: self.limit(figure),
                ratio: self.ratio(figure),
                peer: figure.subject,
            };
            lines.push_str(&serde_json::to_string(&line)?);
            lines.push('\n');
        }
        Ok(lines)
    }

    /// A Markdown table: a row for each case, a column for each subject.
    pub fn table(&self) -> String {
        let mut subjects: Vec<&str> = Vec::new();
        let mut cases: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !subjects.contains(&figure.subject) {
                subjects.push(figure.subject);
            }
            if !cases.contains(&figure.case.as_str()) {
                cases.push(&figure.case);
            }
        }
        let mut rows = vec![
            [&["case"], subjects.as_slice()]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        ];
        for case in cases {
            let mut row = vec![case.to_owned()];
            for subject in &subjects {
                row.push(self.find(case, subject).map_or(String::new(), |it| self.cell(it)));
            }
            rows.push(row);
        }
        aligned(&rows)
    }

    /// Each goal, and whether it is met.
    pub fn goals(&self) -> String {
        let held = self.figures.iter().filter(|it| it.subject == BH);
        let mut rows = vec![["goal", "of", "measured", ""].map(str::to_owned).to_vec()];
        for figure in held {
            let Some(goal) = figure.goal else { continue };
            let ratio = self.ratio(figure).unwrap_or(f64::NAN);
            let median = figure.median();
            let unit = figure.unit;
            let (wanted, measured, is_met) = match goal {
                Goal::TimesLimit(times) => {
                    (format!("≤ {times}× the limit"), format!("{ratio:.2}×"), ratio <= times)
                }
                Goal::LimitOver(times) => (
                    format!("≥ the limit / {times}"),
                    format!("limit / {:.2}", 1.0 / ratio),
                    ratio * times >= 1.0,
                ),
                Goal::AtMost(most) => {
                    let show = |value| format!("{} {unit}", number(value, unit));
                    (format!("≤ {}", show(most)), show(median), median <= most)
                }
            };
            let verdict = if is_met { "met" } else { "**not met**" };
            rows.push(vec![wanted, figure.case.clone(), measured, verdict.to_owned()]);
        }
        aligned(&rows)
    }

    /// The page that is kept.
    pub fn page(&self, machine: &Machine, versions: &[(&str, String)]) -> String {
        let mut page = String::from("# Results\n\nWritten by `benches/run`. ");
        page.push_str("Medians of one run (quartiles), and the ratio to the bare loop.\n\n");
        let _ = writeln!(page, "{machine}");
        for (name, version) in versions {
            let _ = writeln!(page, "- {name}: {version}");
        }
        let (table, goals) = (self.table(), self.goals());
        let _ = write!(page, "\n## Supervision\n\n{table}\n## Goals\n\n{goals}\n{SHORTFALLS}");
        page
    }

    fn cell(&self, figure: &Figure) -> String {
        let unit = figure.unit;
        let (low, high) = figure.quartiles();
        let mut cell = format!("{} {unit}", number(figure.median(), unit));
        if low.to_bits() != high.to_bits() {
            let _ = write!(cell, " ({}–{})", number(low, unit), number(high, unit));
        }
        if let Some(ratio) = self.ratio(figure).filter(|_| figure.subject != LIMIT) {
            let _ = write!(cell, " {ratio:.2}×");
        }
        cell
    }

    fn limit(&self, figure: &Figure) -> Option<f64> {
        let is_time = matches!(figure.unit, Unit::Milliseconds | Unit::PerSecond);
        let limit = self.find(&figure.case, LIMIT).filter(|_| is_time)?;
        Some(limit.median())
    }

    /// None where the limit does nothing at all.
    fn ratio(&self, figure: &Figure) -> Option<f64> {
        let limit = self.limit(figure).filter(|limit| *limit > 0.0)?;
        Some(figure.median() / limit)
    }

    fn find(&self, case: &str, subject: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.case == case && figure.subject == subject)
    }
}

/// Three digits that count.
fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::KiB | Unit::Processes => format!("{value:.0}"),
        Unit::Milliseconds | Unit::PerSecond if value >= 100.0 => format!("{value:.0}"),
        Unit::Milliseconds | Unit::PerSecond if value >= 10.0 => format!("{value:.1}"),
        Unit::Milliseconds | Unit::PerSecond => format!("{value:.2}"),
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut table = String::new();
    for (place, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |"));
        let _ = writeln!(table, "|{}", cells.collect::<String>());
        if place == 0 {
            let rules = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
            let _ = writeln!(table, "|{}", rules.collect::<String>());
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let figure = |subject, sample| {
            Figure::new("supervision", "start 200", subject, Unit::Milliseconds, vec![sample])
                .held_to(Some(Goal::TimesLimit(1.5)))
        };
        Report::new(vec![figure(LIMIT, 100.0), figure(BH, 160.0)])
    }

    #[test]
    fn a_figure_is_told_beside_its_limit() {
        let table = report().table();
        assert!(table.contains("| start 200 | 100 ms    | 160 ms 1.60× |"), "{table}");
    }

    #[test]
    fn what_is_over_its_goal_is_not_met() {
        let goals = report().goals();
        assert!(goals.contains("| 1.60×    | **not met** |"), "{goals}");
    }

    #[test]
    fn a_line_has_the_limit_and_the_ratio() {
        let lines = report().json_lines().expect("numbers");
        assert_eq!(
            lines.lines().nth(1),
            Some(
                r#"{"bench":"supervision","case":"start 200","value":160.0,"unit":"ms","limit":100.0,"ratio":1.6,"peer":"bh"}"#
            )
        );
    }
}
