//! Why an incarnation never came to be, as the operator and history read it.

use std::{io, path::PathBuf, time::Duration};

use blackhole_isolation::IsolationError;
use blackhole_policy::instance::Reason;
use blackhole_process::{LaunchError, SpawnError, sockets::SocketError};
use blackhole_protocol::InstanceId;

use crate::{
    adapting::InsufficientResources,
    logs::LogsError,
    notify::NotifyError,
    probe::ResolveError,
    registry::{ADMISSION, Exited},
    secrets::SecretsError,
};

/// Why an incarnation never came to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("there is no service `{0}`")]
    Unknown(InstanceId),
    #[error(transparent)]
    Refused(#[from] InsufficientResources),
    #[error("could not open a listening socket")]
    Socket(#[from] SocketError),
    #[error("could not open the socket for its notifications")]
    Notify(#[from] NotifyError),
    #[error("could not prepare a probe")]
    Probe(#[from] ResolveError),
    #[error("could not create its directory `{}`", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("could not open its link")]
    Link(#[source] io::Error),
    #[error("could not prepare what it may use")]
    Isolation(#[from] IsolationError),
    #[error("could not deliver its secrets")]
    Secrets(#[from] SecretsError),
    #[error("could not prepare its command")]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Output(#[from] LogsError),
    #[error("could not start it inside the node")]
    Embed(#[source] io::Error),
}

impl StartError {
    pub(super) fn unknown(instance: &InstanceId) -> Self {
        Self::Unknown(instance.clone())
    }

    /// The start that failed, as history has it: the whole chain of causes in one text.
    pub(super) fn into_exited(self) -> Exited {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(&self);
        // A transparent error and its source say the same.
        if matches!(self, Self::Spawn(_) | Self::Output(_) | Self::Refused(_)) {
            cause = cause.filter(|cause| !message.contains(&cause.to_string()));
        }
        while let Some(error) = cause {
            let (head, hint) = split_hint(&message);
            message = format!("{head}: {error}{hint}");
            cause = error.source();
        }
        Exited {
            pid: None,
            reason: self.reason(),
            code: None,
            signal: None,
            stage: Some(self.stage()),
            uptime: Duration::ZERO,
            stderr: Some(String::new()),
            message,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Refused(_) => Reason::Limit,
            Self::Unknown(_)
            | Self::Socket(_)
            | Self::Notify(_)
            | Self::Probe(_)
            | Self::Directory { .. }
            | Self::Link(_)
            | Self::Isolation(_)
            | Self::Secrets(_)
            | Self::Launch(_)
            | Self::Spawn(_)
            | Self::Output(_)
            | Self::Embed(_) => Reason::Spawn,
        }
    }

    fn stage(&self) -> String {
        match self {
            Self::Refused(_) => ADMISSION.into(),
            Self::Unknown(_) => "looking up the service".into(),
            Self::Socket(_) => "opening a listening socket".into(),
            Self::Notify(_) => "opening the notification socket".into(),
            Self::Probe(_) => "preparing a probe".into(),
            Self::Directory { .. } => "making its directory".into(),
            Self::Link(_) => "opening the link".into(),
            Self::Isolation(_) => "preparing what it may use".into(),
            Self::Secrets(_) => "delivering its secrets".into(),
            Self::Launch(_) => "preparing the command".into(),
            Self::Output(_) => "capturing its output".into(),
            Self::Spawn(error) => error.stage.to_string(),
            Self::Embed(_) => "starting it inside the node".into(),
        }
    }
}

/// A hint stays at the end, however long the chain before it grows.
fn split_hint(message: &str) -> (&str, &str) {
    match message.find("\nhint:") {
        Some(position) => message.split_at(position),
        None => (message, ""),
    }
}
