//! The family *native service*: how long its clients are without it.
//!
//! What is counted in each case is said in [`CASES`].
//!
//! The limit is a server made of the same libraries, kept alive by the bare loop of *supervision*. Its
//! client is refused until the next one has bound the socket, and tries again at once; the socket of a
//! service of `bh` stays open, and its client waits.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    BH, clock,
    family::{Extent, Findings, Setting},
    figure::{Figure, Goal, Unit},
    processes,
    subject::{PATIENCE, signal},
};

const BENCH: &str = "native";
pub(crate) const CASES: [(&str, &str); 2] = [
    ("start", "from the start of the supervisor until a new client is told SERVING"),
    ("kill -9", "from SIGKILL of the service until a new client is told SERVING"),
];
const LIMIT: &str = "bare server";
const ROUNDS: usize = 7;
const TRIALS: usize = 30;
const TRIALS_BRIEF: usize = 10;
/// Between two kills, so that what follows one is over.
const SETTLE: Duration = Duration::from_millis(200);
/// A client that is refused comes again so soon.
const RETRY: Duration = Duration::from_micros(50);

/// Both subjects in turns.
pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let bench = Bench {
        limit: setting.program("limit-spawn")?,
        server: setting.program("limit-serve")?,
        bh: setting.program("bh")?,
        client: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    let trials = match setting.extent {
        Extent::Whole => TRIALS,
        Extent::Brief => TRIALS_BRIEF,
    };
    (setting.tell)(&format!("starting a service {ROUNDS} times, killing it {trials} times"));
    let mut starts = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (start, samples) in [Bench::start_limit, Bench::start_bh].iter().zip(&mut starts) {
            let (_running, duration) = bench.first(start)?;
            samples.push(milliseconds(duration));
        }
    }
    let (limit, _) = bench.first(&(Bench::start_limit as Start))?;
    let (bh, _) = bench.first(&(Bench::start_bh as Start))?;
    let mut kills = [Vec::new(), Vec::new()];
    for _ in 0..trials {
        for (running, samples) in [&limit, &bh].into_iter().zip(&mut kills) {
            std::thread::sleep(SETTLE);
            samples.push(milliseconds(bench.kill(running)?));
        }
    }
    let figures = [("start", starts, None), ("kill -9", kills, Some(Goal::TimesLimit(1.5)))];
    let figures = figures.into_iter().flat_map(|(case, [limit, bh], goal)| {
        let figure = |subject, samples| {
            Figure::new(BENCH, case, subject, Unit::Milliseconds, samples).held_to(goal)
        };
        [figure(LIMIT, limit).as_limit(), figure(BH, bh)]
    });
    Ok(Findings { figures: figures.collect(), ..Findings::default() })
}

struct Bench {
    limit: PathBuf,
    server: PathBuf,
    bh: PathBuf,
    client: Runtime,
}

type Start = fn(&Bench, &Path) -> anyhow::Result<(Command, PathBuf)>;

/// A supervisor with one service. Dropping it ends both.
struct Running {
    supervisor: Child,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn start_limit(&self, directory: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let socket = directory.join("socket");
        let mut command = Command::new(&self.limit);
        command.arg(&self.server).arg("1").env("BENCH_SOCKET", &socket);
        Ok((command, socket))
    }

    fn start_bh(&self, directory: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let file = directory.join("config.toml");
        let unlimited = "restarts_max = 1000000\nbackoff = { initial = 0 }\n";
        fs::write(&file, format!("[services.identity]\n{unlimited}"))?;
        let mut command = Command::new(&self.bh);
        command.arg("run").arg(file);
        for (flag, name) in [("--runtime-dir", "run"), ("--data-dir", "data"), ("--log-dir", "log")]
        {
            command.arg(flag).arg(directory.join(name));
        }
        Ok((command, directory.join("run/identity-1.sock")))
    }

    /// Starts it, until a client is told SERVING.
    fn first(&self, start: &Start) -> anyhow::Result<(Running, Duration)> {
        let directory = tempfile::Builder::new().prefix("bench").tempdir()?;
        let (mut command, socket) = start(self, directory.path())?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(directory.path().join("errors"))?);
        let since = clock::now();
        let supervisor = command.spawn().context("starting a supervisor")?;
        let running = Running { supervisor, socket, _directory: directory };
        self.client.block_on(serving(&running.socket))?;
        Ok((running, clock::now() - since))
    }

    fn kill(&self, running: &Running) -> anyhow::Result<Duration> {
        let pid = running.service()?;
        let killed = clock::now();
        signal(pid, Signal::KILL);
        // While it dies it may still answer: its socket closes with it.
        processes::wait_for_death(pid, PATIENCE)?;
        self.client.block_on(serving(&running.socket))?;
        Ok(clock::now() - killed)
    }
}

impl Running {
    /// The process that serves: the only one without a child.
    fn service(&self) -> anyhow::Result<i32> {
        let tree = processes::tree(self.supervisor.id().cast_signed(), Path::new("none"));
        tree.last().copied().filter(|_| tree.len() > 1).context("the service is not there")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal(self.supervisor.id().cast_signed(), Signal::TERM);
        let _ = self.supervisor.wait();
    }
}

/// Returns as soon as a new client is told SERVING.
async fn serving(socket: &Path) -> anyhow::Result<()> {
    let deadline = clock::now() + PATIENCE;
    loop {
        let outcome = ask(socket).await;
        match outcome {
            Ok(status) if status == ServingStatus::Serving as i32 => return Ok(()),
            other if clock::now() > deadline => bail!("it does not serve: {other:?}"),
            Ok(_) | Err(_) => std::thread::sleep(RETRY),
        }
    }
}

async fn ask(socket: &Path) -> anyhow::Result<i32> {
    // A refused connection is found here, without the work of a whole client.
    drop(tokio::net::UnixStream::connect(socket).await?);
    let channel = Endpoint::from_shared(format!("unix:{}", socket.display()))?.connect().await?;
    let request = HealthCheckRequest { service: String::new() };
    Ok(HealthClient::new(channel).check(request).await?.into_inner().status)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
