//! The life of one service, whether its process is its own or the node's.
//!
//! | phase    | begins with               | ends with                                           |
//! |----------|---------------------------|-----------------------------------------------------|
//! | opening  | the link's socket         | the assignment                                      |
//! | starting | `Service::start`          | the gateway, SERVING, `Ready` on the link           |
//! | serving  |                           | `Stop` on the link, SIGTERM                         |
//! | draining | NOT_SERVING               | all requests and calls of actors answered, or most of the grace is over |
//! | stopping | `Service::stop`           | all actors are gone                                 |
//!
//! In every phase the end of the link ends the service at once (the node is gone), and so does the
//! end of one of its actors.

use std::{sync::Arc, time::Duration};

use blackhole_actors::{
    ActorSpec, Gateway, Peers, Tree, TreeError,
    link::{self, LinkError},
    tree::SupervisorExit,
};
use blackhole_process::sockets::NativeListeners;
use blackhole_protocol::link::{Assignment, ToNode};
use ractor::ActorRef;
use tokio::net::{UnixListener, UnixStream};
use tonic::service::Routes as Served;

use crate::{
    Context, Draining, Keeper, Routes, Service, ServiceError,
    health::Health,
    link::{Link, keep},
    reflection,
    server::{self, Drained, Server},
    supervisor::{self, ActorEnded},
};

/// The part of the grace that is kept for stopping after the drain, in per cent.
const STOPPING_SHARE: u32 = 10;

