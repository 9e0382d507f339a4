//! A program that is run to ask about a service. It is in a session of its own; when it takes too
//! long, or has ended and left something behind, its whole group is killed and reaped.

use std::{
    fmt,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use blackhole_process::{ExitStatus, Launch, LaunchBuilder, LaunchError, Process, SpawnArguments};
use blackhole_protocol::environment;
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, runtime::Handle, time::timeout};

use super::{Failure, checker::chain};

/// The last bytes of each of the program's outputs that are kept.
const OUTPUT_SIZE_MAX: usize = 4096;
/// After the exit, an output that somebody else holds open is read for so long.
const OUTPUT_WAIT_MAX: Duration = Duration::from_millis(200);
/// A longer command is cut when it is shown, in characters.
const SHOWN_LENGTH_MAX: usize = 120;

/// How the programs of a service's probes are started: as the service itself, in its environment,
/// in its working directory, as its user. The default is as the node.
#[derive(Clone, Default)]
pub struct ExecContext {
    dress: Option<Arc<Dress>>,
}

type Dress = dyn Fn(LaunchBuilder) -> LaunchBuilder + Send + Sync;

impl ExecContext {
    /// `dress` adds to a launch what all programs of the service have in common.
    pub fn new(dress: impl Fn(LaunchBuilder) -> LaunchBuilder + Send + Sync + 'static) -> Self {
        Self { dress: Some(Arc::new(dress)) }
    }
}

/// A program and how it is started.
#[derive(Debug, Clone)]
pub struct Exec {
    launch: Arc<Launch>,
    shown: String,
}

impl Exec {
    /// A command: a program and its arguments.
    pub fn new(command: Vec<String>, context: &ExecContext) -> Result<Self, LaunchError> {
        let shown = command.join(" ").chars().take(SHOWN_LENGTH_MAX).collect();
        let builder = match &context.dress {
            Some(dress) => dress(Launch::builder(command)),
            None => Launch::builder(command),
        };
        let launch = builder.token_variable(environment::TOKEN).build()?;
        Ok(Self { launch: Arc::new(launch), shown })
    }
}

/// Shows the command as a person would write it.
impl fmt::Display for Exec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.shown)
    }
}

/// Runs a program, one at a time. Dropping it kills what runs.
pub(super) struct ExecChecker {
    exec: Exec,
    running: Option<Process>,
}

impl ExecChecker {
    pub(super) fn new(exec: Exec) -> Self {
        Self { exec, running: None }
    }

    /// Runs the program to its end. When the future is dropped, it runs on until
    /// [`Self::give_up`].
    pub(super) async fn attempt(&mut self) -> Result<(), Failure> {
        let token = token();
        let generation = SpawnArguments { token: Some(&token), ..SpawnArguments::default() };
        let could_not = |what: &str, error| format!("could not {what} {}: {error}", self.exec);
        let spawned = self.exec.launch.spawn(&generation);
        let spawned = spawned.map_err(|error| could_not("run", chain(&error)))?;
        let process = self.running.insert(spawned.process);
        let output = Output::new(spawned.stdout).and_then(|out| {
            let error = Output::new(spawned.stderr)?;
            Ok((out, error))
        });
        let (mut stdout, mut stderr) =
            output.map_err(|error| could_not("read the output of", error.to_string()))?;
        let status = tokio::select! {
            status = process.exited() => status,
            never = stdout.read_on() => match never {},
            never = stderr.read_on() => match never {},
        };
        let swept = process.sweep().await;
        self.running = None;
        swept.map_err(|error| could_not("clean up after", error.to_string()))?;
        if status.is_success() {
            return Ok(());
        }
        // Whatever did not come by then is not waited for.
        let _ = timeout(OUTPUT_WAIT_MAX, async {
            stderr.read_to_end().await;
            stdout.read_to_end().await;
        })
        .await;
        let line = stderr.last_line().or_else(|| stdout.last_line());
        let line = line.map(|line| format!(": {line}")).unwrap_or_default();
        Err(format!("{} {}{line}", self.exec, describe(status)))
    }

    /// Kills and reaps what still runs.
    pub(super) async fn give_up(&mut self) {
        if let Some(process) = self.running.take() {
            end(process).await;
        }
    }
}

impl Drop for ExecChecker {
    /// Without a runtime, the group is killed and becomes the node's orphans.
    fn drop(&mut self) {
        if let (Some(process), Ok(runtime)) = (self.running.take(), Handle::try_current()) {
            runtime.spawn(end(process));
        }
    }
}

async fn end(process: Process) {
    // Refused only if it has ended.
    let _ = process.kill_group();
    process.exited().await;
    // What cannot be reaped now is an orphan of the node's, which reaps it when it dies.
    let _ = process.sweep().await;
}

/// Unique in this process, which is where it is looked for.
fn token() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("probe-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

fn describe(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exited with {code}"),
        ExitStatus::Signal { signal, .. } => format!("was killed by {signal}"),
        ExitStatus::Unknown => "ended, and somebody else took its status".to_owned(),
    }
}

/// The end of what a program writes to one of its outputs.
struct Output {
    pipe: Receiver,
    tail: Vec<u8>,
}

impl Output {
    fn new(pipe: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe)?, tail: Vec::new() })
    }

    async fn read_on(&mut self) -> std::convert::Infallible {
        self.read_to_end().await;
        std::future::pending().await
    }

    async fn read_to_end(&mut self) {
        let mut buffer = [0; 1024];
        loop {
            match self.pipe.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => self.tail.extend_from_slice(&buffer[..count]),
            }
            self.tail.drain(..self.tail.len().saturating_sub(OUTPUT_SIZE_MAX));
        }
    }

    fn last_line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.tail);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.chars().filter(|character| !character.is_control()).collect())
    }
}
