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

/// Before all figures.
const HOW_TO_READ: &str = "\
Written by `benches/run`. In each cell: the median, in parentheses the quartiles (of fewer than five samples the least \
and the most), and the ratio to the limit, which is the same work with as little around it as possible. It is the first \
column, `bh` the second, and peers follow, always in the same order. Subjects are measured in turns: each once, then \
each again. `samples` is how often; for peers it is told apart where they are measured less often. A goal of a rate \
is told as what the limit is divided by: `limit / 2` is half the rate of the limit, `limit / 0.5` twice. An empty cell has \
nothing to measure, or the lines above its table say why it was not.
";

/// Below, two decimals tell nothing.
const RATIO_MIN: f64 = 0.005;

/// Medians of one run of one family.
#[derive(Debug)]
pub struct Report {
    family: &'static Family,
    findings: Findings,
}

/// One figure, for programs.
#[derive(Serialize)]
struct Line<'a> {
    bench: &'a str,
    case: &'a str,
    value: f64,
    unit: String,
    samples: usize,
    /// The same figure of the limit.
    limit: Option<f64>,
    ratio: Option<f64>,
    peer: &'a str,
}

/// One goal, for programs and for the page.
#[derive(Serialize)]
struct Judgement<'a> {
    bench: &'a str,
    goal: String,
    case: &'a str,
    measured: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Met,
    NotMet,
    /// What it is held against was not there.
    NotMeasured,
}

/// What a reader of figures must know, for programs.
#[derive(Serialize)]
struct Remark<'a> {
    bench: &'a str,
    remark: &'a str,
}

impl Verdict {
    fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::NotMet }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "**not met**",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Report {
    /// Of what came out of a family.
    pub fn new(family: &'static Family, findings: Findings) -> Self {
        Self { family, findings }
    }

    /// One line of JSON for each figure, each goal and each remark.
    ///
    /// # Errors
    /// Never in practice: when a figure is no number.
    pub fn json_lines(&self) -> serde_json::Result<String> {
        let mut lines = Vec::new();
        for figure in &self.findings.figures {
            lines.push(serde_json::to_string(&Line {
                bench: figure.bench,
                case: &figure.case,
                value: figure.median(),
                unit: figure.unit.to_string(),
                samples: figure.sample_count(),
                limit: self.limit(figure),
                ratio: self.ratio(figure),
                peer: figure.subject,
            })?);
        }
        for judgement in self.judgements() {
            lines.push(serde_json::to_string(&judgement)?);
        }
        for remark in &self.findings.remarks {
            lines.push(serde_json::to_string(&Remark { bench: self.family.name, remark })?);
        }
        Ok(lines.into_iter().map(|line| line + "\n").collect())
    }

    /// The family's name.
    pub fn name(&self) -> &str {
        self.family.name
    }

    /// Whether no goal is missed.
    pub fn is_met(&self) -> bool {
        self.judgements().all(|it| it.verdict != Verdict::NotMet)
    }

    /// A Markdown table: a row for each case, a column for each subject, and how often it was measured.
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
        let head = [&["case"], subjects.as_slice(), &["samples"]].concat();
        let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for case in cases {
            let mut row = vec![case.to_owned()];
            for subject in &subjects {
                row.push(self.find(case, subject).map_or(String::new(), |it| self.cell(it)));
            }
            row.push(self.sample_counts(case));
            rows.push(row);
        }
        aligned(&rows)
    }

    /// How often a case was measured; peers apart where that differs.
    fn sample_counts(&self, case: &str) -> String {
        let range = |is_peer: bool| {
            let figures = self.findings.figures.iter().filter(|it| it.case == case);
            let figures = figures.filter(|it| (it.role == Role::Peer) == is_peer);
            let counts: Vec<usize> = figures.map(Figure::sample_count).collect();
            let (least, most) = (counts.iter().min()?, counts.iter().max()?);
            Some(if least == most { least.to_string() } else { format!("{least}–{most}") })
        };
        match (range(false), range(true)) {
            (Some(own), Some(of_peers)) if own != of_peers => format!("{own}, peers {of_peers}"),
            (own, of_peers) => own.or(of_peers).unwrap_or_default(),
        }
    }

    /// Each goal, and whether it is met.
    pub fn goals(&self) -> String {
        let mut rows = vec![["goal", "of", "measured", ""].map(str::to_owned).to_vec()];
        rows.extend(self.judgements().map(|it| {
            vec![it.goal, it.case.to_owned(), it.measured, it.verdict.words().to_owned()]
        }));
        if rows.len() > 1 { aligned(&rows) } else { String::new() }
    }

    fn judgements(&self) -> impl Iterator<Item = Judgement<'_>> {
        let held = self.findings.figures.iter().filter(|it| it.role == Role::Ours);
        let each = held.flat_map(|figure| figure.goals.iter().map(move |goal| (figure, *goal)));
        each.map(|(figure, goal)| self.judged(figure, goal))
    }

    fn judged<'a>(&self, figure: &'a Figure, goal: Goal) -> Judgement<'a> {
        let (median, unit) = (figure.median(), figure.unit);
        let show = |value| with_unit(value, unit);
        let none = |what: &str| (format!("no {what}"), Verdict::NotMeasured);
        let (goal, (measured, verdict)) = match goal {
            Goal::TimesLimit(times) => {
                let judge = |ratio| (format!("{ratio:.2}×"), Verdict::of(ratio <= times));
                let judged = self.ratio(figure).map_or_else(|| none("limit"), judge);
                (format!("≤ {times}× the limit"), judged)
            }
            Goal::LimitOver(times) => {
                let judge = |ratio: f64| {
                    (format!("limit / {:.2}", 1.0 / ratio), Verdict::of(ratio * times >= 1.0))
                };
                let judged = self.ratio(figure).map_or_else(|| none("limit"), judge);
                (format!("≥ the limit / {times}"), judged)
            }
            Goal::AtLeast(least) => {
                (format!("≥ {}", show(least)), (show(median), Verdict::of(median >= least)))
            }
            Goal::AtMost(most) => {
                (format!("≤ {}", show(most)), (show(median), Verdict::of(median <= most)))
            }
            Goal::TimesPeers(times) => {
                let judge = |peer: &Figure| {
                    let ratio = median / peer.median();
                    (format!("{ratio:.1}× {}", peer.subject), Verdict::of(ratio >= times))
                };
                let judged = self.best_peer(figure).map_or_else(|| none("peer"), judge);
                (format!("≥ {times}× every peer"), judged)
            }
        };
        Judgement { bench: figure.bench, goal, case: &figure.case, measured, verdict }
    }

    /// The family's section of the page: what it is about, its cases, remarks, figures and goals.
    pub fn section(&self) -> String {
        let Family { name, about, cases, .. } = self.family;
        let mut section = format!("## {}\n\n{about}\n\n", capitalised(name));
        for (case, meaning) in *cases {
            let _ = writeln!(section, "- `{case}`: {meaning}");
        }
        section.push('\n');
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
            let (factor, _) = scale(figure.median(), unit);
            let _ =
                write!(cell, " ({}–{})", number(low * factor, unit), number(high * factor, unit));
        }
        let is_told = unit.has_ratios() && figure.role != Role::Limit;
        match self.ratio(figure).filter(|_| is_told) {
            Some(ratio) if ratio < RATIO_MIN => cell.push_str(" < 0.01×"),
            Some(ratio) => drop(write!(cell, " {ratio:.2}×")),
            None => {}
        }
        cell
    }

    /// What the limit measured.
    fn limit(&self, figure: &Figure) -> Option<f64> {
        let mut others = self.findings.figures.iter().filter(|it| it.case == figure.case);
        Some(others.find(|it| it.role == Role::Limit)?.median())
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
    let mut page = format!("# Results\n\n{HOW_TO_READ}\n");
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
    let (factor, name) = scale(value, unit);
    format!("{} {name}", number(value * factor, unit)).trim_end().to_owned()
}

