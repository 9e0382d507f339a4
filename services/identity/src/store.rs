//! The service's state: one redb file, read from blocking threads and written by one actor.
//!
//! A write is answered when it is on disk. The file is opened at its first use, which the start of the
//! writer is, so that a restarted service accepts calls while it opens. redb refuses everything after a
//! write that failed, so after one for want of room the file is closed and opened again: what was
//! acknowledged can still be read, and writing goes on when there is room.

mod event_log;
mod open;
mod record;
mod writer;

use std::{path::PathBuf, sync::Arc};

use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};

pub(crate) use event_log::{append_event, events_after, last_sequence};
pub(crate) use record::{AccountRecord, DidRecord};
pub(crate) use writer::{Writer, WriterActor};

/// Identifiers made here, by their text.
pub(crate) const DIDS: TableDefinition<&str, &[u8]> = TableDefinition::new("dids");
/// Accounts by username.
pub(crate) const ACCOUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("accounts");
/// What happened to identifiers, by sequence number.
pub(crate) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// Seeds of signing keys by purpose.
const KEYS: TableDefinition<&str, &[u8]> = TableDefinition::new("keys");
/// Facts about the file.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Why the state could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("could not open `{path}`{hint}")]
    Open { path: PathBuf, hint: &'static str, source: Arc<redb::Error> },
    #[error("could not use the state on disk")]
    Redb(#[source] Arc<redb::Error>),
    #[error("a record on disk cannot be read")]
    Record(#[source] prost::DecodeError),
    #[error("the disk is full: nothing was changed")]
    Full,
    #[error("the state on disk is being opened again after a change that failed; try again")]
    Reopening,
    #[error("too many changes wait to be written; try again")]
    Busy,
    #[error("the service is stopping")]
    Stopping,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) if is_full(&error) => Self::Full,
            redb::Error::PreviousIo => Self::Reopening,
            error => Self::Redb(Arc::new(error)),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// An open file, and the seed of the key that signs tokens.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) token_seed: zeroize::Zeroizing<[u8; 32]>,
}

/// Keeps the file from being closed.
pub(crate) type OpenFile = OwnedRwLockReadGuard<Option<Opened>, Opened>;

/// The state as everybody reads it. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store {
    path: Arc<PathBuf>,
    opened: Arc<RwLock<Option<Opened>>>,
    sequence: watch::Sender<u64>,
}

impl Store {
    /// The state in this file, which is opened at its first use.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), opened: Arc::default(), sequence: watch::Sender::new(0) }
    }

    /// The open file; the first caller opens it. It stays open as long as the answer is held.
    pub(crate) async fn opened(&self) -> Result<OpenFile, StoreError> {
        let held = self.opened.clone().read_owned().await;
        if let Ok(file) = OwnedRwLockReadGuard::try_map(held, Option::as_ref) {
            return Ok(file);
        }
        let mut opened = self.opened.clone().write_owned().await;
        if opened.is_none() {
            let path = self.path.clone();
            let file = tokio::task::spawn_blocking(move || open::open(&path)).await;
            *opened = Some(file.map_err(|_| StoreError::Stopping)??);
        }
        Ok(OwnedRwLockReadGuard::map(opened.downgrade(), |file| {
            file.as_ref().expect("it was opened just now")
        }))
    }

    /// Closes the file once nobody uses it; its next user opens it again.
    async fn close(&self) -> Result<(), StoreError> {
        let closed = self.opened.clone().write_owned().await.take();
        tokio::task::spawn_blocking(move || drop(closed)).await.map_err(|_| StoreError::Stopping)
    }

    /// Reads a consistent state on a blocking thread.
    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let opened = self.opened().await?;
        let read = move || {
            let transaction = opened.database.begin_read().map_err(StoreError::from)?;
            work(&transaction)
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Stopping)?
    }

    /// Changes whenever events were written; the value means nothing more.
    pub(crate) fn events_written(&self) -> watch::Receiver<u64> {
        self.sequence.subscribe()
    }

    fn written(&self) {
        self.sequence.send_modify(|written| *written = written.wrapping_add(1));
    }
}
