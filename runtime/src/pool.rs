//! Work on crash-proof processes: a job that takes its process down loses itself and nothing else.
//!
//! The workers are the instances of one service: the node starts them, replaces them when they die, and
//! their number changes at run time, by [`Pool::resize`] or by whoever else scales the service. A [`Pool`]
//! gives each job to a free worker, one at a time, and tells whoever waits for a job what became of the
//! process under it. Which workers there are it asks the node's registry, for each job.
//!
//! It is what OTP's `simple_one_for_one` is for: children of one kind, as many as are wanted now. They are
//! counted and not named, because who asks for a worker wants any.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use blackhole_protocol::{InstanceId, Name};
use blackhole_sdk::{
    CallError, Context, ExitReason, Failure, Lost, Message, Reply, Routes, Service, ServiceError,
    message::{DecodeError, Decoder, EncodeError, Encoder},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;

use crate::{NodeHandle, NodeHandleError, Remote, registry::State};

/// What the workers of a pool do, one job at a time, each in a process of its own.
///
/// ```
/// /// Sums up, and dies of a number that it does not like.
/// struct Sum;
///
/// impl blackhole::Work for Sum {
///     const NAME: &'static str = "sum";
///     type Job = Vec<u64>;
///     type Output = u64;
///
///     fn run(job: Vec<u64>) -> u64 {
///         if job.contains(&13) { std::process::abort() }
///         job.iter().sum()
///     }
/// }
/// ```
pub trait Work: Send + Sync + 'static {
    /// What the service is called where no other name is given.
    const NAME: &'static str;
    /// What is to be done; with its output at most 1 MiB encoded.
    type Job: Serialize + DeserializeOwned + Send + 'static;
    /// What came of it.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Does it. May take as long as its caller gives it, use its processor whole, and crash.
    fn run(job: Self::Job) -> Self::Output;
}

/// How long the death of a worker may take to be known.
const EXIT_WAIT_MAX: Duration = Duration::from_secs(5);
/// What a worker's actor is called in its process.
const WORKER: &str = "worker";

/// Why a job has no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The process died under the job.
    #[error("worker `{worker}` (generation {generation}) died over the job: {reason}")]
    WorkerDied {
        /// Which process.
        worker: InstanceId,
        /// Which incarnation.
        generation: u64,
        /// As the node's history has it.
        reason: ExitReason,
    },
    /// The job panicked; the worker lives.
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// The job was not done in time; its worker is being replaced.
    #[error("the job was not done within {within:?}")]
    DeadlineExceeded {
        /// What it was given.
        within: Duration,
    },
    /// The job did not reach a worker, or its output did not come back.
    #[error("could not have the job done")]
    Call(#[source] CallError),
    /// The pool could not be changed.
    #[error("could not resize the pool")]
    Resize(#[source] NodeHandleError),
}

/// Workers of one kind; clones are the same pool.
pub struct Pool<W: Work> {
    shared: Arc<Shared<W>>,
}

struct Shared<W: Work> {
    node: NodeHandle,
    service: Name,
    crew: Arc<Crew>,
    work: std::marker::PhantomData<fn() -> W>,
}

/// Who of a service's workers is free: known once for each service of a node, however many pools there are.
#[derive(Default)]
pub(crate) struct Crew {
    /// Workers that have a job, or are about to go.
    busy: Mutex<BTreeSet<NonZeroU32>>,
    freed: Notify,
    /// One change of size at a time.
    resizing: tokio::sync::Mutex<()>,
}

/// The crews of a node.
#[derive(Default)]
pub(crate) struct Crews(Mutex<HashMap<Name, Arc<Crew>>>);

impl Crews {
    fn of(&self, service: &Name) -> Arc<Crew> {
        let mut crews = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crews.entry(service.clone()).or_default().clone()
    }
}

impl Crew {
    fn busy(&self) -> MutexGuard<'_, BTreeSet<NonZeroU32>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> Clone for Pool<W> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<W: Work> fmt::Debug for Pool<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("service", &self.shared.service)
            .field("busy", &*self.shared.crew.busy())
            .finish_non_exhaustive()
    }
}

