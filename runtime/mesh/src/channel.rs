//! A tonic channel over our connections.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use crate::{ConnectError, Connection, Protocol, Target, TlsFiles, connect};

/// Opens connections to one target, whatever URI is asked for; for tonic's `Endpoint`.
#[derive(Debug, Clone)]
pub struct Connector {
    server: Arc<(Target, Option<TlsFiles>)>,
}

impl Connector {
    /// Connects to `target`; encrypted when there are `tls` files.
    pub fn new(target: Target, tls: Option<TlsFiles>) -> Self {
        Self { server: Arc::new((target, tls)) }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let server = self.server.clone();
        Box::pin(async move {
            let (target, tls) = &*server;
            connect(target, tls.as_ref(), Protocol::Http2).await.map(TokioIo::new)
        })
    }
}

/// A channel for generated clients. It connects at the first call, and again when the connection
/// was lost; each time it reads the `tls` files anew.
pub fn channel(target: Target, tls: Option<TlsFiles>) -> Channel {
    let origin = origin(&target, tls.as_ref());
    // The endpoint's own URI must not say `https`: the connector encrypts, not tonic.
    Endpoint::from_static("http://localhost")
        .origin(origin)
        .connect_with_connector_lazy(Connector::new(target, tls))
}

/// The scheme and authority that requests to `target` carry.
pub(crate) fn origin(target: &Target, tls: Option<&TlsFiles>) -> Uri {
    let scheme = if tls.is_some() { "https" } else { "http" };
    Uri::builder()
        .scheme(scheme)
        .authority(target.authority())
        .path_and_query("/")
        .build()
        .unwrap_or_else(|_| Uri::from_static("http://localhost/"))
}
