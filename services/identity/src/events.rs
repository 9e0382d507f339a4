//! The stream of events: read from the log, so that no reader costs memory while it is slow, and
//! what a reader asked for but cannot have any more is counted in `missed`.

use std::collections::VecDeque;

use blackhole_protocol::identity::v1::DidEvent;
use blackhole_sdk::Draining;
use futures::{Stream, stream};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    error::Error,
    store::{Store, StoreError, events_after, last_sequence},
};

/// Events that are read at a time.
const BATCH_MAX: usize = 64;

struct Reader {
    store: Store,
    written: watch::Receiver<u64>,
    draining: Draining,
    position: u64,
    batch: VecDeque<DidEvent>,
}

/// Events after `position`, for as long as the service and its reader want. Without a position, those
/// that happen from now on.
pub(crate) async fn stream(
    store: Store,
    draining: Draining,
    position: Option<u64>,
) -> Result<impl Stream<Item = Result<DidEvent, Status>> + Send + 'static, Error> {
    let written = store.events_written();
    let position = match position {
        Some(position) => position,
        None => store.read(last_sequence).await?,
    };
    let reader = Reader { store, written, draining, position, batch: VecDeque::new() };
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Ok(Some((event, reader)))
    }))
}

impl Reader {
    async fn next(&mut self) -> Result<DidEvent, Status> {
        loop {
            if let Some(event) = self.batch.pop_front() {
                self.position = event.sequence;
                return Ok(event);
            }
            // Marked before the look, so that what is written during it wakes us.
            self.written.mark_unchanged();
            self.batch = self.look().await.map_err(Error::from)?.into();
            if self.batch.is_empty() {
                self.wait().await?;
            }
        }
    }

    async fn look(&self) -> Result<Vec<DidEvent>, StoreError> {
        let position = self.position;
        self.store.read(move |transaction| events_after(transaction, position, BATCH_MAX)).await
    }

    async fn wait(&mut self) -> Result<(), Status> {
        tokio::select! {
            Ok(()) = self.written.changed() => Ok(()),
            () = self.draining.begun() => {
                Err(Status::unavailable("the service is stopping; go on after the last sequence"))
            }
        }
    }
}