impl<W: Work> Pool<W> {
    /// The pool of a node's service.
    pub(crate) fn new(node: NodeHandle, service: Name) -> Self {
        let crew = node.crews().of(&service);
        Self { shared: Arc::new(Shared { node, service, crew, work: std::marker::PhantomData }) }
    }

    /// How many workers there are; those that are about to go count until they are gone.
    pub fn size(&self) -> u32 {
        u32::try_from(self.shared.node.workers(&self.shared.service).len()).unwrap_or(u32::MAX)
    }

    /// Has a job done by the first worker that is free, a ready one before others; waits for one while all are
    /// busy. `within` begins when there is one. A worker that dies is replaced by the node; the job is not tried
    /// again.
    ///
    /// A caller that loses interest drops the future; the worker finishes the job all the same.
    ///
    /// # Errors
    /// When the worker died, the job panicked, or the time was over: then the worker ends as well, so
    /// that what hangs in it does not block the next job.
    pub async fn submit(&self, job: W::Job, within: Duration) -> Result<W::Output, PoolError> {
        let worker = self.acquire(None).await;
        let shared = self.shared.clone();
        // Until it is done its worker is not free.
        to_its_end(async move { shared.have_done(&worker, job, within).await }).await
    }

    /// Grows the pool, or shrinks it: the workers that go finish their jobs first. Waits for that.
    ///
    /// # Errors
    /// When the number is 0 or above 1000, or the node is ending.
    pub async fn resize(&self, size: u32) -> Result<(), PoolError> {
        let pool = self.clone();
        to_its_end(async move { pool.change_size(size).await }).await
    }

    async fn change_size(&self, size: u32) -> Result<(), PoolError> {
        let shared = &self.shared;
        let _turn = shared.crew.resizing.lock().await;
        let mut leaving = Vec::new();
        for (index, _) in shared.node.workers(&shared.service) {
            // A size of 0 is refused: nobody goes.
            if size > 0 && index.get() > size {
                leaving.push(self.acquire(Some(index)).await);
            }
        }
        shared.node.scale(shared.service.as_str(), size).await.map_err(PoolError::Resize)
    }

    /// Waits for a worker: any, or this one.
    async fn acquire(&self, wanted: Option<NonZeroU32>) -> Busy<W> {
        let shared = &self.shared;
        let mut changes = shared.node.changes();
        loop {
            let freed = shared.crew.freed.notified();
            tokio::pin!(freed);
            // From here on nothing is missed.
            freed.as_mut().enable();
            changes.mark_unchanged();
            if let Some(index) = shared.take(wanted) {
                return Busy { index, shared: shared.clone() };
            }
            tokio::select! {
                () = freed => {}
                // There may be more workers than before.
                _ = changes.changed() => {}
            }
        }
    }
}

/// Goes on whether or not anybody still waits for it.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, PoolError>> + Send + 'static,
) -> Result<T, PoolError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime that drove it has ended.
            Err(_cancelled) => Err(PoolError::Call(Failure::Unanswered.into())),
        },
    }
}

impl<W: Work> Shared<W> {
    async fn have_done(
        &self,
        worker: &Busy<W>,
        job: W::Job,
        within: Duration,
    ) -> Result<W::Output, PoolError> {
        let worker = InstanceId { service: self.service.clone(), index: worker.index };
        let remote: Remote<Task<W>> = self.node.peers().remote(&worker, WORKER);
        let question = |reply| Task::<W> { job, within, reply };
        // A worker ends itself at the deadline; its caller hears of it before, or learns why it died.
        match remote.call(question, within.saturating_add(EXIT_WAIT_MAX)).await {
            Ok(Done::Output(output)) => Ok(output),
            Ok(Done::Panicked(why)) => Err(PoolError::Panicked(why)),
            Ok(Done::Overran) => {
                self.exit(&worker, remote.generation().unwrap_or_default()).await;
                Err(PoolError::DeadlineExceeded { within })
            }
            Err(CallError::Lost(Lost { generation, .. })) => {
                let reason = self.exit(&worker, generation).await;
                Err(PoolError::WorkerDied { worker, generation, reason })
            }
            Err(CallError::DeadlineExceeded { .. }) => Err(PoolError::DeadlineExceeded { within }),
            Err(error) => Err(PoolError::Call(error)),
        }
    }

