//! The half of the workload that stores blocks, and knows which must be there.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use blackhole_protocol::storage::v1::{
    DeleteRequest, DownloadRequest, UploadHeader, UploadRequest,
    storage_service_client::StorageServiceClient, upload_request,
};
use tonic::{Code, Status, transport::Channel};

use super::{
    calls::{CALL_TIMEOUT, connect, is_excused, within},
    journal::Journal,
};
use crate::random::Random;

/// Beyond these the oldest blocks are deleted, each after it was read back.
const BLOCKS_MAX: usize = 250;
const BYTES_MAX: u64 = 24 << 20;
/// Blocks that are gone, of which it is still checked that they stay gone.
const DELETED_MAX: usize = 100;
/// Sent in one message.
const CHUNK: usize = 64 << 10;

/// Blocks by what is known of them.
pub(super) struct Blocks {
    client: StorageServiceClient<Channel>,
    journal: Journal,
    known: Mutex<Vec<Block>>,
}

#[derive(Debug, Clone)]
struct Block {
    cid: String,
    contents: Contents,
    standing: Standing,
}

/// What the service has acknowledged about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Kept,
    Deleted,
    /// A deletion was not answered: it is there, whole, or it is not.
    Unclear,
}

/// Bytes that a number stands for.
#[derive(Debug, Clone, Copy)]
struct Contents {
    seed: u64,
    length: usize,
}

impl Contents {
    fn draw(random: &mut Random) -> Self {
        let length_max = match random.between(0, 10) {
            0 => 1 << 20,
            1..4 => 100_000,
            _ => 5_000,
        };
        let length = usize::try_from(random.between(1, length_max)).expect("a length");
        Self { seed: random.next(), length }
    }

    fn bytes(self) -> Vec<u8> {
        Random::new(self.seed).bytes(self.length)
    }
}

impl Blocks {
    pub(super) fn new(socket: &Path, journal: Journal) -> Self {
        let client = StorageServiceClient::new(connect(socket));
        Self { client, journal, known: Mutex::default() }
    }

    /// Stores a block that was never stored before.
    pub(super) async fn store(&self, random: &mut Random) {
        let contents = Contents::draw(random);
        match upload(self.client.clone(), &contents.bytes()).await {
            Ok(cid) => self.known().push(Block { cid, contents, standing: Standing::Kept }),
            Err(status) => self.judge("an upload", &status),
        }
    }

    /// Reads a block that must be there.
    pub(super) async fn read(&self, random: &mut Random) {
        let block = {
            let known = self.known();
            if known.is_empty() {
                return;
            }
            random.one_of(&known).clone()
        };
        if block.standing == Standing::Kept {
            self.check(&self.client, &block, Excuses::Abuse).await;
        }
    }

    /// Reads the oldest block back and deletes it, when there are too many. One that could not be read now
    /// is the oldest the next time as well.
    pub(super) async fn make_room(&self) {
        let Some(block) = self.next_to_delete() else { return };
        let is_there = self.check(&self.client, &block, Excuses::Abuse).await;
        if !is_there || !self.begins_deletion(&block.cid) {
            return;
        }
        let request = DeleteRequest { cid: block.cid.clone() };
        let deleted = within(self.client.clone().delete(request)).await;
        let standing = match deleted {
            Ok(_) => Standing::Deleted,
            Err(status) => {
                self.judge("a deletion", &status);
                Standing::Unclear
            }
        };
        self.enter(&block.cid, standing);
        self.forget();
    }

    /// Looks for every block. Nothing is excused, because nothing is abused.
    pub(super) async fn verify(&self, socket: &Path) -> usize {
        let client = StorageServiceClient::new(connect(socket));
        let all = self.known().clone();
        for block in &all {
            if self.journal.is_hopeless() {
                break;
            }
            self.check(&client, block, Excuses::None).await;
        }
        all.len()
    }

