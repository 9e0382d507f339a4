//! The family *link*: what a message between two processes costs.
//!
//! What is counted in each case is said in [`CASES`].
//!
//! Each number is measured by a program of its own, which starts the other process: `benches/link`.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    family::{Extent, Findings, Setting},
    figure::{BH, Figure, Goal, Unit},
    processes,
};

const BENCH: &str = "link";
/// Of a case that is held to no goal.
const ROUNDS: usize = 7;
/// Of a case that is: where the host of a virtual machine takes back memory that is free, one round in three of the
/// long payloads is a slow one, for raw as for all.
const ROUNDS_HELD: usize = 21;
/// Of a case that is held to a goal, and of one that is not.
const ROUNDS_BRIEF: (usize, usize) = (3, 1);
/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const SPINNING: &str = "raw spinning";
/// Who is measured, and its program.
const CONTENDERS: [(&str, &str); 5] = [
    ("raw", "limit-link"),
    (BH, "link-ours"),
    (SPINNING, "limit-link"),
    ("tonic", "link-tonic"),
    ("ractor_cluster", "link-cluster"),
];
/// What [`SPINNING`] finds in its environment.
const SPINS: &str = "LINK_SPINS";

/// Where versions of peers are held: of this workspace, and of the package apart from it.
const LOCK: &str = include_str!("../../Cargo.lock");
const CLUSTER_LOCK: &str = include_str!("../link/cluster/Cargo.lock");

pub(crate) const CASES: [(&str, &str); 9] = [
    ("call", "the median of calls one after the other, 64 bytes each way"),
    (
        "call, usual class",
        "the same among all other processes of the machine, as services run, and not in a class of real time: in that \
         the kernel wakes the peer on another processor, which has to be woken first, here mostly on the same",
    ),
    (
        "call, processor time",
        "of both processes together, for each of such calls: who looks for its peer instead of sleeping pays here",
    ),
    ("calls 64", "calls in a second, 64 at a time"),
    ("casts", "messages without an answer in a second, until the last has been done"),
    (
        "put L, N in flight",
        "messages of length L that are acknowledged: with one in flight the median of one after the other, else how many \
         in a second, N at a time. `1 MiB` is the longest frame there is, and so a payload that is shorter by the frame's \
         head",
    ),
    ("kill", "from SIGKILL of the other process until 64 calls in flight have been resolved"),
    (
        "growth 60 s",
        "what 100,000 casts a second, for so long, to a stopped process add to the memory of the sender",
    ),
    (
        "10,000 actors",
        "what so many actors in one process add to the memory of another that speaks to it",
    ),
];
const WHO_SPINS: &str = "`raw` reads, writes and sleeps, no more; `raw spinning` is the same program, which before it sleeps looks for \
    its peer up to 50 µs, by the rules by which `bh` does: beside it is seen what of `bh` is looking";

struct Contender {
    name: &'static str,
    program: PathBuf,
}

#[derive(Clone)]
struct Case {
    /// What its program is told.
    words: String,
    name: String,
    unit: Unit,
    goals: Vec<Goal>,
    /// Apart from the class of real time in which `benches/run` measures.
    is_usual: bool,
}

/// Bytes, and how they are called.
const LENGTHS: [(usize, &str); 4] =
    [(64, "64 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB"), ((1 << 20) - 256, "1 MiB")];
const IN_FLIGHT: [usize; 3] = [1, 16, 256];

fn cases() -> Vec<Case> {
    let case = |words: &str, name: &str, unit, goals: &[Goal]| Case {
        words: words.into(),
        name: name.into(),
        unit,
        goals: goals.into(),
        is_usual: false,
    };
    let call = case("call", "call", Unit::Milliseconds, &[Goal::TimesLimit(1.5)]);
    vec![
        call.clone(),
        Case { name: "call, usual class".into(), is_usual: true, ..call },
        case("processor", "call, processor time", Unit::Milliseconds, &[]),
        case(
            "flight",
            "calls 64",
            Unit::PerSecond,
            &[Goal::AtLeast(300_000.0), Goal::TimesPeers(4.0)],
        ),
        case("cast", "casts", Unit::PerSecond, &[Goal::AtLeast(1_000_000.0)]),
    ]
}

/// Every length with every number in flight.
fn cases_of_lengths() -> Vec<Case> {
    let case = |(length, name): (usize, &str), in_flight| Case {
        words: format!("put {length} {in_flight}"),
        name: format!("put {name}, {in_flight} in flight"),
        unit: if in_flight == 1 { Unit::Milliseconds } else { Unit::PerSecond },
        goals: match (name, in_flight) {
            ("64 KiB", 16) => vec![Goal::LimitOver(1.25)],
            _ => Vec::new(),
        },
        is_usual: false,
    };
    let of_length = |length| IN_FLIGHT.map(|in_flight| case(length, in_flight));
    LENGTHS.into_iter().flat_map(of_length).collect()
}

