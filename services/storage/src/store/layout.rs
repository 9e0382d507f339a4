//! Where things are in the store's folder, and how folders are made and kept.

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{BlockId, StoreError};

/// The letters of a shard's name.
const SHARD_LENGTH: usize = 2;

/// One of the 1024 folders that blocks are spread over. Ordered as its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shard([u8; SHARD_LENGTH]);

impl Shard {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let letters: [u8; SHARD_LENGTH] = name.as_bytes().try_into().ok()?;
        let base32 = |letter: &u8| matches!(letter, b'a'..=b'z' | b'2'..=b'7');
        letters.iter().all(base32).then_some(Self(letters))
    }

    fn name(&self) -> &str {
        str::from_utf8(&self.0).expect("both letters are ASCII")
    }
}

impl BlockId {
    /// The last letters but one: the last holds three bits only, and the first ones are always the same.
    pub(super) fn shard(&self) -> Shard {
        let name = self.to_string();
        let end = name.len() - 1;
        Shard::parse(&name[end - SHARD_LENGTH..end]).expect("a name is base32")
    }
}

/// The paths of a store.
#[derive(Debug)]
pub(super) struct Layout {
    blocks: PathBuf,
    incoming: PathBuf,
}

impl Layout {
    pub(super) fn new(directory: &Path) -> Self {
        Self { blocks: directory.join("blocks"), incoming: directory.join("incoming") }
    }

    pub(super) fn blocks(&self) -> &Path {
        &self.blocks
    }

    pub(super) fn incoming(&self) -> &Path {
        &self.incoming
    }

    pub(super) fn shard(&self, shard: Shard) -> PathBuf {
        self.blocks.join(shard.name())
    }

    pub(super) fn block(&self, id: &BlockId) -> PathBuf {
        self.shard(id.shard()).join(id.to_string())
    }
}

/// Makes a folder that only its owner sees, unless it is there.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(StoreError::of("make the folder", path)),
    }
}

/// Makes the entries of a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::of("sync", folder))
}

/// The names in a folder that make sense as `T`; none if there is no folder.
pub(super) fn names<T>(
    folder: &Path,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<impl Iterator<Item = Result<T, StoreError>>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.map_err(StoreError::of("list", folder))?),
    };
    Ok(entries.into_iter().flatten().filter_map(move |entry| match entry {
        Ok(entry) => parse(entry.file_name().to_str()?).map(Ok),
        Err(error) => Some(Err(StoreError::of("list", folder)(error))),
    }))
}
