//! Calls to the node and its services: connections, deadlines, and which errors abuse excuses.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use blackhole_protocol::control::v1::{
    GetHistoryRequest, GetStatusRequest, GetStatusResponse, HistoryEntry, RestartRequest,
    ScaleRequest, StartRequest, StopRequest, control_service_client::ControlServiceClient,
};
use hyper_util::rt::TokioIo;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};

/// A call that takes longer is given up: its process may be frozen.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Operations that wait for services to come and go.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a socket, made at its first use, and again when it broke.
pub(super) fn connect(path: &Path) -> Channel {
    let path = path.to_owned();
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(
        move |_: Uri| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        },
    ))
}

/// Waits for an answer no longer than [`CALL_TIMEOUT`].
pub(super) async fn within<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("the call took too long")),
    }
}

/// Whether a service may answer so while it is abused: it is away, or full, or the connection broke. That
/// something is missing, changed, or wrong inside is never excused.
pub(super) fn is_excused(status: &Status) -> bool {
    let from_the_connection = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            true
        }
        Code::Unknown | Code::Internal => from_the_connection,
        _ => false,
    }
}

/// The node's control API.
#[derive(Debug, Clone)]
pub(super) struct Control(ControlServiceClient<Channel>);

impl Control {
    pub(super) fn connect(path: &Path) -> Self {
        Self(ControlServiceClient::new(connect(path)).max_decoding_message_size(64 << 20))
    }

    pub(super) async fn status(&self) -> Result<GetStatusResponse> {
        let request = GetStatusRequest { names: Vec::new() };
        within(self.0.clone().get_status(request)).await.context("could not read the status")
    }

    pub(super) async fn history(&self) -> Result<Vec<HistoryEntry>> {
        let request = GetHistoryRequest { names: Vec::new() };
        let answer = within(self.0.clone().get_history(request)).await;
        Ok(answer.context("could not read the history")?.entries)
    }

    pub(super) async fn restart(&self, service: &str) -> Result<()> {
        let request = RestartRequest { names: vec![service.to_owned()], no_wait: false };
        operation(self.0.clone().restart(request), "restart").await
    }

    pub(super) async fn start(&self, names: Vec<String>) -> Result<()> {
        operation(self.0.clone().start(StartRequest { names, no_wait: false }), "start").await
    }

    pub(super) async fn stop(&self, service: &str) -> Result<()> {
        let request = StopRequest { names: vec![service.to_owned()], no_wait: false };
        operation(self.0.clone().stop(request), "stop").await
    }

    pub(super) async fn scale(&self, service: &str, instances: u32) -> Result<()> {
        let request = ScaleRequest {
            service: service.to_owned(),
            instances,
            no_wait: false,
            automatic: false,
        };
        operation(self.0.clone().scale(request), "scale").await
    }
}

async fn operation<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    what: &str,
) -> Result<()> {
    let answer = tokio::time::timeout(OPERATION_TIMEOUT, call).await;
    let answer = answer.with_context(|| format!("could not {what} in time"))?;
    answer.map(|_| ()).with_context(|| format!("could not {what}"))
}
