//! A block on its way in.

use std::fs;

use super::{
    BlockId, HashAlgorithm, Store, StoreError,
    block_id::Hasher,
    incoming::{Incoming, Placed},
    layout,
};

/// What a new block has to turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// This block, of this many bytes if that is known.
    Id(BlockId, Option<u64>),
    /// Any block, named by this digest, of this many bytes if that is known.
    Any(HashAlgorithm, Option<u64>),
}

impl Expectation {
    fn algorithm(&self) -> HashAlgorithm {
        match self {
            Self::Id(id, _) => id.algorithm(),
            Self::Any(algorithm, _) => *algorithm,
        }
    }

    fn size(&self) -> Option<u64> {
        match self {
            Self::Id(_, size) | Self::Any(_, size) => *size,
        }
    }

    fn check(&self, actual: BlockId, size: u64) -> Result<(), StoreError> {
        if let Some(expected) = self.size().filter(|expected| *expected != size) {
            return Err(StoreError::SizeMismatch { expected, actual: size });
        }
        match *self {
            Self::Id(expected, _) if expected != actual => {
                Err(StoreError::DigestMismatch { expected, actual })
            }
            Self::Id(..) | Self::Any(..) => Ok(()),
        }
    }
}

/// A block that has been stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub id: BlockId,
    /// Bytes.
    pub size: u64,
    /// False if the same block was there already.
    pub created: bool,
}

/// A block that is being written. Dropping it before [`finish`](Self::finish) leaves nothing.
#[derive(Debug)]
pub struct BlockWriter {
    store: Store,
    expectation: Expectation,
    incoming: Incoming,
    hasher: Hasher,
    size: u64,
}

impl BlockWriter {
    pub(super) fn begin(store: Store, expectation: Expectation) -> Result<Self, StoreError> {
        let size_max = store.inner.size_max;
        if expectation.size().is_some_and(|size| size > size_max) {
            return Err(StoreError::TooLarge { size_max });
        }
        let incoming = Incoming::create(store.layout().incoming())?;
        let hasher = Hasher::new(expectation.algorithm());
        Ok(Self { store, expectation, incoming, hasher, size: 0 })
    }

    /// Adds bytes. Fails as soon as there are too many.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let added = u64::try_from(bytes.len()).expect("memory is addressed by 64 bits at most");
        let actual = self.size.saturating_add(added);
        if let Some(expected) = self.expectation.size().filter(|expected| actual > *expected) {
            return Err(StoreError::SizeMismatch { expected, actual });
        }
        let size_max = self.store.inner.size_max;
        if actual > size_max {
            return Err(StoreError::TooLarge { size_max });
        }
        self.hasher.update(bytes);
        self.incoming.write(bytes)?;
        self.size = actual;
        Ok(())
    }

    /// Makes durable what has been written, which is what takes long; [`finish`](Self::finish) does so
    /// as well.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.incoming.sync()
    }

    /// Checks the expectation, and keeps the block: durable when this returns.
    pub fn finish(self) -> Result<Stored, StoreError> {
        let Self { store, expectation, incoming, hasher, size } = self;
        let id = hasher.finish();
        expectation.check(id, size)?;
        incoming.sync()?;
        store.prepare(id.shard())?;
        let path = store.layout().block(&id);
        let placed = incoming.place(&path)?;
        if let Err(error) = layout::sync(&store.layout().shard(id.shard())) {
            // What was there before is not ours to take away.
            if placed == Placed::New
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::error!(%error, block_id = %id, "could not remove a block that is not durable");
            }
            return Err(error);
        }
        Ok(Stored { id, size, created: placed == Placed::New })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_bytes_are_refused_before_they_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 5).unwrap();
        let mut writer = store.write(Expectation::Any(HashAlgorithm::Blake3, Some(3))).unwrap();
        writer.write(b"123").unwrap();
        let error = writer.write(b"4").unwrap_err();
        assert!(matches!(error, StoreError::SizeMismatch { expected: 3, actual: 4 }), "{error}");
        let mut writer = store.write(Expectation::Any(HashAlgorithm::Blake3, None)).unwrap();
        let error = writer.write(b"123456").unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { size_max: 5 }), "{error}");
    }
}