    /// Whether the block was seen to be there, whole.
    async fn check(
        &self,
        client: &StorageServiceClient<Channel>,
        block: &Block,
        excuses: Excuses,
    ) -> bool {
        let Block { cid, contents, standing } = block;
        let violated = |what: &str| self.journal.violated(format!("the block {cid} {what}"));
        match (download(client.clone(), cid).await, standing) {
            (Ok(_), Standing::Deleted) => violated("is back after its deletion"),
            (Ok(bytes), Standing::Kept | Standing::Unclear) => {
                if bytes == contents.bytes() {
                    return true;
                }
                violated(&format!("has other bytes: {} of them", bytes.len()));
            }
            (Err(status), Standing::Deleted | Standing::Unclear)
                if status.code() == Code::NotFound => {}
            (Err(status), _) => {
                if excuses == Excuses::None || !is_excused(&status) {
                    // Somebody may have asked for its deletion meanwhile.
                    if self.standing_of(cid) == Some(*standing) {
                        violated(&format!("could not be read: {}", shown(&status)));
                    }
                }
            }
        }
        false
    }

    fn next_to_delete(&self) -> Option<Block> {
        let known = self.known();
        let kept = || known.iter().filter(|block| block.standing == Standing::Kept);
        let bytes: u64 = kept().map(|block| block.contents.length as u64).sum();
        if kept().count() <= BLOCKS_MAX && bytes <= BYTES_MAX {
            return None;
        }
        kept().next().cloned()
    }

    /// From the moment of the question on it is unclear whether the block is there. `false` when somebody
    /// else has asked meanwhile.
    fn begins_deletion(&self, cid: &str) -> bool {
        let mut known = self.known();
        let kept = known.iter_mut().find(|it| it.cid == cid && it.standing == Standing::Kept);
        kept.map(|block| block.standing = Standing::Unclear).is_some()
    }

    fn enter(&self, cid: &str, standing: Standing) {
        if let Some(block) = self.known().iter_mut().find(|block| block.cid == cid) {
            block.standing = standing;
        }
    }

    fn standing_of(&self, cid: &str) -> Option<Standing> {
        self.known().iter().find(|block| block.cid == cid).map(|block| block.standing)
    }

    fn forget(&self) {
        let mut known = self.known();
        let gone = known.iter().filter(|block| block.standing != Standing::Kept).count();
        let mut too_many = gone.saturating_sub(DELETED_MAX);
        known.retain(|block| {
            let goes = block.standing != Standing::Kept && too_many > 0;
            too_many -= usize::from(goes);
            !goes
        });
    }

    fn judge(&self, what: &str, status: &Status) {
        if !is_excused(status) {
            self.journal.violated(format!("{what} failed: {}", shown(status)));
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Block>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excuses {
    Abuse,
    None,
}

async fn upload(mut client: StorageServiceClient<Channel>, bytes: &[u8]) -> Result<String, Status> {
    let header = upload_request::Message::Header(UploadHeader::default());
    let data = bytes.chunks(CHUNK).map(|chunk| upload_request::Message::Data(chunk.to_vec()));
    let messages: Vec<UploadRequest> = std::iter::once(header)
        .chain(data)
        .map(|message| UploadRequest { message: Some(message) })
        .collect();
    Ok(within(client.upload(tokio_stream::iter(messages))).await?.cid)
}

async fn download(mut client: StorageServiceClient<Channel>, cid: &str) -> Result<Vec<u8>, Status> {
    let request = DownloadRequest { cid: cid.to_owned(), ..DownloadRequest::default() };
    let reading = async {
        let mut stream = client.download(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = stream.message().await? {
            bytes.extend(part.data);
        }
        Ok(bytes)
    };
    let read = tokio::time::timeout(CALL_TIMEOUT, reading).await;
    read.unwrap_or_else(|_| Err(Status::deadline_exceeded("the download took too long")))
}

/// A status for people, with its cause.
pub(super) fn shown(status: &Status) -> String {
    let cause = std::error::Error::source(status).map(|cause| format!(" ({cause})"));
    format!("{:?}: {}{}", status.code(), status.message(), cause.unwrap_or_default())
}
