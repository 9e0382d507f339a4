//! gRPC reflection, in both versions, over what one service answers for.
//!
//! Indexing the definitions takes a good part of a start's time, and most processes are never asked.
//! So that is done at the first question.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
};
use tonic_reflection::server::{Builder, Error};

/// A gRPC service that is made at its first request.
#[derive(Clone)]
pub(crate) struct Lazy<S>(Arc<LazyLock<S, Box<dyn FnOnce() -> S + Send>>>);

/// What answers a question of reflection.
pub(crate) trait Reflection:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Reflection for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// `grpc.reflection.v1` and `grpc.reflection.v1alpha`, which list these services and health.
pub(crate) fn both(names: &[&'static str]) -> (Lazy<impl Reflection>, Lazy<impl Reflection>) {
    (lazy(names, Builder::build_v1), lazy(names, Builder::build_v1alpha))
}

fn lazy<S: Reflection>(
    names: &[&'static str],
    build: impl FnOnce(Builder<'static>) -> Result<S, Error> + Send + 'static,
) -> Lazy<S> {
    let names = names.to_vec();
    let make = move || {
        build(definitions(&names)).expect("the definitions are committed, and a test reads them")
    };
    Lazy(Arc::new(LazyLock::new(Box::new(make))))
}

fn definitions(names: &[&'static str]) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(blackhole_protocol::descriptors::ALL)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
}

impl<S: Reflection> Service<Request<Body>> for Lazy<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        S::clone(&self.0).call(request)
    }
}

impl<S: NamedService> NamedService for Lazy<S> {
    const NAME: &'static str = S::NAME;
}
