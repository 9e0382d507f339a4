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
    transport::server::Connected,
};
use tower::Service;

use super::Drained;

/// Connections at a time; further clients wait in the backlog.
const CONNECTIONS_MAX: usize = 1024;

/// Requests at a time on one connection; further ones wait at the client.
const STREAMS_MAX: u32 = 256;

/// The pause after a failed accept: the usual reason is that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let service = service_fn(move |request: Request<Incoming>| {
        let peer = peer.clone();
        let mut routes = routes.clone();
        async move { answer(&mut routes, request, &peer).await }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(
    routes: &mut Routes,
    request: Request<Incoming>,
    peer: &<UnixStream as Connected>::ConnectInfo,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer.clone());
    routes.call(request).await
}
