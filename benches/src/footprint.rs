//! The family *footprint*: what `bh` takes before it does anything.
//!
//! What is counted in each case is said in [`CASES`].

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    BH, clock,
    family::{Findings, Setting},
    figure::{Figure, Unit},
    processes,
    subject::{Behaviour, PATIENCE, Running, blackhole::Blackhole},
};

const BENCH: &str = "footprint";
pub(crate) const CASES: [(&str, &str); 3] = [
    ("size of the binary", "as `cargo build --release` leaves it"),
    ("cold start", "of `bh version`, from its start to its end; the limit is `/bin/true`"),
    ("memory at rest", "resident memory of guardian and node, with one child"),
];
const COLD_STARTS: usize = 40;
const ROUNDS: usize = 5;
const SETTLE: Duration = Duration::from_millis(800);
const WITHOUT_FEATURES: &str =
    "`bh` and the library have no cargo features: all that there is is in the one size below";

pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let bh = setting.program("bh")?;
    let size = fs::metadata(&bh)?.len() as f64 / 1024.0;
    (setting.tell)("cold starts");
    let (mut bare, mut cold) = (Vec::new(), Vec::new());
    for _ in 0..COLD_STARTS {
        bare.push(duration(Command::new("/bin/true"))?);
        let mut command = Command::new(&bh);
        command.arg("version");
        cold.push(duration(command)?);
    }
    (setting.tell)("memory at rest");
    let child = setting.program("stamp-static")?;
    let mut memory = Vec::new();
    for _ in 0..ROUNDS {
        let subject = Blackhole { bh: bh.clone() };
        let mut running = Running::start(&subject, &child, 1, Behaviour::Stay)?;
        running.stamps.take(1, PATIENCE)?;
        thread::sleep(SETTLE);
        memory.push(processes::memory(&running.own_processes()).rss as f64);
        running.stop()?;
    }
    let figures = vec![
        Figure::new(BENCH, "size of the binary", BH, Unit::KiB, vec![size]),
        Figure::new(BENCH, "cold start", "/bin/true", Unit::Milliseconds, bare).as_limit(),
        Figure::new(BENCH, "cold start", BH, Unit::Milliseconds, cold),
        Figure::new(BENCH, "memory at rest", BH, Unit::KiB, memory),
    ];
    Ok(Findings { figures, remarks: vec![WITHOUT_FEATURES.to_owned()], ..Findings::default() })
}

/// From the start to the end of a program, in milliseconds.
fn duration(mut command: Command) -> anyhow::Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let since = clock::now();
    let status = command.status()?;
    anyhow::ensure!(status.success(), "{command:?} ended with {status}");
    Ok((clock::now() - since).as_secs_f64() * 1e3)
}
