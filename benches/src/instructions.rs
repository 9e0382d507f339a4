//! The family *instructions*: what the hot paths execute, counted and not timed.
//!
//! valgrind counts the instructions of `hot-path NAME COUNT`, once with few and once with many repetitions;
//! the difference is what one repetition costs. It is the same on a busy machine and on an idle one, so
//! that a small change of the code is seen. `benches/instructions.tsv` keeps what was accepted; `benches/run
//! instructions --guard` fails when a path has become dearer than that by more than [`TOLERANCE`].

use std::{path::Path, process::Command};

use anyhow::Context;

use crate::{
    BH,
    family::{Findings, Setting},
    figure::{Figure, Goal, Unit},
};

const BENCH: &str = "instructions";
pub(crate) const CASES: [(&str, &str); 6] = [
    ("policy", "one of 200 children crashes and is started again"),
    ("frame-encode", "a heartbeat becomes bytes"),
    ("frame-decode", "and a message again"),
    ("log-line", "a line that a service prints is captured, understood and stored"),
    ("config-load", "a file of 200 services is read, checked and understood"),
    ("launch", "what a start needs is put together"),
];
/// What compilers and hosts may differ by.
const TOLERANCE: f64 = 1.15;

/// What was accepted: a path, a tab, instructions.
const ACCEPTED: &str = include_str!("../instructions.tsv");

/// Few and many repetitions of each path.
pub(crate) const PATHS: [(&str, u32, u32); 6] = [
    ("policy", 50, 1050),
    ("frame-encode", 50, 1050),
    ("frame-decode", 50, 1050),
    ("log-line", 500, 10_500),
    ("config-load", 1, 4),
    ("launch", 10, 110),
];

pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        (setting.tell)(
            "SKIPPED: valgrind is not installed, nothing is counted and nothing is guarded",
        );
        let remarks = vec!["SKIPPED: valgrind is not installed, nothing was counted".to_owned()];
        return Ok(Findings { remarks, ..Findings::default() });
    }
    let program = setting.program("hot-path")?;
    let mut figures = Vec::new();
    for (path, few, many) in PATHS {
        (setting.tell)(path);
        let cost = count(&program, path, many)? - count(&program, path, few)?;
        let each = vec![cost / f64::from(many - few)];
        let accepted = accepted(path).with_context(|| format!("`{path}` has no accepted count"))?;
        let goal = Goal::AtMost((accepted * TOLERANCE).round());
        figures.push(Figure::new(BENCH, path, BH, Unit::Instructions, each).held_to(Some(goal)));
    }
    Ok(Findings { figures, ..Findings::default() })
}

fn accepted(path: &str) -> Option<f64> {
    let mut lines = ACCEPTED.lines().filter_map(|line| line.split_once('\t'));
    let (_, count) = lines.find(|(name, _)| *name == path)?;
    count.trim().parse().ok()
}

/// The instructions of a whole run.
fn count(program: &Path, path: &str, repetitions: u32) -> anyhow::Result<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = command.arg(program).args([path, &repetitions.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`hot-path {path}` failed:\n{said}");
    let count = said.lines().find_map(|line| line.split_once("Collected :"));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.with_context(|| format!("valgrind did not say what it counted:\n{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_an_accepted_count() {
        for (path, few, many) in PATHS {
            assert!(accepted(path).is_some(), "{path}");
            assert!(few < many);
        }
    }
}
