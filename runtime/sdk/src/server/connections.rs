//! The accept loop and its connections.
//!
//! hyper's graceful shutdown waits for ever for a client that does not finish, so the connections are
//! owned here and are cut when the time is up.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
    service::Routes,
    transport::server::{Connected, UdsConnectInfo},
};
use tower::Service;

use super::{
    Drained,
    in_flight::{Counted, InFlight},
};

/// Connections at a time; further clients wait in the backlog.
const CONNECTIONS_MAX: usize = 1024;

/// Requests at a time on one connection; further ones wait at the client.
const STREAMS_MAX: u32 = 256;

/// The pause after a failed accept: the usual reason is that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client with nothing in flight has to take its leave, and to read what it was answered
/// last. A client that is frozen, or never said anything, would otherwise hold the stop up.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// Accepts until asked to drain, then finishes until the given moment.
pub(super) async fn serve(
    listener: UnixListener,
    routes: Routes,
    draining: oneshot::Receiver<Instant>,
) -> Drained {
    let routes = routes.prepare();
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let deadline = accept(listener, &routes, &closing, &mut connections, draining).await;
    closing.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    match tokio::time::timeout_at(deadline, finished).await {
        Ok(()) => Drained::Whole,
        Err(_elapsed) => {
            let cut = connections.len();
            connections.shutdown().await;
            Drained::Cut(cut)
        }
    }
}

/// Gives the moment by which everything must be over; the listener is closed then.
async fn accept(
    listener: UnixListener,
    routes: &Routes,
    closing: &CancellationToken,
    connections: &mut JoinSet<()>,
    mut draining: oneshot::Receiver<Instant>,
) -> Instant {
    loop {
        tokio::select! {
            deadline = &mut draining => return deadline.unwrap_or_else(|_gone| Instant::now()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, routes.clone(), closing.clone()));
                }
                Err(error) => pause(&error).await,
            },
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "could not accept a connection, will try again");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn connection(stream: UnixStream, routes: Routes, closing: CancellationToken) {
    let peer = Arc::new(stream.connect_info());
    let in_flight = InFlight::default();
    let counter = in_flight.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut routes, peer, entered) = (routes.clone(), peer.clone(), counter.enter());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(UdsConnectInfo::clone(&peer));
            let response = routes.call(request).await?;
            let counted = |body| Counted { body, _entered: entered };
            Ok::<Response<Counted>, Infallible>(response.map(counted))
        }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = farewell(&in_flight) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Resolves when nothing has been in flight for long enough.
async fn farewell(in_flight: &InFlight) {
    loop {
        in_flight.none().await;
        tokio::time::sleep(FAREWELL_TIMEOUT).await;
        if in_flight.is_none() {
            return;
        }
    }
}
