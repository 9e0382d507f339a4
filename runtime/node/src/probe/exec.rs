//! A program that is run to ask about a service, and killed with its whole group when that takes
//! too long.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

use super::Failure;

/// The last bytes of the program's standard error that are kept.
const STDERR_SIZE_MAX: usize = 4096;
/// After the exit, a standard error that somebody else holds open is read for so long.
const STDERR_WAIT_MAX: Duration = Duration::from_millis(200);

/// How the programs of a service's probes are started: as the service itself.
#[derive(Debug, Clone, Default)]
pub struct ExecContext {
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Default: the node's.
    pub working_directory: Option<PathBuf>,
}

/// A program and how it is started.
#[derive(Debug, Clone)]
pub struct Exec {
    /// The program and its arguments. Not empty.
    pub argv: Vec<OsString>,
    /// How it is started.
    pub context: ExecContext,
}

impl Exec {
    pub(super) async fn attempt(&self) -> Result<(), Failure> {
        let mut running = self.start()?;
        let mut stderr = running.0.stderr.take().expect("it was asked for");
        let mut tail = Vec::new();
        let status = tokio::select! {
            status = running.0.wait() => status,
            () = read_tail(&mut stderr, &mut tail) => running.0.wait().await,
        }
        .map_err(|error| format!("could not wait for {self}: {error}"))?;
        if status.success() {
            return Ok(());
        }
        drop(timeout(STDERR_WAIT_MAX, read_tail(&mut stderr, &mut tail)).await);
        Err(format!("{self} {}{}", describe(status), last_line(&tail)))
    }

    fn start(&self) -> Result<Running, Failure> {
        let mut command = Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .env_clear()
            .process_group(0)
            .kill_on_drop(true);
        command.envs(
            self.context
                .environment
                .iter()
                .map(|(key, value)| (key, value)),
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(directory) = &self.context.working_directory {
            command.current_dir(directory);
        }
        command
            .spawn()
            .map(Running)
            .map_err(|error| format!("could not start {self}: {error}"))
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group = self.0.id().and_then(|pid| Pid::from_raw(pid as i32));
        if let Some(group) = group {
            // It fails only when the group is gone already.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

async fn read_tail(stderr: &mut tokio::process::ChildStderr, tail: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    loop {
        match stderr.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => tail.extend_from_slice(&buffer[..count]),
        }
        tail.drain(..tail.len().saturating_sub(STDERR_SIZE_MAX));
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!(": {line}"),
        None => String::new(),
    }
}

/// Prints the command as a person would write it, between backquotes.
impl std::fmt::Display for Exec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self
            .argv
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        write!(formatter, "`{}`", words.join(" "))
    }
}
