//! One HTTP/2 connection as a tower service for generated clients. Unlike a channel it never
//! connects again by itself, so that a caller who asks whether a server is well sees every loss.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tower::Service;

use crate::{ConnectError, Protocol, Target, TlsFiles, connect};

/// Requests are sent through this; clones share the connection.
#[derive(Clone)]
pub(crate) struct Http2 {
    requests: SendRequest<Body>,
}

/// Drives the connection; dropping it closes the connection.
pub(crate) struct Driver(JoinHandle<()>);

impl Http2 {
    pub(crate) async fn open(
        target: &Target,
        tls: Option<&TlsFiles>,
    ) -> Result<(Self, Driver), ConnectError> {
        let connection = connect(target, tls, Protocol::Http2).await?;
        let (requests, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(connection))
            .await
            .map_err(|source| ConnectError::Http { target: target.clone(), source })?;
        // How the connection ended is told to every request on it.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Ok((Self { requests }, Driver(driver)))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Service<http::Request<Body>> for Http2 {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.requests.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.requests.send_request(request))
    }
}
