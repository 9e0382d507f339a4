//! Streams of answers.

use tonic::Streaming;

use super::error::{ClientError, is_broken, refused};

/// What the node sends one after the other.
pub(crate) struct Records<T> {
    pub(super) stream: Streaming<T>,
    pub(super) doing: &'static str,
    pub(super) end: End,
}

/// When there are no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// When the node says so.
    Told,
    /// When the node ends, which closes its connections without a farewell to each stream.
    WithTheNode,
}

impl End {
    pub(super) fn of(follow: bool) -> Self {
        if follow { Self::WithTheNode } else { Self::Told }
    }
}

impl<T> Records<T> {
    /// The next one; `None` when there are no more.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, ClientError> {
        match self.stream.message().await {
            Err(status) if is_broken(&status) && self.end == End::WithTheNode => Ok(None),
            answer => answer.map_err(refused(self.doing)),
        }
    }
}
