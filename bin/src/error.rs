//! Everything that can end a command, the exit code of each, and how they are printed.
//!
//! A text may end with lines that begin with `hint:`; wherever in the chain they stand, they are
//! printed last.

use std::{error::Error as StdError, io, io::Write, path::PathBuf};

use anstyle::{AnsiColor, Style};
use blackhole_config::{Color, Rejected};
use blackhole_node::{
    NodeError,
    incident::replay::ReplayError,
    logs::{LogsError, wire::WireError},
};
use blackhole_process::guardian::GuardianError;

use crate::{client::ClientError, exit_code::ExitCode};

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("could not write to the standard output")]
    Output(#[from] io::Error),
    #[error("could not start the runtime of this command")]
    Runtime(#[source] io::Error),
    #[error("could not read `{}`{hint}", path.display(), hint = missing_hint(source))]
    NoInput { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Rejected(Box<Rejected>),
    #[error(transparent)]
    Guardian(#[from] GuardianError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error("the node sent a log record that cannot be understood")]
    LogRecord(#[from] WireError),
    #[error("could not tell the working directory")]
    WorkingDirectory(#[source] io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
    #[error("could not {doing} the recording `{}`", path.display())]
    Recording { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("could not replay `{}`", path.display())]
    Replay { path: PathBuf, source: ReplayError },
    #[error("could not write `{}`{hint}", path.display(), hint = exists_hint(source))]
    Create { path: PathBuf, source: io::Error },
}

fn exists_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AlreadyExists => "\nhint: `--force` replaces the file",
        _ => "",
    }
}

fn missing_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "\nhint: `bh init` writes a file to begin with",
        _ => "",
    }
}

impl Error {
    /// The one place where errors become exit codes.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
            Self::Output(_) => ExitCode::Io,
            Self::Runtime(_) => ExitCode::Internal,
            Self::NoInput { .. } => ExitCode::NoInput,
            Self::Rejected(_) => ExitCode::BadFile,
            Self::WorkingDirectory(_) => ExitCode::Io,
            Self::Guardian(_) | Self::Logs(_) | Self::LogRecord(_) => ExitCode::Internal,
            Self::Node(error) => node_exit_code(error),
            Self::Usage(_) => ExitCode::Usage,
            Self::Failed(_) => ExitCode::Failed,
            Self::Recording { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExitCode::NoInput
            }
            Self::Recording { .. } => ExitCode::Io,
            Self::Replay { .. } => ExitCode::Failed,
            Self::Create { .. } => ExitCode::CannotCreate,
        }
    }

    /// Prints the whole chain, once. Whoever reads `bh … | head` closes the pipe on purpose, so
    /// that is not worth a word.
    pub(crate) fn report(&self) {
        if self.exit_code() == ExitCode::Ok {
            return;
        }
        let text = match self {
            Self::Rejected(rejected) => rejected.render(Color::Always),
            error => render(error),
        };
        // When even stderr is gone, nobody is left to be told.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
    }
}

fn node_exit_code(error: &NodeError) -> ExitCode {
    match error {
        NodeError::Directory(_)
        | NodeError::Lock { .. }
        | NodeError::ControlSocket(_)
        | NodeError::Logs(_) => ExitCode::CannotCreate,
        NodeError::AlreadyRunning { .. } | NodeError::Http { .. } => ExitCode::Failed,
        NodeError::Tree(_) | NodeError::RootFailed | NodeError::Part(..) => ExitCode::Internal,
    }
}

/// `error:`, then the causes, then the hints; coloured.
pub(crate) fn render(error: &dyn StdError) -> String {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    let (mut lines, mut hints) = (Vec::new(), Vec::new());
    let mut cause = Some(error);
    while let Some(current) = cause {
        let text = current.to_string();
        let (hinted, said): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("hint: "));
        hints.extend(hinted.iter().map(|hint| hint["hint: ".len()..].to_owned()));
        lines.push(said.join("\n"));
        cause = current.source();
    }
    let mut text = format!("{red}error:{red:#} {}\n", lines[0]);
    for line in &lines[1..] {
        text.push_str(&format!("  caused by: {line}\n"));
    }
    for hint in &hints {
        text.push_str(&format!("{cyan}hint:{cyan:#} {hint}\n"));
    }
    text
}
