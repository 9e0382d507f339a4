//! A running node, and the handles by which a program watches and steers it.
//!
//! The node has a thread and an async runtime of its own: what the rest of the program does, blocking
//! included, delays no restart. Handles may be used from any thread and any runtime.

use std::{
    fmt, io,
    num::NonZeroU32,
    ops::Deref,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use blackhole_config::Config;
use blackhole_node::{
    Ending, Node as Inner, NodeError, Operator, OperatorError, Options, Selection, Wait,
    registry::{Entry, HistoryEntry, NodeState, Registry, State},
};
use blackhole_protocol::{InstanceId, Name, NameError};
use blackhole_sdk::{Directory, Message, Peers};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use crate::{
    Events, HostedActor, NodeBuilder, Pool, Remote, StartError, Work, hosted::MessageOf,
    pool::Crews,
};

/// Threads for blocking calls of the node, such as looking up a host; each is started when needed.
const BLOCKING_THREADS_MAX: usize = 8;
/// A thread that the kernel holds fast, as on a network file system that is gone, keeps nobody from ending
/// for longer.
const BLOCKED_WAIT_MAX: Duration = Duration::from_secs(1);

/// How a node ended, for everybody who asks.
type Outcome = Result<Ending, Arc<NodeError>>;

/// A running node, owned. When it is dropped, everything it runs is stopped in reverse order, each within
/// its grace, and the drop waits for that; [`Node::stop`] does the same without blocking a thread.
#[derive(Debug)]
pub struct Node {
    handle: NodeHandle,
    thread: Option<JoinHandle<()>>,
}

/// A way to watch and to steer a running node, from any thread; clones are alike.
///
/// It does not keep the node running: a node that has ended answers that it is stopping.
#[derive(Clone)]
pub struct NodeHandle {
    registry: Registry,
    operator: Operator,
    outcome: watch::Receiver<Option<Outcome>>,
    crews: Arc<Crews>,
}

/// Why something that was asked of a running node did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeHandleError {
    /// The wish itself was refused, or did not come true.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// It will not become ready: it rests.
    #[error("`{instance}` will not be ready: it is {}{}", state.as_str(), because(why))]
    NotReady {
        /// Which process of which service.
        instance: String,
        /// Where it rests.
        state: State,
        /// How it ended last, if it did.
        why: String,
    },
    /// The node has ended, badly.
    #[error("the node failed")]
    Node(#[source] Arc<NodeError>),
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

impl Node {
    /// Describes a node that is not guarded: what it runs outlives this process when that is killed with
    /// SIGKILL, and native services run [embedded](NodeBuilder::embedded) only. Programs take
    /// [`Program::node`](crate::Program::node); this is for tests.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::of(None)
    }

    /// A handle that does not own the node.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Stops everything in reverse order, and waits until it has ended.
    ///
    /// # Errors
    /// When the node itself failed.
    pub async fn stop(self) -> Result<Ending, NodeHandleError> {
        self.handle.shut_down();
        self.handle.ended().await
    }
}

impl Deref for Node {
    type Target = NodeHandle;

    fn deref(&self) -> &NodeHandle {
        &self.handle
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.handle.operator.shut_down_in_order();
        if let Some(thread) = self.thread.take() {
            // A node that panicked has said so on stderr, and its guardian cleans up.
            let _ = thread.join();
        }
    }
}

impl NodeHandle {
    /// A reference to an actor that a native service hosts, or rather the first of its processes. The
    /// runtime in which it is first used drives its connection.
    ///
    /// # Errors
    /// When `service` cannot be a name.
    pub fn remote<M: Message>(&self, service: &str, actor: &str) -> Result<Remote<M>, NameError> {
        let instance = InstanceId { service: service.parse()?, index: NonZeroU32::MIN };
        Ok(self.peers().remote(&instance, actor))
    }

    /// Waits until a service or everything in a group is ready, or rests because it finished.
    ///
    /// # Errors
    /// When there is no such name, or one of its processes is stopped or failed.
    pub async fn ready(&self, name: &str) -> Result<(), NodeHandleError> {
        let selection = self.select(name)?;
        self.settled(|entry| selection.contains(&entry.instance.service)).await
    }

    /// Waits until everything is ready.
    ///
    /// # Errors
    /// When a process is stopped or failed.
    pub async fn all_ready(&self) -> Result<(), NodeHandleError> {
        self.settled(|_| true).await
    }

    async fn settled(&self, wanted: impl Fn(&Entry) -> bool) -> Result<(), NodeHandleError> {
        let is_there = |state| matches!(state, State::Ready | State::Completed | State::Disabled);
        let rests =
            |entry: &Entry| matches!(entry.state, State::Stopped | State::Failed) && wanted(entry);
        let all_there = |registry: &Registry| {
            let mut all = true;
            registry.survey(|entry| all &= is_there(entry.state) || !wanted(entry));
            all
        };
        let any_rests = |registry: &Registry| {
            let mut any = false;
            registry.survey(|entry| any |= rests(entry));
            any
        };
        let mut outcome = self.outcome.clone();
        loop {
            let settled = |registry: &Registry| all_there(registry) || any_rests(registry);
            tokio::select! {
                () = self.registry.wait_until(settled) => {}
                _ = outcome.wait_for(Option::is_some) => {
                    return Err(OperatorError::NodeStopping.into());
                }
            }
            if let Some(entry) = self.registry.entries(rests).into_iter().next() {
                return Err(NodeHandleError::NotReady {
                    instance: entry.instance.to_string(),
                    state: entry.state,
                    why: entry.last_exit.map(|last| last.exited.message).unwrap_or_default(),
                });
            }
            // Who rested may have been started meanwhile.
            if all_there(&self.registry) {
                return Ok(());
            }
        }
    }

    /// A reference to the actor of a service, or rather of the first of its processes. It outlives
    /// restarts: the next message goes to the successor, and waits for it.
    ///
    /// # Errors
    /// When `service` cannot be a name.
    pub fn actor<A: HostedActor>(&self, service: &str) -> Result<Remote<MessageOf<A>>, NameError> {
        self.remote(service, A::NAME)
    }

    /// The pool of a service that was described by [`ServiceSpec::pool`](crate::ServiceSpec::pool).
    ///
    /// # Errors
    /// When there is no such service.
    pub fn pool<W: Work>(&self, service: &str) -> Result<Pool<W>, NodeHandleError> {
        self.select(service)?;
        let worker = self.status_of(service).into_iter().next();
        let service = worker.ok_or(OperatorError::NoName)?.service;
        Ok(Pool::new(self.clone(), service))
    }

    pub(crate) fn crews(&self) -> &Crews {
        &self.crews
    }

    /// The processes of a service and where each stands.
    pub(crate) fn workers(&self, service: &Name) -> Vec<(NonZeroU32, State)> {
        let mut workers = Vec::new();
        self.registry.survey(|entry| {
            if entry.instance.service == *service {
                workers.push((entry.instance.index, entry.state));
            }
        });
        workers
    }

    /// Counts up with every change of what [`Self::status`] tells.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.registry.changes()
    }

    /// Where the node's sockets are.
    pub fn runtime_dir(&self) -> &Path {
        self.peers().runtime_dir()
    }

    /// The processes of the node, for references to actors of any of them.
    pub fn peers(&self) -> &Peers {
        self.operator.peers()
    }

    pub(crate) fn directory(&self) -> &dyn Directory {
        &**self.operator.directory()
    }

    /// Every process that there should be, ordered by service and number.
    pub fn status(&self) -> Vec<Status> {
        self.registry.entries(|_| true).into_iter().map(Status::from).collect()
    }

    /// The processes of one service; none when nothing has that name.
    pub fn status_of(&self, service: &str) -> Vec<Status> {
        let named = |entry: &Entry| entry.instance.service.as_str() == service;
        self.registry.entries(named).into_iter().map(Status::from).collect()
    }

    /// Whether everything has been ready once, and whether everything is being stopped.
    pub fn state(&self) -> NodeState {
        self.registry.node_state()
    }

    /// What happens, from the events that are still held on.
    pub fn events(&self) -> Events {
        let handle = self.clone();
        Events::of(&self.registry, async move {
            // That it ended is enough to know here.
            let _ = handle.ended().await;
        })
    }

    /// How processes of a service or group ended, oldest first; the last 64 of each are kept.
    ///
    /// # Errors
    /// When there is no such name.
    pub async fn history(&self, name: &str) -> Result<Vec<HistoryEntry>, NodeHandleError> {
        let selection = self.select(name)?;
        let wanted = |entry: &Entry| selection.contains(&entry.instance.service);
        Ok(self.registry.complete_history(wanted).await)
    }

    /// Starts a service or group that is stopped, completed or failed, and waits until it is ready.
    ///
    /// # Errors
    /// When there is no such name, it is disabled, or its first start failed.
    pub async fn start(&self, name: &str) -> Result<(), NodeHandleError> {
        Ok(self.operator.start(&self.select(name)?, Wait::UntilDone).await?)
    }

    /// Stops a service or group, and waits until it is gone. It is not started again by itself.
    ///
    /// # Errors
    /// When there is no such name.
    pub async fn stop(&self, name: &str) -> Result<(), NodeHandleError> {
        Ok(self.operator.stop(&self.select(name)?, Wait::UntilDone).await?)
    }

    /// Stops and starts a service or group, and waits until it is ready; not counted as a restart.
    ///
    /// # Errors
    /// When there is no such name, it is disabled, or its first start failed.
    pub async fn restart(&self, name: &str) -> Result<(), NodeHandleError> {
        Ok(self.operator.restart(&self.select(name)?, Wait::UntilDone).await?)
    }

    /// Changes how many processes a service has, and waits until they are ready or gone; the highest
    /// numbers go first.
    ///
    /// # Errors
    /// When there is no such service, or the number is 0 or above 1000.
    pub async fn scale(&self, service: &str, instances: u32) -> Result<(), NodeHandleError> {
        Ok(self.operator.scale(service, instances, Wait::UntilDone).await?)
    }

    /// Stops everything in reverse order; a second time skips the graces.
    pub fn shut_down(&self) {
        self.operator.shut_down();
    }

    /// Waits until the node has ended: by [`shut_down`](Self::shut_down), a signal, the loss of its
    /// guardian, or because a service that escalates was restarted too often.
    ///
    /// # Errors
    /// When the node itself failed.
    pub async fn ended(&self) -> Result<Ending, NodeHandleError> {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => {
                outcome.clone().expect("it was waited for").map_err(NodeHandleError::Node)
            }
            Err(_gone) => {
                let panicked = io::Error::other("its thread panicked: this is a bug");
                let error = NodeError::Part("the node", panicked.into());
                Err(NodeHandleError::Node(Arc::new(error)))
            }
        }
    }

    fn select(&self, name: &str) -> Result<Selection, OperatorError> {
        self.operator.select(&[name.to_owned()])
    }
}

