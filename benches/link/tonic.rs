//! The family *link*, of bare tonic: a unary call on the same kind of socket. The service is that of gRPC
//! health, whose request carries a text: its answer is a number, and shorter than what others echo.

mod contender;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use contender::{Contender, Payload, runtime};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

struct Answering;

#[tonic::async_trait]
impl Health for Answering {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

fn serve(path: PathBuf) {
    runtime().block_on(async {
        let listener = tokio::net::UnixListener::bind(path).expect("the path is free");
        let server = Server::builder().add_service(HealthServer::new(Answering));
        let served = server.serve_with_incoming(UnixListenerStream::new(listener)).await;
        served.expect("it serves");
    });
}

#[derive(Clone)]
struct Unary(HealthClient<Channel>);

impl Contender for Unary {
    async fn connect(path: &Path) -> Self {
        contender::stream(path).await;
        let address = format!("unix:{}", path.display());
        let channel = Endpoint::from_shared(address).expect("an address").connect().await;
        Self(HealthClient::new(channel.expect("it serves")))
    }

    async fn call(&self, payload: Payload) {
        let service = String::from_utf8(payload.0).expect("a text");
        self.0.clone().check(HealthCheckRequest { service }).await.expect("an answer");
    }

    async fn put(&self, payload: Payload) {
        self.call(payload).await;
    }

    /// There is none: every request is answered.
    async fn cast(&self, payload: Payload) {
        self.call(payload).await;
    }
}

fn main() -> ExitCode {
    contender::main::<Unary>(serve)
}