    /// Why a worker died, when that is known in time.
    async fn exit(&self, worker: &InstanceId, generation: u64) -> ExitReason {
        let exit = self.node.directory().exit(worker, generation);
        tokio::time::timeout(EXIT_WAIT_MAX, exit).await.unwrap_or(ExitReason::Unknown)
    }

    /// Takes a worker that is free: this one, or whichever is likely to begin first.
    fn take(&self, wanted: Option<NonZeroU32>) -> Option<NonZeroU32> {
        let mut busy = self.crew.busy();
        let index = match wanted {
            Some(index) => Some(index).filter(|index| !busy.contains(index)),
            None => {
                let workers = self.node.workers(&self.service).into_iter();
                let free = workers.filter(|(index, _)| !busy.contains(index));
                let nearest = free.filter_map(|(index, state)| Some((distance(state)?, index)));
                nearest.min().map(|(_, index)| index)
            }
        }?;
        busy.insert(index);
        Some(index)
    }
}

/// How far a worker is from beginning with a job. One whose first process is yet to come, or that is asked to
/// go, gets none: what becomes of it is waited for. One that rests is the last resort: whoever gives it a job
/// is told that it is not there.
fn distance(state: State) -> Option<u8> {
    match state {
        State::Ready => Some(0),
        State::Starting | State::Unready | State::BackingOff => Some(1),
        State::Stopped | State::Completed | State::Failed | State::Disabled => Some(2),
        State::Pending | State::Stopping => None,
    }
}

/// A worker that is not free until this is dropped.
struct Busy<W: Work> {
    index: NonZeroU32,
    shared: Arc<Shared<W>>,
}

impl<W: Work> Drop for Busy<W> {
    fn drop(&mut self) {
        self.shared.crew.busy().remove(&self.index);
        self.shared.crew.freed.notify_waiters();
    }
}

/// What a worker is asked.
pub(crate) struct Task<W: Work> {
    job: W::Job,
    within: Duration,
    reply: Reply<Done<W::Output>>,
}

/// What came of a job.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Done<T> {
    Output(T),
    Panicked(String),
    Overran,
}

/// Both sides are the same program, so the shape is known to be the same.
impl<W: Work> Message for Task<W> {
    const NAME: &'static str = W::NAME;
    const SCHEMA: u64 = 1;

    fn encode(self, encoder: &mut Encoder<'_>) -> Result<(), EncodeError> {
        encoder.variant(0);
        encoder.value(&self.job)?;
        encoder.value(&self.within)?;
        encoder.reply(self.reply);
        Ok(())
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match decoder.variant()? {
            0 => Ok(Self {
                job: decoder.value()?,
                within: decoder.value()?,
                reply: decoder.reply()?,
            }),
            unknown => Err(decoder.unknown_variant(unknown)),
        }
    }
}

/// The service of which each worker is an instance.
pub(crate) struct Working<W>(std::marker::PhantomData<fn() -> W>);

impl<W: Work> Service for Working<W> {
    const NAME: &'static str = W::NAME;
    type Settings = serde::de::IgnoredAny;

    async fn start(context: Context<Self::Settings>) -> Result<Self, ServiceError> {
        context.host(WORKER, Worker::<W>(std::marker::PhantomData), ()).await?;
        Ok(Self(std::marker::PhantomData))
    }

    fn register(&self, _: &mut Routes) {}
}

struct Worker<W>(std::marker::PhantomData<fn() -> W>);

impl<W: Work> Actor for Worker<W> {
    type Msg = Task<W>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Task<W>>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    /// On a thread of its own, so that the process still answers its node.
    async fn handle(
        &self,
        _: ActorRef<Task<W>>,
        task: Task<W>,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Task { job, within, reply } = task;
        let running = tokio::task::spawn_blocking(move || W::run(job));
        match tokio::time::timeout(within, running).await {
            Ok(Ok(output)) => reply.send(Done::Output(output)),
            Ok(Err(panic)) => reply.send(Done::Panicked(panic_text(panic))),
            Err(_elapsed) => {
                reply.send(Done::Overran);
                // Nothing but the end of the process ends what it runs.
                return Err("a job overran its time".into());
            }
        }
        Ok(())
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            text.unwrap_or_else(|| "without a message".to_owned())
        }
        Err(error) => error.to_string(),
    }
}