impl fmt::Debug for NodeHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NodeHandle").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Where one process of a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The service.
    pub service: Name,
    /// Which of its processes, from 1.
    pub instance: u32,
    /// Where it stands.
    pub state: State,
    /// Its process, when one lives; this process for embedded services.
    pub pid: Option<u32>,
    /// Counts its processes, from 1; 0 before the first.
    pub generation: u64,
    /// Restarts since the node started.
    pub restarts: u64,
    /// How long its process has lived.
    pub uptime: Option<Duration>,
    /// What it waits for or says about itself.
    pub note: String,
}

impl From<Entry> for Status {
    fn from(entry: Entry) -> Self {
        Self {
            restarts: entry.restarts_total(),
            service: entry.instance.service,
            instance: entry.instance.index.get(),
            state: entry.state,
            pid: entry.pid,
            generation: entry.generation.0,
            uptime: entry.spawned_at.map(|at| at.elapsed()),
            note: entry.note,
        }
    }
}

/// Starts a node on a thread of its own; `directory` goes when the node has ended.
pub(crate) async fn start(
    config: Config,
    options: Options,
    directory: Option<TempDir>,
) -> Result<Node, StartError> {
    let (begun, beginning) = oneshot::channel();
    let (ended, outcome) = watch::channel(None);
    let life = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(begun.send(Err(StartError::Thread(error)))),
        };
        runtime.block_on(async {
            let node = match Inner::begin(config, options).await {
                Ok(node) => node,
                Err(error) => return drop(begun.send(Err(error.into()))),
            };
            let parts = (node.registry().clone(), node.operator().clone());
            // Whoever started it may have gone: then it runs until it is asked to end.
            let _ = begun.send(Ok(parts));
            let outcome = node.run().await.map_err(Arc::new);
            ended.send_replace(Some(outcome));
        });
        runtime.shutdown_timeout(BLOCKED_WAIT_MAX);
        drop(directory);
    };
    let thread = thread::Builder::new().name("blackhole".into()).spawn(life);
    let thread = thread.map_err(StartError::Thread)?;
    let panicked = || StartError::Thread(io::Error::other("it panicked: this is a bug"));
    let (registry, operator) = beginning.await.map_err(|_| panicked())??;
    let handle = NodeHandle { registry, operator, outcome, crews: Arc::default() };
    Ok(Node { handle, thread: Some(thread) })
}
