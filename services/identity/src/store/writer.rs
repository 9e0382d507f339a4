//! The writer: changes that wait are written together, with one fsync for all of them.
//!
//! A change that refuses (a name is taken) must do so before it writes anything, because the others in
//! its batch are committed with it.

use ractor::{Actor, ActorProcessingErr, ActorRef};
use redb::{Database, WriteTransaction};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Store, StoreError};

/// Changes that may wait; further ones are refused.
const WAITING_MAX: usize = 1024;

/// Changes in one commit.
const BATCH_MAX: usize = 256;

/// Makes its change, and says whom to tell about the commit.
type Job = Box<dyn FnOnce(&WriteTransaction) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// How changes are made.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// The way to the writer, and what waits on it.
    pub(crate) fn new() -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), Waiting(receiver))
    }

    /// Makes a change, and gives its outcome once it is on disk. An error of `change` itself is given
    /// as it is; `change` must not have written anything then.
    pub(crate) async fn write<T, E>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let outcome = change(transaction);
            Box::new(move |committed| {
                let outcome = outcome.and_then(|value| Ok(committed.map(|()| value)?));
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            })
        });
        self.0.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Stopping,
        })?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Stopping.into()))
    }
}

/// Changes that wait for the writer.
pub(crate) struct Waiting(mpsc::Receiver<Job>);

/// The writer as an actor. It opens the file, and fails, and the service with it, if that cannot be
/// done or the file cannot be written for another reason than a full disk: a new process may do better.
pub(crate) struct WriterActor;

impl Actor for WriterActor {
    /// How the writing ended.
    type Msg = StoreError;
    type State = Writing;
    type Arguments = (Store, Waiting);

    async fn pre_start(
        &self,
        myself: ActorRef<StoreError>,
        (store, waiting): (Store, Waiting),
    ) -> Result<Writing, ActorProcessingErr> {
        Ok(Writing(tokio::spawn(async move {
            if let Err(error) = write_all(&store, waiting).await {
                // An actor that is gone has ended this by its drop.
                let _ = myself.cast(error);
            }
        })))
    }

    async fn handle(
        &self,
        _: ActorRef<StoreError>,
        error: StoreError,
        _: &mut Writing,
    ) -> Result<(), ActorProcessingErr> {
        Err(chain(&error).into())
    }
}

/// The work of writing, which ends with the actor.
pub(crate) struct Writing(JoinHandle<()>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn write_all(store: &Store, mut waiting: Waiting) -> Result<(), StoreError> {
    drop(store.opened().await?);
    let mut jobs = Vec::new();
    while waiting.0.recv_many(&mut jobs, BATCH_MAX).await > 0 {
        let (opened, batch) = (store.opened().await?, std::mem::take(&mut jobs));
        let written = tokio::task::spawn_blocking(move || write(&opened.database, batch)).await;
        match written.map_err(|_| StoreError::Stopping)? {
            Ok(()) => store.written(),
            // There may be room for the next change, and nobody needs room to read. If the disk refused
            // for another reason, the next opening will find out.
            Err(error @ (StoreError::Full | StoreError::Reopening)) => {
                tracing::error!(%error, "changes were refused; the state is opened again");
                store.close().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write(database: &Database, batch: Vec<Job>) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let answers: Vec<Answer> = batch.into_iter().map(|job| job(&transaction)).collect();
    let committed = transaction.commit().map_err(StoreError::from);
    for answer in answers {
        answer(committed.clone());
    }
    committed
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
