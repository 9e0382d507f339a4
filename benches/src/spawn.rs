//! The family *spawn*: what limits add to a start, from the call until the program is executed.
//!
//! What is counted in each case is said in [`CASES`].
//!
//! The limit is the same spawn without any. `bare vfork` enters the same groups and does nothing else: what it
//! takes is the kernel's. The measuring is done by a program of its own, which enters groups itself.

use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::{
    BH,
    family::{Extent, Findings, Setting},
    figure::{Figure, Goal, Unit},
};

const BENCH: &str = "spawn";
pub(crate) const CASES: [(&str, &str); 7] = [
    ("without limits", "a column: the same start without any, which is the limit of this table"),
    (
        "bare vfork",
        "a column: a vfork that enters the same control groups and does nothing else; what it takes is the kernel's",
    ),
    ("limits of a process", "umask, three rlimits, the oom score"),
    ("sandbox standard", "no new privileges, no capabilities, a filter of system calls"),
    ("sandbox strict, no view", "the same and rules for paths, without name spaces"),
    ("control group", "processor, memory and tasks, in the control groups that this host has"),
    ("every limit", "all of these"),
];
const LIMIT: &str = "without limits";
const BARE: &str = "bare vfork";
const ROUNDS: usize = 1000;
const ROUNDS_BRIEF: usize = 300;
/// What is held to the goal: a view of the file system and network is not a limit.
const HELD: &str = "every limit";

/// What the program prints of one kind, in milliseconds.
#[derive(Deserialize)]
struct Kind {
    kind: String,
    without: Vec<f64>,
    with: Vec<f64>,
    bare: Vec<f64>,
    lacking: Vec<String>,
}

pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let rounds = match setting.extent {
        Extent::Whole => ROUNDS,
        Extent::Brief => ROUNDS_BRIEF,
    };
    (setting.tell)(&format!("every kind of limit, {rounds} times"));
    let mut command = Command::new(setting.program("spawn-limited")?);
    let output = command.arg(rounds.to_string()).env("RUST_BACKTRACE", "0").output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`spawn-limited` failed: {complaint}");
    let said = String::from_utf8(output.stdout)?;
    let kinds: Result<Vec<Kind>, _> = said.lines().map(serde_json::from_str).collect();
    let kinds = kinds.context("`spawn-limited` printed something else")?;
    let remarks = kinds.iter().filter(|kind| !kind.lacking.is_empty());
    let remarks = remarks.map(|kind| {
        format!("`{}` is without {}, which this host lacks", kind.kind, kind.lacking.join(", "))
    });
    Ok(Findings {
        remarks: remarks.collect(),
        figures: kinds.into_iter().flat_map(figures).collect(),
        ..Findings::default()
    })
}

fn figures(kind: Kind) -> Vec<Figure> {
    let goal = (kind.kind == HELD).then_some(Goal::TimesLimit(2.0));
    let of = |subject, samples| {
        Figure::new(BENCH, kind.kind.clone(), subject, Unit::Milliseconds, samples)
    };
    let mut figures = vec![of(LIMIT, kind.without).as_limit(), of(BH, kind.with).held_to(goal)];
    if !kind.bare.is_empty() {
        figures.push(of(BARE, kind.bare).as_reference());
    }
    figures
}
