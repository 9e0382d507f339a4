//! `/health`, `/ready` and `/metrics`, read from the registry.
//!
//! Nothing here changes anything; whoever may connect may read. The address is the operator's
//! choice, and absent unless the file gives one.

mod exposition;
mod health;
mod metrics;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use blackhole_config::Config;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    adapting::Adapting,
    connections::{Connection, Doorman},
    registry::{NodeState, Registry},
    usage::Sampler,
};

/// Connections at a time: some scrapers, some people, a load balancer.
const CONNECTIONS_MAX: usize = 64;
/// Who reads a page has done so by then; who reads many connects again.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30);

/// What the pages are made of.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) config: Arc<Config>,
    pub(crate) registry: Registry,
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) adapting: Adapting,
    /// Held by whoever makes a page.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

/// Serves the pages until the returned future is dropped.
pub(crate) async fn serve(listener: std::net::TcpListener, sources: Sources) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let router = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(sources);
    let doorman = Doorman::new(CONNECTIONS_MAX, Some(CONNECTION_AGE_MAX));
    axum::serve(Door { listener, doorman }, router).await
}

/// Where clients come in, from anywhere.
struct Door {
    listener: TcpListener,
    doorman: Doorman,
}

impl axum::serve::Listener for Door {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    if let Some(connection) = self.doorman.admit(stream) {
                        return (connection, address);
                    }
                }
                Err(error) => self.doorman.pause(&error).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Binds the address now, so that a port in use is an error of the start and not of later.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    std::net::TcpListener::bind(address)
}

async fn health(State(sources): State<Sources>) -> Response {
    let page = sources.look(|it| health::page(&it.config, &it.registry, &it.sampler)).await;
    match page {
        Ok(page) => {
            (page.code(), [(header::CONTENT_TYPE, "application/json")], page.json()).into_response()
        }
        Err(failed) => failed.into_response(),
    }
}

async fn ready(State(sources): State<Sources>) -> impl IntoResponse {
    let waits_for: Vec<String> = sources
        .registry
        .entries(|entry| !health::counts_as_ready(entry))
        .iter()
        .map(|entry| format!("{} is {}", entry.instance, entry.state.as_str()))
        .collect();
    match sources.registry.node_state() {
        NodeState::Running if waits_for.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        NodeState::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        NodeState::Running | NodeState::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", waits_for.join(", ")))
        }
    }
}

async fn metrics(State(sources): State<Sources>) -> Response {
    match sources.look(|it| metrics::page(&it.registry, &it.sampler, &it.adapting)).await {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(failed) => failed.into_response(),
    }
}

impl Sources {
    /// Reads what processes use, which takes a while where there are many: off the node's thread, so
    /// that no restart waits for a page, and one page at a time.
    async fn look<T: Send + 'static>(
        self,
        look: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StatusCode> {
        let _turn = self.turn.clone().lock_owned().await;
        tokio::task::spawn_blocking(move || look(&self)).await.map_err(|error| {
            tracing::error!(%error, "a page could not be made: this is a bug");
            StatusCode::INTERNAL_SERVER_ERROR
        })
    }
}
