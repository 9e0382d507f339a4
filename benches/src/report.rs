//! Figures as tables, JSON lines, and the page that is kept.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    family::{Family, Findings},
    figure::{Figure, Goal, Role, Unit},
    machine::Machine,
};

/// No program knows why something falls short.
const SHORTFALLS: &str = include_str!("../shortfalls.md");

/// Medians of one run of one family.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    about: &'static str,
    findings: Findings,
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
    /// Of what came out of a family.
    pub fn new(family: &Family, findings: Findings) -> Self {
        Self { name: family.name, about: family.about, findings }
    }

    /// One line of JSON for each figure.
    ///
    /// # Errors
    /// Never in practice: when a figure is no number.
    pub fn json_lines(&self) -> serde_json::Result<String> {
        let mut lines = String::new();
        for figure in &self.findings.figures {
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

    /// The family's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Whether every goal is met.
    pub fn is_met(&self) -> bool {
        !self.goals().contains("**not met**")
    }

    /// A Markdown table: a row for each case, a column for each subject.
    pub fn table(&self) -> String {
        let mut cases: Vec<&str> = Vec::new();
        let limits = self.findings.figures.iter().filter(|it| it.role == Role::Limit);
        let mut subjects: Vec<&str> = limits.map(|it| it.subject).collect();
        subjects.dedup();
        for figure in &self.findings.figures {
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
        let held = self.findings.figures.iter().filter(|it| it.role == Role::Ours);
        let each = held.flat_map(|figure| figure.goals.iter().map(move |goal| (figure, *goal)));
        let mut rows = vec![["goal", "of", "measured", ""].map(str::to_owned).to_vec()];
        rows.extend(each.map(|(figure, goal)| self.judged(figure, goal)));
        if rows.len() > 1 { aligned(&rows) } else { String::new() }
    }

    fn judged(&self, figure: &Figure, goal: Goal) -> Vec<String> {
        let (median, unit) = (figure.median(), figure.unit);
        let ratio = self.ratio(figure).unwrap_or(f64::NAN);
        let show = |value| with_unit(value, unit);
        let (wanted, measured, is_met) = match goal {
            Goal::TimesLimit(times) => {
                (format!("≤ {times}× the limit"), format!("{ratio:.2}×"), ratio <= times)
            }
            Goal::LimitOver(times) => (
                format!("≥ the limit / {times}"),
                format!("limit / {:.2}", 1.0 / ratio),
                ratio * times >= 1.0,
            ),
            Goal::AtLeast(least) => (format!("≥ {}", show(least)), show(median), median >= least),
            Goal::AtMost(most) => (format!("≤ {}", show(most)), show(median), median <= most),
            Goal::TimesPeers(times) => match self.best_peer(figure) {
                None => (format!("≥ {times}× every peer"), "no peer".to_owned(), true),
                Some(peer) => {
                    let ratio = median / peer.median();
                    let measured = format!("{ratio:.1}× {}", peer.subject);
                    (format!("≥ {times}× every peer"), measured, ratio >= times)
                }
            },
        };
        let verdict = if is_met { "met" } else { "**not met**" };
        vec![wanted, figure.case.clone(), measured, verdict.to_owned()]
    }

    /// The family's section of the page: what it is about, remarks, figures and goals.
    pub fn section(&self) -> String {
        let mut section = format!("## {}\n\n{}\n\n", capitalised(self.name), self.about);
        for remark in &self.findings.remarks {
            let _ = writeln!(section, "- {remark}");
        }
        if !self.findings.remarks.is_empty() {
            section.push('\n');
        }
        section.push_str(&self.table());
        let goals = self.goals();
        if !goals.is_empty() {
            let _ = write!(section, "\n{goals}");
        }
        section
    }

    fn cell(&self, figure: &Figure) -> String {
        let unit = figure.unit;
        let (low, high) = figure.quartiles();
        let mut cell = with_unit(figure.median(), unit);
        if low.to_bits() != high.to_bits() {
            let _ = write!(cell, " ({}–{})", number(low, unit), number(high, unit));
        }
        if let Some(ratio) = self.ratio(figure).filter(|_| figure.role != Role::Limit) {
            let _ = write!(cell, " {ratio:.2}×");
        }
        cell
    }

    /// What the limit measured, where a ratio to it means something.
    fn limit(&self, figure: &Figure) -> Option<f64> {
        let mut others = self.findings.figures.iter().filter(|it| it.case == figure.case);
        let limit = others.find(|it| it.role == Role::Limit).filter(|it| it.unit.has_ratios())?;
        Some(limit.median())
    }

    /// None where the limit does nothing at all.
    fn ratio(&self, figure: &Figure) -> Option<f64> {
        let limit = self.limit(figure).filter(|limit| *limit > 0.0)?;
        Some(figure.median() / limit)
    }

    /// The peer that has the most in a case.
    fn best_peer(&self, figure: &Figure) -> Option<&Figure> {
        let others = self.findings.figures.iter().filter(|it| it.case == figure.case);
        let peers = others.filter(|it| it.role == Role::Peer);
        peers.max_by(|one, other| one.median().total_cmp(&other.median()))
    }

    fn find(&self, case: &str, subject: &str) -> Option<&Figure> {
        self.findings.figures.iter().find(|figure| figure.case == case && figure.subject == subject)
    }
}

/// The page that is kept: where and how long it was measured, each family, and why some figures fall short.
pub fn page(machine: &Machine, minutes: &str, reports: &[Report]) -> String {
    let mut page = String::from(
        "# Results\n\nWritten by `benches/run`. Medians of one run (quartiles), and the ratio to the \
         limit, which stands first.\n\n",
    );
    let _ = writeln!(page, "{machine}\n- minutes that the run took: {minutes}");
    let mut versions: Vec<&(&str, String)> = Vec::new();
    for version in reports.iter().flat_map(|report| &report.findings.versions) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    for (name, version) in versions {
        let _ = writeln!(page, "- {name}: {version}");
    }
    for report in reports {
        let _ = write!(page, "\n{}", report.section());
    }
    let _ = write!(page, "\n{SHORTFALLS}");
    page
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}

fn with_unit(value: f64, unit: Unit) -> String {
    format!("{} {unit}", number(value, unit)).trim_end().to_owned()
}

/// Three digits that count.
fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::KiB | Unit::Processes | Unit::Instructions => format!("{value:.0}"),
        Unit::Exponent => format!("{value:.2}"),
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
    use crate::{BH, family};

    fn report() -> Report {
        let figure = |subject, sample| {
            Figure::new("supervision", "start 200", subject, Unit::Milliseconds, vec![sample])
                .held_to(Some(Goal::TimesLimit(1.5)))
        };
        let figures = vec![figure("bare loop", 100.0).as_limit(), figure(BH, 160.0)];
        Report::new(&family::ALL[0], Findings { figures, ..Findings::default() })
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
    fn what_is_held_against_peers_is_held_against_the_best() {
        let figure = |subject, sample| {
            let figure = Figure::new("link", "calls 64", subject, Unit::PerSecond, vec![sample]);
            figure.held_to([Goal::TimesPeers(4.0), Goal::AtLeast(30.0)])
        };
        let figures = vec![figure(BH, 39.0), figure("slow", 1.0), figure("fast", 10.0)];
        let report = Report::new(&family::ALL[0], Findings { figures, ..Findings::default() });
        let goals = report.goals();
        assert!(goals.contains("| 3.9× fast | **not met** |"), "{goals}");
        assert!(goals.contains("| 39.0 /s   | met         |"), "{goals}");
        assert!(!report.is_met());
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
