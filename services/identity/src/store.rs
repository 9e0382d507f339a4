//! The service's state: one redb file, read from blocking threads and written by one actor.
//!
//! A write is answered when it is on disk. The file is opened at its first use, which the start of the
//! writer is, so that a restarted service accepts calls while it opens.

mod event_log;
mod open;
mod record;
mod writer;

use std::{path::PathBuf, sync::Arc};

use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition};
use tokio::sync::{OnceCell, watch};

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
    #[error("too many changes wait to be written; try again")]
    Busy,
    #[error("the service is stopping")]
    Stopping,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) if is_full(&error) => Self::Full,
            error => Self::Redb(Arc::new(error)),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// An open file, and the seed of the key that signs tokens.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) token_seed: zeroize::Zeroizing<[u8; 32]>,
}

/// The state as everybody reads it. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store {
    path: Arc<PathBuf>,
    opened: Arc<OnceCell<Arc<Opened>>>,
    sequence: watch::Sender<u64>,
}

impl Store {
    /// The state in this file, which is opened at its first use.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), opened: Arc::default(), sequence: watch::Sender::new(0) }
    }

    /// The open file; the first caller opens it.
    pub(crate) async fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let open = || async {
            let path = self.path.clone();
            let opened = tokio::task::spawn_blocking(move || open::open(&path)).await;
            opened.map_err(|_| StoreError::Stopping)?.map(Arc::new)
        };
        self.opened.get_or_try_init(open).await.cloned()
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
