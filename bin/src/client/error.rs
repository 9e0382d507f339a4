//! Why the node did not do what was asked, and the exit code of each reason.

use std::{error::Error as _, fmt, io, path::PathBuf};

use tonic::{Code, Status};

use crate::{exit_code::ExitCode, locate::LocateError};

/// Why the node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("the path of the node's socket is not text: `{}`", .0.display())]
    Path(PathBuf),
    #[error("could not connect to the node at `{}`", .socket.display())]
    Connect { socket: PathBuf, source: tonic::transport::Error },
    #[error("could not wait for the end of the node's process")]
    Watch(#[source] io::Error),
    #[error("could not {doing}")]
    Call { doing: String, source: Refusal },
}

/// The node's answer when it is no: its text, without gRPC's decoration.
#[derive(Debug)]
pub(crate) struct Refusal(Status);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status) = self;
        match status.code() {
            Code::Unimplemented => formatter.write_str(
                "the node does not know this request\n\
                 hint: it runs another version than this `bh`; compare `bh version` and `bh status`",
            ),
            Code::Cancelled | Code::DeadlineExceeded => {
                formatter.write_str("the node did not answer in time")
            }
            _ if is_broken(status) => {
                write!(formatter, "the connection to the node broke: {}", status.message())
            }
            _ => formatter.write_str(status.message()),
        }
    }
}

/// Whether no answer came, as opposed to one that says no: only what happened on this side has a
/// cause that can be looked at.
pub(super) fn is_broken(status: &Status) -> bool {
    status.source().is_some()
}

impl std::error::Error for Refusal {}

impl ClientError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Locate(error) => error.exit_code(),
            Self::Path(_) => ExitCode::Usage,
            Self::Watch(_) => ExitCode::Io,
            Self::Connect { .. } => ExitCode::Unavailable,
            Self::Call { source: Refusal(status), .. } if is_broken(status) => {
                ExitCode::Unavailable
            }
            Self::Call { source: Refusal(status), .. } => match status.code() {
                Code::InvalidArgument => ExitCode::Usage,
                Code::PermissionDenied | Code::Unauthenticated => ExitCode::NoPermission,
                Code::Unavailable
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Unimplemented => ExitCode::Unavailable,
                Code::Internal | Code::DataLoss | Code::Unknown => ExitCode::Internal,
                _ => ExitCode::Failed,
            },
        }
    }
}

/// What was being done, for a refusal.
pub(super) fn refused(doing: impl Into<String>) -> impl FnOnce(Status) -> ClientError {
    let doing = doing.into();
    move |status| ClientError::Call { doing, source: Refusal(status) }
}