/// In what a value is told, and how much larger its number is then: small times are told in microseconds.
fn scale(value: f64, unit: Unit) -> (f64, String) {
    match unit {
        Unit::Milliseconds if value > 0.0 && value < 1.0 => (1e3, "µs".to_owned()),
        _ => (1.0, unit.to_string()),
    }
}

/// Three digits that count, or all before the point.
fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Processes | Unit::Instructions => format!("{value:.0}"),
        Unit::Exponent => format!("{value:.2}"),
        _ if value == 0.0 => "0".to_owned(),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
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
        assert!(table.contains("| start 200 | 100 ms    | 160 ms 1.60× | 1       |"), "{table}");
    }

    #[test]
    fn who_was_measured_less_often_is_told_apart() {
        let figure = |subject, samples| {
            Figure::new("supervision", "start 200", subject, Unit::Milliseconds, samples)
        };
        let figures = vec![figure(BH, vec![1.0; 9]), figure("peer", vec![1.0; 2])];
        let report = Report::new(&family::ALL[0], Findings { figures, ..Findings::default() });
        assert!(report.table().contains("| 9, peers 2 |"), "{}", report.table());
    }

    #[test]
    fn small_times_are_told_in_microseconds() {
        assert_eq!(with_unit(0.009_14, Unit::Milliseconds), "9.14 µs");
        assert_eq!(with_unit(0.7612, Unit::Milliseconds), "761 µs");
        assert_eq!(with_unit(1.0, Unit::Milliseconds), "1.00 ms");
        assert_eq!(with_unit(0.0, Unit::Milliseconds), "0 ms");
        assert_eq!(with_unit(13.2, Unit::KiB), "13.2 KiB");
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
    fn what_is_held_against_peers_that_are_not_there_is_not_measured() {
        let figure = Figure::new("link", "calls 64", BH, Unit::PerSecond, vec![39.0]);
        let figures = vec![figure.held_to([Goal::TimesPeers(4.0), Goal::TimesLimit(1.5)])];
        let report = Report::new(&family::ALL[0], Findings { figures, ..Findings::default() });
        let goals = report.goals();
        assert!(goals.contains("| no peer  | not measured |"), "{goals}");
        assert!(goals.contains("| no limit | not measured |"), "{goals}");
    }

    #[test]
    fn a_line_has_the_limit_and_the_ratio_or_a_goal() {
        let lines = report().json_lines().expect("numbers");
        let lines: Vec<&str> = lines.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                r#"{"bench":"supervision","case":"start 200","value":160.0,"unit":"ms","samples":1,"limit":100.0,"ratio":1.6,"peer":"bh"}"#,
                r#"{"bench":"supervision","goal":"≤ 1.5× the limit","case":"start 200","measured":"1.60×","verdict":"not_met"}"#,
            ]
        );
    }
}
