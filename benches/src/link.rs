//! The family *link*: what a message between two processes costs.
//!
//! | case | what is counted |
//! | --- | --- |
//! | `call` | the median of calls one after the other, 64 bytes each way |
//! | `calls 64` | calls in a second, 64 at a time |
//! | `casts` | messages without an answer in a second, until the last has been done |
//! | `put 64 KiB` | messages of 64 KiB in a second, 16 at a time, each acknowledged |
//! | `kill` | from SIGKILL of the other process until 64 calls in flight have been resolved |
//! | `growth` | what 100,000 casts a second to a stopped process add to the sender |
//! | `10,000 actors` | what they add, in one process, to another that speaks to it |
//!
//! Each number is measured by a program of its own, which starts the other process: `benches/link`.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

use crate::{
    family::{Extent, Findings, Setting},
    figure::{BH, Figure, Goal, Unit},
};

const BENCH: &str = "link";
const ROUNDS: usize = 9;
const ROUNDS_BRIEF: usize = 3;

/// Who is measured: its name, its program, where its version is written.
const CONTENDERS: [(&str, &str); 4] = [
    ("raw", "limit-link"),
    (BH, "link-ours"),
    ("tonic", "link-tonic"),
    ("ractor_cluster", "link-cluster"),
];

struct Case {
    word: &'static str,
    name: &'static str,
    unit: Unit,
    goal: Goal,
}

const CASES: [Case; 4] = [
    Case { word: "call", name: "call", unit: Unit::Milliseconds, goal: Goal::TimesLimit(1.5) },
    Case {
        word: "flight",
        name: "calls 64",
        unit: Unit::PerSecond,
        goal: Goal::AtLeast(300_000.0),
    },
    Case { word: "cast", name: "casts", unit: Unit::PerSecond, goal: Goal::AtLeast(1_000_000.0) },
    Case { word: "large", name: "put 64 KiB", unit: Unit::PerSecond, goal: Goal::LimitOver(1.25) },
];

/// Everything, of all contenders, in turns.
pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let (mut contenders, mut remarks) = (Vec::new(), Vec::new());
    for (index, (name, program)) in CONTENDERS.into_iter().enumerate() {
        match setting.program(program) {
            Ok(path) if index == 0 || setting.wants(name) => contenders.push((name, path)),
            Ok(_) => {}
            Err(error) if index < 2 => return Err(error),
            Err(_) => remarks.push(format!("`{name}` is left out: it was not built")),
        }
    }
    let (rounds, stopped_s) = match setting.extent {
        Extent::Whole => (ROUNDS, 60),
        Extent::Brief => (ROUNDS_BRIEF, 5),
    };
    let mut figures = Vec::new();
    for case in &CASES {
        (setting.tell)(case.name);
        figures.extend(in_turns(case, &contenders, rounds)?);
    }
    if setting.wants(BH) {
        (setting.tell)("losing the other process, and stopping it");
        figures.extend(ours(setting, rounds, stopped_s)?);
    }
    remarks.push(
        "`tonic` has no message without an answer: its `casts` are calls one after the other"
            .into(),
    );
    let versions = contenders.iter().map(|(name, _)| (*name, version(name))).collect();
    Ok(Findings { figures, versions, remarks })
}

fn in_turns(
    case: &Case,
    contenders: &[(&'static str, PathBuf)],
    rounds: usize,
) -> anyhow::Result<Vec<Figure>> {
    let mut samples = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for ((_, program), samples) in contenders.iter().zip(&mut samples) {
            samples.push(run(program, &[case.word])?);
        }
    }
    let figures =
        contenders.iter().zip(samples).enumerate().map(|(index, ((name, _), samples))| {
            let figure = Figure::new(BENCH, case.name, name, case.unit, samples);
            match index {
                0 => figure.as_limit(),
                _ if *name == BH => figure.held_to(Some(case.goal)),
                _ => figure,
            }
        });
    Ok(figures.collect())
}

fn ours(setting: &Setting<'_>, rounds: usize, stopped_s: u32) -> anyhow::Result<[Figure; 3]> {
    let program = setting.program("link-ours")?;
    let kills = (0..rounds).map(|_| run(&program, &["kill"])).collect::<Result<_, _>>()?;
    let growth = run(&program, &["growth", &stopped_s.to_string()])?;
    let kill = Figure::new(BENCH, "kill", BH, Unit::Milliseconds, kills);
    let case = format!("growth {stopped_s} s");
    let growth = Figure::new(BENCH, case, BH, Unit::KiB, vec![growth]);
    let actors =
        (0..rounds).map(|_| run(&program, &["actors", "10000"])).collect::<Result<_, _>>()?;
    let actors = Figure::new(BENCH, "10,000 actors", BH, Unit::KiB, actors);
    Ok([
        kill.held_to(Some(Goal::AtMost(1.0))),
        growth.held_to(Some(Goal::AtMost(16.0 * 1024.0))),
        actors.held_to(Some(Goal::AtMost(1024.0))),
    ])
}

fn run(program: &PathBuf, words: &[&str]) -> anyhow::Result<f64> {
    let output = Command::new(program).args(words).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let name = program.display();
    anyhow::ensure!(output.status.success(), "`{name} {}` failed: {complaint}", words.join(" "));
    said.trim().parse().with_context(|| format!("`{name}` printed `{said}`"))
}

fn version(name: &str) -> String {
    match name {
        "raw" => "tokio and bincode".to_owned(),
        BH => env!("CARGO_PKG_VERSION").to_owned(),
        "tonic" => "0.14".to_owned(),
        _ => "0.16".to_owned(),
    }
}