/// Everything, of all contenders, in turns.
pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let (mut contenders, mut remarks) = (Vec::new(), Vec::new());
    for (index, (name, program)) in CONTENDERS.into_iter().enumerate() {
        match setting.program(program) {
            Ok(path) if index == 0 || setting.wants(name) => {
                contenders.push(Contender { name, program: path });
            }
            Ok(_) => {}
            Err(error) if index < 2 => return Err(error),
            Err(_) => remarks.push(format!("`{name}` is left out: it was not built")),
        }
    }
    let ((rounds_held, rounds), stopped_s) = match setting.extent {
        Extent::Whole => ((ROUNDS_HELD, ROUNDS), 60),
        Extent::Brief => (ROUNDS_BRIEF, 5),
    };
    let cases: Vec<Case> = cases().into_iter().chain(cases_of_lengths()).collect();
    let mut figures = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        (setting.tell)(&format!("{} ({} of {})", case.name, place + 1, cases.len()));
        let rounds = if case.goals.is_empty() { rounds } else { rounds_held };
        figures.extend(in_turns(case, &contenders, rounds, &mut remarks)?);
    }
    if setting.wants(BH) {
        (setting.tell)("losing the other process, stopping it, and 10,000 actors in it");
        figures.extend(ours(setting, rounds_held, stopped_s)?);
    }
    remarks.push(WHO_SPINS.into());
    remarks.push(
        "`tonic` has no message without an answer: its `casts` are calls one after the other"
            .into(),
    );
    let versions = contenders.iter().map(|it| (it.name, version(it.name))).collect();
    Ok(Findings { figures, versions, remarks })
}

/// What a peer cannot do is a remark, and ends nothing else.
fn in_turns(
    case: &Case,
    contenders: &[Contender],
    rounds: usize,
    remarks: &mut Vec<String>,
) -> anyhow::Result<Vec<Figure>> {
    let mut samples = vec![Some(Vec::new()); contenders.len()];
    for _ in 0..rounds {
        for (place, contender) in contenders.iter().enumerate() {
            let Some(sampled) = &mut samples[place] else { continue };
            let name = contender.name;
            match contender.run(case) {
                Ok(sample) => sampled.push(sample),
                Err(error) if place == 0 || name == BH => return Err(error),
                Err(error) => {
                    samples[place] = None;
                    let why = format!("{error:#}").replace('\n', " ");
                    remarks.push(format!("`{name}` has no `{}`: {why}", case.name));
                }
            }
        }
    }
    let sampled = contenders.iter().zip(samples).enumerate();
    let figures = sampled.filter_map(|(index, (contender, samples))| {
        let figure = Figure::new(BENCH, &case.name, contender.name, case.unit, samples?);
        Some(match contender.name {
            _ if index == 0 => figure.as_limit(),
            BH => figure.held_to(case.goals.clone()),
            SPINNING => figure.as_reference(),
            _ => figure,
        })
    });
    Ok(figures.collect())
}

fn ours(setting: &Setting<'_>, rounds: usize, stopped_s: u32) -> anyhow::Result<[Figure; 3]> {
    let ours = Contender { name: BH, program: setting.program("link-ours")? };
    let run = |words: &str| ours.measure(Command::new(&ours.program), words);
    let kills = (0..rounds).map(|_| run("kill")).collect::<Result<_, _>>()?;
    let growth = run(&format!("growth {stopped_s}"))?;
    let kill = Figure::new(BENCH, "kill", BH, Unit::Milliseconds, kills);
    let case = format!("growth {stopped_s} s");
    let growth = Figure::new(BENCH, case, BH, Unit::KiB, vec![growth]);
    let actors = (0..rounds).map(|_| run("actors 10000")).collect::<Result<_, _>>()?;
    let actors = Figure::new(BENCH, "10,000 actors", BH, Unit::KiB, actors);
    Ok([
        kill.held_to(Some(Goal::AtMost(1.0))),
        growth.held_to(Some(Goal::AtMost(16.0 * 1024.0))),
        actors.held_to(Some(Goal::AtMost(1024.0))),
    ])
}

impl Contender {
    /// What its program prints, within [`PATIENCE`].
    fn run(&self, case: &Case) -> anyhow::Result<f64> {
        if !case.is_usual {
            return self.measure(Command::new(&self.program), &case.words);
        }
        let mut command = Command::new("chrt");
        command.args(["--other", "0"]).arg(&self.program);
        self.measure(command, &case.words)
    }

    fn measure(&self, mut command: Command, words: &str) -> anyhow::Result<f64> {
        let name = self.program.display();
        command.args(words.split(' ')).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
        if self.name == SPINNING {
            command.env(SPINS, "1");
        }
        // Of its own group, with the other process that it starts.
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        if processes::wait_for_death(child.id().cast_signed(), PATIENCE).is_err() {
            kill_process_group(Pid::from_child(&child), Signal::KILL)?;
            child.wait()?;
            bail!("`{name} {words}` has not ended within {PATIENCE:?}");
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "`{name} {words}` failed: {complaint}");
        said.trim().parse().with_context(|| format!("`{name}` printed `{said}`"))
    }
}

fn version(name: &str) -> String {
    match name {
        "raw" => "tokio and bincode".to_owned(),
        BH => env!("CARGO_PKG_VERSION").to_owned(),
        SPINNING => "the same, with the rules of `bh` for spinning".to_owned(),
        "tonic" => locked(LOCK, name).to_owned(),
        _ => locked(CLUSTER_LOCK, name).to_owned(),
    }
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, package: &str) -> &'a str {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\n")).unwrap_or_default();
    rest.split('"').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_peers_are_those_that_are_built() {
        for peer in ["tonic", "ractor_cluster"] {
            let version = version(peer);
            assert!(version.starts_with(|it: char| it.is_ascii_digit()), "{peer}: `{version}`");
        }
    }
}