/// Why a service's life ended otherwise than by having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// The node is gone, or could not be understood.
    #[error("lost the link to the node")]
    Link(#[from] LinkError),
    /// The listening socket is missing or is none.
    #[error("could not serve on the socket that the node passed")]
    Socket(#[source] ServiceError),
    /// The file's settings are not what the service expects.
    #[error(
        "the settings of service `{service}` are not valid\nhint: see [services.{service}.settings]"
    )]
    Settings {
        /// As the file calls it.
        service: String,
        /// Which key, and why.
        source: serde_json::Error,
    },
    /// The service itself could not start.
    #[error("could not start service `{service}`")]
    Start {
        /// As the file calls it.
        service: String,
        /// The service's own error.
        source: ServiceError,
    },
    /// One of the service's own actors could not start.
    #[error("could not start the service's actors")]
    Actors(#[from] TreeError),
    /// An actor of the service ended.
    #[error("the service failed")]
    Failed(#[from] ActorEnded),
}

/// Where the listening sockets come from.
pub(crate) type TakeListeners =
    Box<dyn FnOnce(&Assignment) -> Result<NativeListeners, ServiceError> + Send>;

/// Lives the whole life. `asked` resolves when something other than the node asks it to stop.
pub(crate) async fn live<S: Service>(
    stream: UnixStream,
    take_listeners: TakeListeners,
    asked: impl Future<Output = ()> + Send,
) -> Result<(), LifeError> {
    let (side, assignment) = link::connect(stream).await?;
    let (link, node, keeping) = keep(side);
    let tree = Tree::start(supervisor::spec()).await?;
    let instance = assignment.instance.clone();
    let gateway =
        Gateway::start_below(&tree, supervisor::GATEWAY, instance, assignment.generation).await?;
    let from = assignment.instance.to_string();
    let peers = Peers::new(from, &assignment.runtime_dir, Some(Arc::new(node)));
    let life = Life {
        assignment: Arc::new(assignment),
        tree,
        draining: Draining::default(),
        gateway,
        peers,
    };
    let outcome = tokio::select! {
        outcome = life.course::<S>(link, take_listeners, asked) => outcome,
        lost = keeping => Err(lost.into()),
        exit = life.tree.ended() => Err(ActorEnded::of(&life.tree, &exit).into()),
    };
    life.gateway.end("its service has ended").await;
    let exit = life.tree.stop().await;
    match outcome {
        // Whoever could not start may have been stopped because another actor had ended: that is the cause.
        Err(LifeError::Actors(_) | LifeError::Start { .. }) if exit != SupervisorExit::Stopped => {
            Err(ActorEnded::of(&life.tree, &exit).into())
        }
        outcome => outcome,
    }
}

struct Life {
    assignment: Arc<Assignment>,
    tree: Tree,
    draining: Draining,
    gateway: Gateway,
    peers: Peers,
}

impl Life {
    async fn course<S: Service>(
        &self,
        mut link: Link,
        take_listeners: TakeListeners,
        asked: impl Future<Output = ()> + Send,
    ) -> Result<(), LifeError> {
        let listeners = take_listeners(&self.assignment).map_err(LifeError::Socket)?;
        let listener = listening(listeners.grpc).map_err(LifeError::Socket)?;
        let gateway = listening(listeners.gateway).map_err(LifeError::Socket)?;
        let keeper = Keeper::of(listeners.snapshot);
        let service = self.start::<S>(keeper.clone()).await?;
        let mut routes = Routes::default();
        service.register(&mut routes);
        tokio::spawn(self.gateway.serve(gateway));
        let health = Health::serving(routes.names()).await;
        let arguments = server::Arguments { listener, routes: served(routes, &health) };
        self.tree.add(ActorSpec::once(supervisor::SERVER, Server, arguments)).await?;
        let server = self.tree.actor_that_is_up(supervisor::SERVER)?;
        link.say(ToNode::Ready).await;
        tracing::info!(generation = self.assignment.generation, "serving");
        tokio::select! {
            Ok(()) = &mut link.stop => {}
            () = asked => link.say(ToNode::Stopping).await,
        }
        self.drain(health, &server).await;
        if let Some(snapshot) = service.snapshot()
            && let Err(error) = keeper.keep(&snapshot)
        {
            let error = crate::embedded::chain(&error);
            tracing::error!(error, "the snapshot is not handed on");
        }
        service.stop().await;
        Ok(())
    }

    async fn start<S: Service>(&self, keeper: Keeper) -> Result<S, LifeError> {
        let service = || self.assignment.instance.service.to_string();
        let settings = serde_json::from_str(&self.assignment.settings)
            .map_err(|source| LifeError::Settings { service: service(), source })?;
        let context = Context {
            settings,
            assignment: self.assignment.clone(),
            tree: self.tree.clone(),
            draining: self.draining.clone(),
            gateway: self.gateway.clone(),
            peers: self.peers.clone(),
            keeper,
        };
        S::start(context).await.map_err(|source| LifeError::Start { service: service(), source })
    }

    async fn drain(&self, health: Health, server: &ActorRef<server::Message>) {
        tracing::info!("draining");
        health.end().await;
        self.draining.begin();
        let grace = Duration::from_millis(self.assignment.grace_ms);
        let budget = grace * (100 - STOPPING_SHARE) / 100;
        let ask = |drained| server::Message::Drain { budget, drained };
        let (served, reached) =
            tokio::join!(async { ractor::call!(server, ask) }, self.gateway.drain(budget));
        if let blackhole_actors::Drained::Cut { peers } = reached {
            tracing::warn!(peers, "messages of actors were cut: the grace is nearly over");
        }
        match served {
            Ok(Drained::Whole) => {}
            Ok(Drained::Cut(connections)) => {
                tracing::warn!(connections, "requests were cut: the grace is nearly over");
            }
            // A server that ended ends the life from outside.
            Err(error) => tracing::debug!(%error, "the server is gone"),
        }
    }
}

fn listening(listener: std::os::unix::net::UnixListener) -> Result<UnixListener, ServiceError> {
    listener.set_nonblocking(true)?;
    Ok(UnixListener::from_std(listener)?)
}

/// The service's own gRPC services, health, and reflection over all of them.
fn served(routes: Routes, health: &Health) -> Served {
    let (v1, v1alpha) = reflection::both(routes.names());
    let mut builder = routes.into_builder();
    builder.add_service(health.server()).add_service(v1).add_service(v1alpha);
    builder.routes()
}
