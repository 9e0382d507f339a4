//! A service in a process of its own: the whole `main` of that process.

use std::{
    env::VarError,
    error::Error,
    io::{self, Write},
    os::{
        fd::{OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
};

use blackhole_process::{
    NotInherited, snapshot::SnapshotFile, sockets::NativeListeners, take_inherited,
};
use blackhole_protocol::{environment, link::Assignment};
use tokio::signal::unix::{SignalKind, signal};

use crate::{LifeError, Service, ServiceError, life, log};

/// The name under which the node passes the gRPC socket.
const GRPC: &str = "grpc";

/// The name under which it passes the socket on which actors are reached.
const GATEWAY: &str = "gateway";
/// The name under which the node passes the snapshot.
const SNAPSHOT: &str = "snapshot";

/// Threads for what would block; file and password work is bounded by the services themselves.
pub(crate) const BLOCKING_THREADS_MAX: usize = 16;

/// Why the process of a service ended otherwise than by having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody started it by hand.
    #[error(
        "this is the blackhole service `{service}`, and it runs only below a node\n\
         hint: name it in a file and run `bh run FILE`; `bh init` writes one to begin with"
    )]
    NotBelowANode {
        /// Its name.
        service: &'static str,
    },
    /// The variable that says where the link is makes no sense.
    #[error("`{}={value}` names no descriptor", environment::LINK_FD)]
    LinkVariable {
        /// Its value.
        value: String,
    },
    /// The link's descriptor is not there.
    #[error("could not take over the link to the node")]
    Link(#[source] NotInherited),
    /// The async runtime could not be made.
    #[error("could not begin")]
    Runtime(#[source] io::Error),
    /// The service began, and ended badly.
    #[error(transparent)]
    Life(#[from] LifeError),
}

impl ServeError {
    /// The exit code, after `sysexits.h` where that fits.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotBelowANode { .. } => 64,
            Self::Life(LifeError::Settings { .. }) => 78,
            Self::Life(LifeError::Start { .. }) => 1,
            Self::Life(LifeError::Failed(_) | LifeError::Actors(_)) => 70,
            Self::Runtime(_) | Self::Life(LifeError::Socket(_)) => 71,
            Self::LinkVariable { .. } | Self::Link(_) | Self::Life(LifeError::Link(_)) => 76,
        }
    }
}

/// Runs `S` until its node or SIGTERM asks it to stop, and says how that went.
///
/// Log records, the final error among them, go to stderr as JSON lines; only a service that was started
/// by hand explains itself in plain text.
pub fn serve<S: Service>() -> ExitCode {
    run::<S>().into()
}

/// As [`serve`], for whoever wants the exit code as a number.
pub fn run<S: Service>() -> u8 {
    let Err(error) = try_serve::<S>() else { return 0 };
    if matches!(error, ServeError::NotBelowANode { .. }) {
        // Nobody is left to tell that stderr is closed.
        let _ = writeln!(io::stderr(), "error: {error}");
    } else {
        tracing::error!(error = &error as &dyn Error, "the service ended");
    }
    error.exit_code()
}

fn try_serve<S: Service>() -> Result<(), ServeError> {
    let stream = link_stream::<S>()?;
    log::to_stderr();
    let runtime = builder().build().map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Runtime)?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(ServeError::Runtime)?;
        let asked = async move {
            terminate.recv().await;
        };
        Ok(life::live::<S>(stream, Box::new(take_listeners), asked).await?)
    });
    // What still runs on a blocking thread is ended with the process.
    runtime.shutdown_background();
    outcome
}

/// Current-thread: a service is one of many on its machine, and scales by instances.
pub(crate) fn builder() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX);
    builder
}

fn link_stream<S: Service>() -> Result<UnixStream, ServeError> {
    let value = match std::env::var(environment::LINK_FD) {
        Ok(value) => value,
        Err(VarError::NotPresent) => return Err(ServeError::NotBelowANode { service: S::NAME }),
        Err(VarError::NotUnicode(value)) => value.to_string_lossy().into_owned(),
    };
    let Ok(number) = value.parse::<RawFd>() else { return Err(ServeError::LinkVariable { value }) };
    let stream = UnixStream::from(take_inherited(number).map_err(ServeError::Link)?);
    stream.set_nonblocking(true).map_err(ServeError::Runtime)?;
    Ok(stream)
}

fn take_listeners(assignment: &Assignment) -> Result<NativeListeners, ServiceError> {
    let take = |name: &str| -> Result<OwnedFd, ServiceError> {
        let number = assignment.sockets.get(name);
        let number = number.ok_or_else(|| format!("the node passed no socket named `{name}`"))?;
        Ok(take_inherited(*number)?)
    };
    Ok(NativeListeners {
        grpc: take(GRPC)?.into(),
        gateway: take(GATEWAY)?.into(),
        snapshot: SnapshotFile::open(take(SNAPSHOT)?)?,
    })
}
