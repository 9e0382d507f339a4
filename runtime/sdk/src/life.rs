//! The life of one service, whether its process is its own or the node's.
//!
//! | phase    | begins with               | ends with                                           |
//! |----------|---------------------------|-----------------------------------------------------|
//! | opening  | the link's socket         | the assignment                                      |
//! | starting | `Service::start`          | SERVING, `Ready` on the link                        |
//! | serving  |                           | `Stop` on the link, SIGTERM                         |
//! | draining | NOT_SERVING               | all requests answered, or most of the grace is over |
//! | stopping | `Service::stop`           | all actors are gone                                 |
//!
//! In every phase the end of the link ends the service at once (the node is gone), and so does the
//! end of one of its actors.

use std::{sync::Arc, time::Duration};

use blackhole_actors::link::{self, LinkError};
use blackhole_protocol::link::{Assignment, ToNode};
use ractor::{Actor, ActorRef, SpawnErr};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tonic::service::Routes as Served;

use crate::{
    Context, Draining, Routes, Service, ServiceError,
    context::spawn_child,
    health::Health,
    link::{Link, keep},
    server::{self, Drained, Server},
    supervisor::{ActorEnded, Supervisor},
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
    Actors(#[from] SpawnErr),
    /// Reflection could not read the definitions.
    #[error("could not read the gRPC definitions of this program")]
    Definitions(#[from] tonic_reflection::server::Error),
    /// An actor of the service ended.
    #[error("the service failed")]
    Failed(#[from] ActorEnded),
}

/// Where the listening socket comes from.
pub(crate) type TakeListener =
    Box<dyn FnOnce(&Assignment) -> Result<std::os::unix::net::UnixListener, ServiceError> + Send>;

/// Lives the whole life. `asked` resolves when something other than the node asks it to stop.
pub(crate) async fn live<S: Service>(
    stream: UnixStream,
    take_listener: TakeListener,
    asked: impl Future<Output = ()> + Send,
) -> Result<(), LifeError> {
    let (side, assignment) = link::connect(stream).await?;
    let (link, keeping) = keep(side);
    let (failures, mut failed) = mpsc::channel(1);
    let (supervisor, _) = Actor::spawn(None, Supervisor, failures).await?;
    let life = Life { assignment: Arc::new(assignment), supervisor, draining: Draining::default() };
    let outcome = tokio::select! {
        outcome = life.course::<S>(link, take_listener, asked) => outcome,
        lost = keeping => Err(lost.into()),
        Some(ended) = failed.recv() => Err(ended.into()),
    };
    life.supervisor.stop_children_and_wait(None, None).await;
    life.supervisor.stop(None);
    outcome
}

struct Life {
    assignment: Arc<Assignment>,
    supervisor: ActorRef<std::convert::Infallible>,
    draining: Draining,
}

impl Life {
    async fn course<S: Service>(
        &self,
        mut link: Link,
        take_listener: TakeListener,
        asked: impl Future<Output = ()> + Send,
    ) -> Result<(), LifeError> {
        let listener = take_listener(&self.assignment).and_then(listening);
        let listener = listener.map_err(LifeError::Socket)?;
        let service = self.start::<S>().await?;
        let mut routes = Routes::default();
        service.register(&mut routes);
        let health = Health::new(routes.names()).await;
        let arguments = server::Arguments { listener, routes: served(routes, &health)? };
        let supervisor = self.supervisor.get_cell();
        let server =
            spawn_child(&self.assignment.instance, "grpc", Server, arguments, supervisor).await?;
        health.serving().await;
        // A link that is gone ends the life from outside.
        let _ = link.outgoing.send(ToNode::Ready).await;
        tracing::info!(generation = self.assignment.generation, "serving");
        tokio::select! {
            Ok(()) = &mut link.stop => {}
            () = asked => drop(link.outgoing.try_send(ToNode::Stopping)),
        }
        self.drain(health, &server).await;
        service.stop().await;
        Ok(())
    }

    async fn start<S: Service>(&self) -> Result<S, LifeError> {
        let service = || self.assignment.instance.service.to_string();
        let settings = serde_json::from_str(&self.assignment.settings)
            .map_err(|source| LifeError::Settings { service: service(), source })?;
        let context = Context {
            settings,
            assignment: self.assignment.clone(),
            supervisor: self.supervisor.get_cell(),
            draining: self.draining.clone(),
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
        match ractor::call!(server, ask) {
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
fn served(routes: Routes, health: &Health) -> Result<Served, LifeError> {
    let reflection = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(blackhole_protocol::descriptors::ALL)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for name in routes.names() {
            builder = builder.with_service_name(*name);
        }
        builder
    };
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let mut builder = routes.into_builder();
    builder.add_service(health.server()).add_service(v1).add_service(v1alpha);
    Ok(builder.routes())
}
