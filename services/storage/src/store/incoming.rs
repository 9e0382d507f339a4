//! A file that is being written, before it has a name among the blocks.
//!
//! It is locked for as long as its writer lives, so that whoever cleans up, maybe another process on
//! the same store, knows the abandoned from the living without asking when either was started.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{StoreError, layout};

/// How often a name may turn out to be taken.
const ATTEMPTS_MAX: usize = 16;

/// Was the name free that a file was to be given?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It was.
    New,
    /// It was not, and what had it has been replaced.
    Again,
}

/// The file. Dropping it removes it, unless it has been [placed](Self::place).
#[derive(Debug)]
pub(super) struct Incoming {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Incoming {
    pub(super) fn create(folder: &Path) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let path = folder.join(unique_name());
            match create_locked(&path) {
                Ok(Some(file)) => return Ok(Self { file, path, renamed: false }),
                Ok(None) => {}
                Err(error) => return Err(StoreError::of("create", &path)(error)),
            }
        }
        let taken = io::Error::new(ErrorKind::AlreadyExists, "every name that was tried is taken");
        Err(StoreError::of("create a file in", folder)(taken))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::of("write", &self.path))
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::of("sync", &self.path))
    }

    /// Gives the file its name. If another has it, that one is replaced but lends its date: its bytes
    /// should be the same, and are healed if they are not.
    pub(super) fn place(mut self, path: &Path) -> Result<Placed, StoreError> {
        match fs::hard_link(&self.path, path) {
            Ok(()) => return Ok(Placed::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::of("name", path)(error)),
        }
        // If the other has gone meanwhile, the file keeps its own date.
        if let Ok(date) = fs::metadata(path).and_then(|metadata| metadata.modified()) {
            self.file.set_modified(date).map_err(StoreError::of("date", &self.path))?;
        }
        fs::rename(&self.path, path).map_err(StoreError::of("replace", path))?;
        self.renamed = true;
        Ok(Placed::Again)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "could not remove an incoming file");
        }
    }
}

/// `None` if the name is taken, or was cleaned away before it could be locked.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => fs::remove_file(path).and(Err(error)),
    }
}

/// Processes in containers may have the same id, and names of the dead may be left, hence the time.
fn unique_name() -> String {
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = CREATED.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", process::id(), since_epoch.as_nanos())
}

/// Removes files whose writers are gone.
pub(super) fn remove_leftovers(folder: &Path) -> Result<usize, StoreError> {
    let mut removed = 0;
    for path in layout::names(folder, |name| Some(folder.join(name)))? {
        let path = path?;
        removed += usize::from(remove_abandoned(&path).map_err(StoreError::of("remove", &path))?);
    }
    Ok(removed)
}

fn remove_abandoned(path: &Path) -> io::Result<bool> {
    let removed = File::open(path).and_then(|file| match file.try_lock() {
        Ok(()) => fs::remove_file(path).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    });
    match removed {
        // Its writer was faster.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_writes_any_more_is_a_leftover() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("left"), "half").unwrap();
        let living = Incoming::create(folder.path()).unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 1);
        assert!(living.path.exists() && !folder.path().join("left").exists());
        drop(living);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_a_dead_process_left_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Incoming::create(folder.path()).unwrap();
        assert!(create_locked(&first.path).unwrap().is_none());
    }
}
