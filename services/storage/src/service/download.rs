//! A block out of the store to a client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use blackhole_protocol::storage::v1::DownloadResponse;
use tokio::{
    sync::{OwnedSemaphorePermit, TryAcquireError, mpsc},
    time::timeout,
};
use tokio_stream::Stream;
use tonic::Status;

use super::{BlockService, IDLE_MAX, ServiceError, milliseconds_since, off_thread::OffThread};
use crate::{BlockId, BlockReader, Span};

/// Pieces that are read ahead of the client.
const PIECES_MAX: usize = 2;

/// What the reading task hands over: bytes, the proper end, or an error.
type Piece = Result<Option<Vec<u8>>, Status>;

/// A reader, which makes room for the next when it is gone.
struct Download {
    reader: BlockReader,
    _room: OwnedSemaphorePermit,
}

pub(super) async fn download(
    service: &BlockService,
    id: BlockId,
    span: Span,
) -> Result<Pieces, ServiceError> {
    let room = service.downloads.clone().try_acquire_owned().map_err(|_: TryAcquireError| {
        ServiceError::Busy { what: "downloads", running: service.downloads_max }
    })?;
    let store = service.store.clone();
    let begin = move || Ok(Download { reader: store.read(id, span)?, _room: room });
    let download = OffThread::make(begin).await?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(send(id, download, sender));
    Ok(Pieces(receiver))
}

/// Reads and sends until the end, an error, or until the client has gone or takes nothing any more.
async fn send(id: BlockId, mut download: OffThread<Download>, pieces: mpsc::Sender<Piece>) {
    let begun = Instant::now();
    let mut size = 0;
    loop {
        let piece = download.with(|download| download.reader.read()).await;
        let read = piece.as_ref().ok().and_then(Option::as_ref).map(Vec::len);
        let sent = timeout(IDLE_MAX, pieces.send(piece.map_err(Status::from))).await;
        match (read, sent) {
            (Some(read), Ok(Ok(()))) => size += read,
            (None, Ok(Ok(()))) => break,
            (_, Ok(Err(_)) | Err(_)) => {
                tracing::debug!(block_id = %id, size, "download broken off by the client");
                return;
            }
        }
    }
    tracing::debug!(block_id = %id, size, duration_ms = milliseconds_since(begun), "block sent");
}

/// The answer to a download. A task that ends without having said so must not look like the block's end.
#[derive(Debug)]
pub struct Pieces(mpsc::Receiver<Piece>);

impl Stream for Pieces {
    type Item = Result<DownloadResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.0.poll_recv(context)) {
            Some(Ok(Some(data))) => Some(Ok(DownloadResponse { data })),
            Some(Ok(None)) => None,
            Some(Err(status)) => Some(Err(status)),
            None => Some(Err(Status::aborted("the download ended before its end"))),
        })
    }
}
