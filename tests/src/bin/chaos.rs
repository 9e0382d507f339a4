//! Abuses a node by seed and sees whether everything holds; see `blackhole_tests::chaos`.
//!
//! ```text
//! cargo run --release -p blackhole-tests --bin chaos -- --minutes 60
//! cargo run --release -p blackhole-tests --bin chaos -- --seed 7
//! cargo run --release -p blackhole-tests --bin chaos -- --replay chaos-7.events
//! ```
//! It is the shipped binary as well, when its first word is a command: what it abuses is itself.

use std::{
    io::Write,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use blackhole_tests::chaos::{Sandbox, Settings, enter_sandbox, run};
use clap::Parser;
use tokio::signal::unix::SignalKind;

/// Abuses a node by seed and sees whether everything holds.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long, in minutes; the round that runs then is ended. A minute unless given, a replay to the end of
    /// its record
    #[arg(long)]
    minutes: Option<u64>,
    /// How long, in seconds, instead
    #[arg(long)]
    seconds: Option<u64>,
    /// What decides everything; another one each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Does what the record of a run says, instead of what a seed says
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Where the record of this run goes: a new file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--notify") => notify(),
        Some(word) if !word.starts_with('-') => bh::main(),
        _ => abuse(&Arguments::parse()).unwrap_or_else(|error| {
            say(&format!("chaos: {error:#}"));
            ExitCode::from(2)
        }),
    }
}

fn abuse(arguments: &Arguments) -> Result<ExitCode> {
    let sandbox = enter_sandbox();
    if sandbox == Sandbox::Unavailable {
        say("SKIPPED: this user may not make a mount namespace, so no disk is filled");
    }
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    let record = arguments.record.clone().unwrap_or_else(|| {
        let replayed = arguments.replay.as_ref().map(|record| record.with_extension(""));
        free_name(&replayed.unwrap_or_else(|| format!("chaos-{seed}").into()))
    });
    match &arguments.replay {
        Some(replayed) => {
            say(&format!("replays {}, record {}", replayed.display(), record.display()))
        }
        None => say(&format!("seed {seed}, record {}", record.display())),
    }
    let settings = Settings {
        seed,
        length: arguments.length(),
        record,
        replay: arguments.replay.clone(),
        sandbox,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.context("could not start a runtime")?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = run(&settings, |report| say(&report.progress())) => report,
            told = told_to_go() => {
                told.context("could not listen for signals")?;
                anyhow::bail!("was told to go, and has taken the node along")
            }
        }
    })?;
    say(&report.to_string());
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn length(&self) -> Option<Duration> {
        let seconds = self.seconds.or_else(|| self.minutes.map(|minutes| minutes * 60));
        let unless_given = if self.replay.is_some() { None } else { Some(60) };
        seconds.or(unless_given).map(Duration::from_secs)
    }
}

/// A file that does not exist yet: `chaos-7.events`, or else `chaos-7-2.events`.
fn free_name(base: &Path) -> PathBuf {
    let base = base.display();
    let numbered = (2..).map(|number| format!("{base}-{number}.events"));
    let mut names = std::iter::once(format!("{base}.events")).chain(numbered).map(PathBuf::from);
    names.find(|name| !name.exists()).expect("there are more names than files")
}

async fn told_to_go() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) % 1_000_000
}

fn say(line: &str) {
    // Whoever does not listen any more does not stop the run.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A service that says that it is ready, and then that it lives.
fn notify() -> ExitCode {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return ExitCode::from(64) };
    let tell = |text: &str| {
        let sender = UnixDatagram::unbound()?;
        sender.send_to(text.as_bytes(), &socket)
    };
    let mut text = "READY=1";
    loop {
        // The node may be away or slow, which is no reason to go.
        let _ = tell(text);
        text = "WATCHDOG=1";
        thread::sleep(Duration::from_millis(500));
    }
}
