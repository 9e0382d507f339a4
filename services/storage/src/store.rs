//! Blocks on disk: each a file under the name of the digest of its bytes.
//!
//! ```text
//! blocks/ab/bafk…abc     a block; the folder is the last letters but one of the name, so that no folder
//!                        grows large. What is here is whole and durable
//! incoming/…             a block that is being written, locked by whoever writes it
//! ```
//!
//! A block is written to `incoming`, synced, given its name in one step, and the folder synced. Several
//! processes may share one store. Everything here blocks; callers on an async runtime use a thread.

mod block_id;
mod error;
mod incoming;
mod layout;
mod listing;
mod reader;
mod writer;

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use self::layout::{Layout, Shard};
pub use self::{
    block_id::{BlockId, BlockIdError, HashAlgorithm},
    error::StoreError,
    listing::Page,
    reader::{BlockReader, Span},
    writer::{BlockWriter, Expectation, Stored},
};

/// What is known about a block without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub id: BlockId,
    /// Bytes.
    pub size: u64,
    /// When it was stored for the first time.
    pub created_at: SystemTime,
}

/// A folder of blocks. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    size_max: u64,
    /// The shards whose own directory entry is known to be durable.
    durable: Mutex<HashSet<Shard>>,
}

impl Store {
    /// Opens the store in `directory`, making it if there is none. Blocks may have `size_max` bytes.
    /// Takes the same short time whatever the store holds.
    pub fn open(directory: &Path, size_max: u64) -> Result<Self, StoreError> {
        let layout = Layout::new(directory);
        for folder in [layout.blocks(), layout.incoming()] {
            layout::create_folder(folder)?;
        }
        layout::sync(directory)?;
        Ok(Self { inner: Arc::new(Inner { layout, size_max, durable: Mutex::default() }) })
    }

    /// Removes what writers that have died left behind, and says how many files that were.
    pub fn remove_leftovers(&self) -> Result<usize, StoreError> {
        incoming::remove_leftovers(self.inner.layout.incoming())
    }

    /// Begins a block.
    pub fn write(&self, expectation: Expectation) -> Result<BlockWriter, StoreError> {
        BlockWriter::begin(self.clone(), expectation)
    }

    /// Opens a part of a block for reading. What is open can be read to its end after a delete.
    pub fn read(&self, id: BlockId, span: Span) -> Result<BlockReader, StoreError> {
        BlockReader::open(&self.inner.layout.block(&id), id, span)
    }

    /// What is known about a block.
    pub fn stat(&self, id: BlockId) -> Result<Block, StoreError> {
        let path = self.inner.layout.block(&id);
        let metadata = fs::metadata(&path).map_err(StoreError::of_block(id, "look at", &path))?;
        let created_at = metadata.modified().map_err(StoreError::of_block(id, "date", &path))?;
        Ok(Block { id, size: metadata.len(), created_at })
    }

    /// Forgets a block; durable when it returns.
    pub fn delete(&self, id: BlockId) -> Result<(), StoreError> {
        let path = self.inner.layout.block(&id);
        fs::remove_file(&path).map_err(StoreError::of_block(id, "delete", &path))?;
        layout::sync(&self.inner.layout.shard(id.shard()))
    }

    /// The first `length` blocks after `after`, in the store's order.
    pub fn list(&self, after: Option<BlockId>, length: usize) -> Result<Page, StoreError> {
        listing::list(self, after, length)
    }

    fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Makes sure that the shard's folder is there and stays there after a crash.
    fn prepare(&self, shard: Shard) -> Result<(), StoreError> {
        let durable = || self.inner.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable().contains(&shard) {
            return Ok(());
        }
        layout::create_folder(&self.inner.layout.shard(shard))?;
        // Another process may have made the folder and not be done with syncing it.
        layout::sync(self.inner.layout.blocks())?;
        durable().insert(shard);
        Ok(())
    }
}
