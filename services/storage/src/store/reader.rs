//! A block on its way out.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{BlockId, StoreError, block_id::Hasher};

/// How much is read at a time, in bytes.
const PIECE: u64 = 128 << 10;

/// A part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Where to begin, in bytes.
    pub offset: u64,
    /// How many bytes at most; `None` for up to the end.
    pub length: Option<u64>,
}

/// A block, or a part of one, that is being read.
#[derive(Debug)]
pub struct BlockReader {
    id: BlockId,
    file: File,
    path: PathBuf,
    remaining: u64,
    /// Only what is read as a whole can be verified.
    hasher: Option<Hasher>,
}

impl BlockReader {
    pub(super) fn open(path: &Path, id: BlockId, span: Span) -> Result<Self, StoreError> {
        let mut file = File::open(path).map_err(StoreError::of_block(id, "open", path))?;
        let size = file.metadata().map_err(StoreError::of("look at", path))?.len();
        let Span { offset, length } = span;
        let left = size.checked_sub(offset).ok_or(StoreError::BeyondEnd { id, offset, size })?;
        let remaining = length.map_or(left, |length| length.min(left));
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(StoreError::of("read", path))?;
        }
        let hasher = (remaining == size).then(|| Hasher::new(id.algorithm()));
        Ok(Self { id, file, path: path.to_owned(), remaining, hasher })
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes, at most 128 KiB; `None` at the end. The end of a whole block is an error if the
    /// bytes were not the ones that its name stands for.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.remaining == 0 {
            return self.verify().map(|()| None);
        }
        let wanted = self.remaining.min(PIECE);
        let mut bytes = vec![0; usize::try_from(wanted).expect("a piece is small")];
        match self.file.read_exact(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(StoreError::Corrupt(self.id));
            }
            read => read.map_err(StoreError::of("read", &self.path))?,
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        self.remaining -= wanted;
        Ok(Some(bytes))
    }

    fn verify(&mut self) -> Result<(), StoreError> {
        let actual = self.hasher.take().map(Hasher::finish);
        if actual.is_none_or(|actual| actual == self.id) {
            Ok(())
        } else {
            Err(StoreError::Corrupt(self.id))
        }
    }
}
