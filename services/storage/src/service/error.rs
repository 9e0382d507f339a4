//! What can go wrong with a request, and what the client is told: the one place where codes are chosen.

use std::error::Error;

use tokio::task::JoinError;
use tonic::Status;

use super::IDLE_MAX;
use crate::{BlockIdError, StoreError};

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    #[error("{field}: {problem}")]
    Field { field: &'static str, problem: String },
    #[error("{field}: {source}")]
    BlockId { field: &'static str, source: BlockIdError },
    #[error("{running} {what} are running, which is as many as may\nhint: try again later")]
    Busy { what: &'static str, running: u16 },
    #[error("nothing came for {} s", IDLE_MAX.as_secs())]
    Idle,
    #[error("the client went away or broke off")]
    BrokenOff(#[source] Status),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("work on a block ended unfinished")]
    Unfinished(#[source] JoinError),
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let status = status(&error);
        match &error {
            ServiceError::Store(
                StoreError::Corrupt(_)
                | StoreError::Full { .. }
                | StoreError::NoDescriptors { .. }
                | StoreError::Io { .. },
            )
            | ServiceError::Unfinished(_) => {
                tracing::error!(error = &error as &dyn Error, code = ?status.code(), "request failed");
            }
            _ => {
                tracing::debug!(error = &error as &dyn Error, code = ?status.code(), "request refused");
            }
        }
        status
    }
}

fn status(error: &ServiceError) -> Status {
    let text = error.to_string();
    match error {
        ServiceError::Field { .. } | ServiceError::BlockId { .. } => Status::invalid_argument(text),
        ServiceError::Busy { .. } => Status::resource_exhausted(text),
        ServiceError::Idle => Status::deadline_exceeded(text),
        ServiceError::BrokenOff(status) => Status::new(status.code(), text),
        ServiceError::Store(error) => store_status(error),
        ServiceError::Unfinished(error) if error.is_cancelled() => {
            Status::unavailable("the service is stopping")
        }
        ServiceError::Unfinished(_) => Status::internal(text),
    }
}

/// Paths and what the kernel said are for the log only.
fn store_status(error: &StoreError) -> Status {
    let text = error.to_string();
    match error {
        StoreError::NotFound(_) => Status::not_found(text),
        StoreError::BeyondEnd { .. } => Status::out_of_range(text),
        StoreError::Corrupt(_) => Status::data_loss(text),
        StoreError::DigestMismatch { .. } => Status::invalid_argument(format!("cid: {text}")),
        StoreError::SizeMismatch { .. } => Status::invalid_argument(format!("size: {text}")),
        StoreError::TooLarge { .. } => Status::resource_exhausted(text),
        StoreError::Full { .. } => Status::resource_exhausted("no space is left for blocks"),
        StoreError::NoDescriptors { .. } => {
            Status::resource_exhausted("the service has as many files open as it may")
        }
        StoreError::Io { action, .. } => {
            Status::internal(format!("the service could not {action} a file or folder of its own"))
        }
    }
}
