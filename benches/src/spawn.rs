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
pub(crate) const CASES: [(&str, &str); 10] = [
    ("without limits", "a column: the same start without any, which is the limit of this table"),
    (
        "bare vfork",
        "a column: a vfork that enters the same control groups and does nothing else; what it takes is the kernel's",
    ),
    ("limits of a process", "umask, three rlimits, nice, I/O priority, affinity and the oom score"),
    ("another user", "a start as `nobody`: no limit, but asked for as often"),
    ("sandbox standard", "no new privileges, no capabilities, a filter of system calls"),
    ("sandbox strict, no view", "the same and rules for paths, without name spaces"),
    (
        "control group",
        "quota and weight of processors, which processors, memory and tasks, in the control groups that this host has",
    ),
    (
        "every limit",
        "all of these but another user; not among them are another scheduler, since all of this may run in a class of real time, and \
         rates of disks and networks, which depend on the host",
    ),
    (
        "every limit, and a view",
        "and another user, and name spaces for a network and a file system of its own: the kernel makes and mounts them for each start. \
         They are no limit but another world, which is asked for apart, and so they are held to no ratio",
    ),
    (
        "every limit, slowest",
        "the slowest of all these starts: none may wait for a write to a control group",
    ),
];
const LIMIT: &str = "without limits";
const BARE: &str = "bare vfork";
const ROUNDS: usize = 1000;
const ROUNDS_BRIEF: usize = 300;
/// Milliseconds. No start waits for a write to a control group, which may take as long as this.
const SLOWEST_MAX: f64 = 100.0;
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
    let slowest = slowest(&kind);
    let mut figures = vec![of(LIMIT, kind.without).as_limit(), of(BH, kind.with).held_to(goal)];
    if !kind.bare.is_empty() {
        figures.push(of(BARE, kind.bare).as_reference());
    }
    figures.extend(slowest);
    figures
}

/// Of all starts with every limit, the slowest: none may wait for a group.
fn slowest(kind: &Kind) -> Vec<Figure> {
    if !kind.kind.starts_with(HELD) {
        return Vec::new();
    }
    let of = |subject, samples: &[f64]| {
        let most = samples.iter().copied().max_by(f64::total_cmp)?;
        let case = format!("{}, slowest", kind.kind);
        Some(Figure::new(BENCH, case, subject, Unit::Milliseconds, vec![most]))
    };
    let goal = Goal::AtMost(SLOWEST_MAX);
    let limit = of(LIMIT, &kind.without).map(Figure::as_limit);
    let ours = of(BH, &kind.with).map(|it| it.held_to([goal]));
    let bare = of(BARE, &kind.bare).map(Figure::as_reference);
    [limit, ours, bare].into_iter().flatten().collect()
}
