//! What can go wrong with a store.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::BlockId;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such block.
    #[error("there is no block `{0}`")]
    NotFound(BlockId),
    /// Reading was to begin after the last byte.
    #[error("the offset {offset} is beyond the end of block `{id}`, which has {size} bytes")]
    BeyondEnd {
        /// Of the block.
        id: BlockId,
        /// Where reading was to begin.
        offset: u64,
        /// How many bytes there are.
        size: u64,
    },
    /// The bytes are not the ones that were stored.
    #[error(
        "the bytes of block `{0}` have changed on disk\nhint: upload it again; that replaces it"
    )]
    Corrupt(BlockId),
    /// The bytes have another digest than the expected one.
    #[error("the block is `{actual}`, and `{expected}` was expected")]
    DigestMismatch {
        /// What was announced.
        expected: BlockId,
        /// What came.
        actual: BlockId,
    },
    /// There are more or fewer bytes than expected.
    #[error("{actual} bytes came, and {expected} were expected")]
    SizeMismatch {
        /// What was announced.
        expected: u64,
        /// What had come when the difference was noticed.
        actual: u64,
    },
    /// The block is larger than the setting allows.
    #[error(
        "a block may have at most {size_max} bytes\nhint: `size_max` in the service's settings"
    )]
    TooLarge {
        /// The setting.
        size_max: u64,
    },
    /// The disk, or a quota or limit on it, is full.
    #[error("no space is left for `{path}`", path = path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process, or the host, has as many files open as it may.
    #[error(
        "could not {action} `{path}`: too many files are open\n\
         hint: `files_max` in the service's resources", path = path.display()
    )]
    NoDescriptors {
        /// What was being done to it.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file or folder of the store could not be used.
    #[error("could not {action} `{path}`", path = path.display())]
    Io {
        /// What was being done to it.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl StoreError {
    /// What the failure of an action on a path means.
    pub(super) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    Self::Full { path, source }
                }
                _ if has_no_descriptors(&source) => Self::NoDescriptors { action, path, source },
                _ => Self::Io { action, path, source },
            }
        }
    }

    /// The same, where an absent file means that there is no such block.
    pub(super) fn of_block(
        id: BlockId,
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            ErrorKind::NotFound => Self::NotFound(id),
            _ => Self::of(action, path)(source),
        }
    }
}

fn has_no_descriptors(error: &io::Error) -> bool {
    let limits = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| limits.contains(&number))
}
