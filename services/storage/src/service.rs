//! The gRPC methods of `blackhole.storage.v1.StorageService`.
//!
//! Input is checked here and turned into the store's words; files are the store's business.

mod download;
mod error;
mod input;
mod off_thread;
mod upload;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use blackhole_protocol::storage::v1::{
    Block as BlockMessage, DeleteRequest, DeleteResponse, DownloadRequest, ListRequest,
    ListResponse, StatRequest, StatResponse, UploadRequest, UploadResponse,
    storage_service_server::{StorageService, StorageServiceServer},
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use self::{download::Pieces, error::ServiceError, off_thread::off_thread};
use crate::{Block, HashAlgorithm, Settings, Store};

/// How long a client may neither send nor take anything in the middle of a transfer.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// Answers for a store. Clones answer for the same one and share its bounds.
#[derive(Debug, Clone)]
pub struct BlockService {
    store: Store,
    hash: HashAlgorithm,
    uploads: Arc<Semaphore>,
    uploads_max: u16,
    downloads: Arc<Semaphore>,
    downloads_max: u16,
}

impl BlockService {
    /// Serves `store`, within the bounds of `settings`.
    pub fn new(store: Store, settings: &Settings) -> Self {
        Self {
            store,
            hash: settings.hash,
            uploads: Arc::new(Semaphore::new(settings.uploads_max.into())),
            uploads_max: settings.uploads_max,
            downloads: Arc::new(Semaphore::new(settings.downloads_max.into())),
            downloads_max: settings.downloads_max,
        }
    }

    /// What a tonic router takes.
    pub fn into_server(self) -> StorageServiceServer<Self> {
        StorageServiceServer::new(self).max_decoding_message_size(input::MESSAGE_SIZE_MAX)
    }
}

#[tonic::async_trait]
impl StorageService for BlockService {
    type DownloadStream = Pieces;

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        let begun = Instant::now();
        let stored = upload::upload(self, request.into_inner()).await?;
        let (size, created) = (stored.size, stored.created);
        let duration_ms = milliseconds_since(begun);
        tracing::info!(block_id = %stored.id, size, created, duration_ms, "block stored");
        Ok(Response::new(UploadResponse { cid: stored.id.to_string(), size, created }))
    }

    async fn download(
        &self,
        request: Request<DownloadRequest>,
    ) -> Result<Response<Pieces>, Status> {
        let request = request.into_inner();
        let id = input::block_id("cid", &request.cid)?;
        let pieces = download::download(self, id, input::span(&request)).await?;
        Ok(Response::new(pieces))
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let id = input::block_id("cid", &request.into_inner().cid)?;
        let store = self.store.clone();
        let block = off_thread(move || store.stat(id)).await?;
        Ok(Response::new(StatResponse { block: Some(message(block)) }))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let begun = Instant::now();
        let id = input::block_id("cid", &request.into_inner().cid)?;
        let store = self.store.clone();
        off_thread(move || store.delete(id)).await?;
        tracing::info!(block_id = %id, duration_ms = milliseconds_since(begun), "block deleted");
        Ok(Response::new(DeleteResponse {}))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let request = request.into_inner();
        let length = input::page_size(request.page_size)?;
        let after = input::page_token(&request.page_token)?;
        let store = self.store.clone();
        let page = off_thread(move || store.list(after, length)).await?;
        Ok(Response::new(ListResponse {
            blocks: page.blocks.into_iter().map(message).collect(),
            next_page_token: page.next.map(|next| next.to_string()).unwrap_or_default(),
        }))
    }
}

fn message(block: Block) -> BlockMessage {
    BlockMessage {
        cid: block.id.to_string(),
        size: block.size,
        hash_algorithm: input::message_of(block.id.algorithm()).into(),
        created_at: Some(block.created_at.into()),
    }
}

fn milliseconds_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
