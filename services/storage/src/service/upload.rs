//! A block from a client into the store.

use blackhole_protocol::storage::v1::{UploadHeader, UploadRequest, upload_request::Message};
use tokio::{
    sync::{OwnedSemaphorePermit, TryAcquireError},
    time::timeout,
};
use tonic::{Code, Streaming};

use super::{
    BlockService, IDLE_MAX, ServiceError,
    input::{self, DATA_SIZE_MAX, refuse},
    off_thread::OffThread,
};
use crate::{BlockWriter, Stored};

/// Smaller messages are put together up to this many bytes, so that each need not wake a thread.
const PIECE: usize = 256 << 10;

/// A writer, which makes room for the next when it is gone, and its file with it.
struct Upload {
    writer: BlockWriter,
    _room: OwnedSemaphorePermit,
}

pub(super) async fn upload(
    service: &BlockService,
    stream: Streaming<UploadRequest>,
) -> Result<Stored, ServiceError> {
    let room = service.uploads.clone().try_acquire_owned().map_err(|_: TryAcquireError| {
        ServiceError::Busy { what: "uploads", running: service.uploads_max }
    })?;
    let mut messages = Messages(stream);
    let expectation = input::expectation(&messages.header().await?, service.hash)?;
    let store = service.store.clone();
    let begin = move || Ok(Upload { writer: store.write(expectation)?, _room: room });
    let mut upload = OffThread::make(begin).await?;
    let mut piece = Vec::new();
    while let Some(data) = messages.data().await? {
        if piece.is_empty() {
            piece = data;
        } else {
            piece.extend_from_slice(&data);
        }
        if piece.len() >= PIECE {
            let piece = std::mem::take(&mut piece);
            upload.with(move |upload| upload.writer.write(&piece)).await?;
        }
    }
    upload
        .with(move |upload| {
            upload.writer.write(&piece)?;
            upload.writer.sync()
        })
        .await?;
    // tonic shows a client's cancellation as the proper end of its messages. hyper drops this future for
    // the same cancellation, but only once it is pending: it must be, before the block is kept.
    tokio::task::yield_now().await;
    upload.consume(|upload| upload.writer.finish()).await
}

/// The messages of an upload, in the order that they must have.
struct Messages(Streaming<UploadRequest>);

impl Messages {
    async fn header(&mut self) -> Result<UploadHeader, ServiceError> {
        match self.next().await? {
            Some(Message::Header(header)) => Ok(header),
            Some(Message::Data(_)) => Err(refuse("header", "must be in the first message")),
            None => Err(refuse("header", "missing, because no message came")),
        }
    }

    async fn data(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        match self.next().await? {
            Some(Message::Data(data)) if data.len() > DATA_SIZE_MAX => Err(too_long()),
            Some(Message::Data(data)) => Ok(Some(data)),
            Some(Message::Header(_)) => Err(refuse("header", "must be in the first message only")),
            None => Ok(None),
        }
    }

    async fn next(&mut self) -> Result<Option<Message>, ServiceError> {
        let message = timeout(IDLE_MAX, self.0.message()).await.map_err(|_| ServiceError::Idle)?;
        let message = message.map_err(|status| match status.code() {
            // That is how tonic refuses a message that is longer than the limit.
            Code::OutOfRange => too_long(),
            _ => ServiceError::BrokenOff(status),
        })?;
        let Some(UploadRequest { message }) = message else { return Ok(None) };
        message.map(Some).ok_or_else(|| refuse("message", "neither `header` nor `data` is set"))
    }
}

fn too_long() -> ServiceError {
    refuse("data", format!("longer than {DATA_SIZE_MAX} bytes"))
}
