//! What a service is given at its start.

use std::{io, num::NonZeroU32, path::Path, sync::Arc};

use blackhole_actors::{
    ActorSpec, Gateway, HostError, Message, Peers, Remote, Restart, Tree, TreeError,
};
use blackhole_process::snapshot::{SnapshotError, SnapshotFile};
use blackhole_protocol::{InstanceId, NameError, link::Assignment};
use ractor::{Actor, ActorRef};
use tokio_util::sync::CancellationToken;

/// What a service is given at its start.
#[derive(Debug)]
pub struct Context<Settings> {
    /// `[services.X.settings]` of the file.
    pub settings: Settings,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) tree: Tree,
    pub(crate) draining: Draining,
    pub(crate) gateway: Gateway,
    pub(crate) peers: Peers,
    pub(crate) keeper: Keeper,
}

impl<Settings> Context<Settings> {
    /// The settings, and the context without them.
    pub fn split(self) -> (Context<()>, Settings) {
        let Self { settings, assignment, tree, draining, gateway, peers, keeper } = self;
        let context = Context { settings: (), assignment, tree, draining, gateway, peers, keeper };
        (context, settings)
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.assignment.node
    }

    /// Which service this is and which of its processes.
    pub fn instance(&self) -> &InstanceId {
        &self.assignment.instance
    }

    /// Which incarnation of the instance, counted from 1.
    pub fn generation(&self) -> u64 {
        self.assignment.generation
    }

    /// The service's own directory. It exists, and is shared by all instances of the service.
    pub fn data_dir(&self) -> &Path {
        &self.assignment.data_dir
    }

    /// Where the node's sockets are.
    pub fn runtime_dir(&self) -> &Path {
        &self.assignment.runtime_dir
    }

    /// When to end what would otherwise go on for ever, such as streams of events.
    pub fn draining(&self) -> Draining {
        self.draining.clone()
    }

    /// What an incarnation before this one kept last, by [`Keeper::keep`] or
    /// [`Service::snapshot`](crate::Service::snapshot); nothing before the first.
    ///
    /// # Errors
    /// When the node's memory cannot be read.
    pub fn restored(&self) -> io::Result<Option<Vec<u8>>> {
        self.keeper.0.read()
    }

    /// For handing state on at other times than at an orderly stop.
    pub fn keeper(&self) -> Keeper {
        self.keeper.clone()
    }

    /// Starts an actor of the service. When it ends, for whatever reason, before the service is
    /// asked to stop, the service has failed and its process ends. Actors that are to be restarted inside
    /// the process belong below [`tree`](Self::tree).
    ///
    /// # Errors
    /// When there is one of that name, or it does not start.
    pub async fn spawn<A: Actor>(
        &self,
        name: &str,
        actor: A,
        arguments: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, TreeError> {
        self.tree.add(ActorSpec::once(name, actor, arguments)).await?;
        self.tree.actor_that_is_up(name)
    }

    /// The service's own tree of actors. It grants no restart: a child of it whose end is followed by one,
    /// by its [`ActorSpec`], ends the service instead. So what is to be restarted inside the process is
    /// a tree of its own, and what that gives up on is the node's to restart:
    ///
    /// ```no_run
    /// # use blackhole_sdk::{ActorSpec, Context, ServiceError, TreeSpec};
    /// # use std::time::Duration;
    /// # async fn start<A: ractor::Actor<Arguments = ()> + Clone>(context: Context<()>, worker: A) -> Result<(), ServiceError> {
    /// let workers = TreeSpec::one_for_one()
    ///     .restarts(5, Duration::from_secs(10))
    ///     .child(ActorSpec::new("worker", move || (worker.clone(), ())));
    /// context.tree().add(ActorSpec::tree("workers", workers)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// At a stop its children stop in reverse start order, each within its own budget.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Starts an actor that other processes of this node reach by `name`, once the service has started:
    /// with [`remote`](Self::remote) in other services. When it fails, the service has failed; when it
    /// stops, its name is free again.
    ///
    /// # Errors
    /// When the name is taken or the actor does not start.
    pub async fn host<A>(
        &self,
        name: &str,
        actor: A,
        arguments: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, HostError>
    where
        A: Actor,
        A::Msg: Message,
    {
        self.gateway.host(name, actor, arguments, Restart::Transient).await
    }

    /// Where the service's actors are reached from other processes; for hosting some of them later, and
    /// such as may fail alone.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// A reference to an actor of another service, or rather of the first of its processes.
    ///
    /// # Errors
    /// When `service` cannot be a name.
    pub fn remote<M: Message>(&self, service: &str, actor: &str) -> Result<Remote<M>, NameError> {
        let instance = InstanceId { service: service.parse()?, index: NonZeroU32::MIN };
        Ok(self.peers.remote(&instance, actor))
    }

    /// The other processes of the node, for references to actors of any of them.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }
}

/// Hands state on to the next incarnation, at any time: what was kept last outlives whatever ends the
/// process, and is held by the node until the instance is no longer wanted. Clones are the same.
#[derive(Debug, Clone)]
pub struct Keeper(Arc<SnapshotFile>);

impl Keeper {
    pub(crate) fn of(file: SnapshotFile) -> Self {
        Self(Arc::new(file))
    }

    /// Keeps a snapshot in place of the one before: at most [`SNAPSHOT_LENGTH_MAX`](crate::SNAPSHOT_LENGTH_MAX)
    /// bytes.
    ///
    /// # Errors
    /// When it is larger, or there is no memory for it: the one before is kept.
    pub fn keep(&self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        self.0.write(snapshot)
    }
}

/// Tells when the service has been asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Draining(CancellationToken);

impl Draining {
    /// Resolves when the service has been asked to stop: at once if it has been.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// Has it been?
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(crate) fn begin(&self) {
        self.0.cancel();
    }
}
