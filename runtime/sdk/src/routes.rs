//! The gRPC services that one service answers for.

use std::convert::Infallible;

use tonic::{
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
    service::RoutesBuilder,
};

/// Collects gRPC services, and their names for health.
#[derive(Debug, Default)]
pub struct Routes {
    builder: RoutesBuilder,
    names: Vec<&'static str>,
}

impl Routes {
    /// Adds a generated server; health reports it under its full name.
    pub fn add<S>(&mut self, server: S) -> &mut Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.builder.add_service(server);
        self
    }

    /// Their full names.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    pub(crate) fn into_builder(self) -> RoutesBuilder {
        self.builder
    }
}
