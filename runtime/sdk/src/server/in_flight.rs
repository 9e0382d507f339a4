//! Counts the requests of one connection, from their arrival to the last byte of their answers.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tonic::{Status, body::Body};

/// The requests in flight on one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(TaskTracker);

impl InFlight {
    /// One more, until what is returned is dropped.
    pub(super) fn enter(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// Resolves when there is none.
    pub(super) async fn none(&self) {
        self.0.close();
        self.0.wait().await;
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// The body of an answer, which is in flight until its end.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) _entered: TaskTrackerToken,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
