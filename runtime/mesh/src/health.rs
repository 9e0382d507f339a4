//! A client of gRPC health v1 (`grpc.health.v1.Health`).
//!
//! One [`HealthConnection`] is one connection, and ends with it. `Watch` tells changes at once, but
//! its silence proves nothing: a server whose threads are all stuck keeps the stream open. Pings of
//! HTTP/2 would prove little more, and servers on C-core, Go and Java close connections on which
//! they come more often than every five minutes. So whoever watches asks by `Check` as well.

use std::error::Error;

use tonic::{Code, Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response, health_client::HealthClient,
};

use crate::{
    ConnectError, Target, TlsFiles, channel,
    http2::{Driver, Http2},
};

/// An answer is two bytes; a server that sends much more is not well.
const ANSWER_SIZE_MAX: usize = 4096;

/// What a server says about itself or about one of its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It takes requests.
    Serving,
    /// It does not.
    NotServing,
    /// It does not know about itself.
    Unknown,
    /// The server has no such service.
    ServiceUnknown,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The server has no such method.
    #[error("gRPC health is not served")]
    Unimplemented,
    /// The call failed, or the connection was lost.
    #[error("gRPC health failed: {}", describe(.0))]
    Failed(Box<Status>),
    /// The server ended the stream without saying why.
    #[error("gRPC health ended its stream")]
    Ended,
}

/// A connection to a server's health service; dropping it closes it.
pub struct HealthConnection {
    client: HealthClient<Http2>,
    _driver: Driver,
}

/// Changes as the server tells them.
pub struct Watch {
    changes: Streaming<HealthCheckResponse>,
}

impl HealthConnection {
    /// Connects; encrypted when there are `tls` files.
    pub async fn open(target: &Target, tls: Option<&TlsFiles>) -> Result<Self, ConnectError> {
        let (http2, driver) = Http2::open(target, tls).await?;
        let client = HealthClient::with_origin(http2, channel::origin(target, tls))
            .max_decoding_message_size(ANSWER_SIZE_MAX);
        Ok(Self { client, _driver: driver })
    }

    /// Asks once. An empty `service` asks about the whole server.
    pub async fn check(&mut self, service: &str) -> Result<Serving, HealthError> {
        match self.client.check(request(service)).await {
            Ok(answer) => Ok(Serving::from(answer.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(Serving::ServiceUnknown),
            Err(status) => Err(status.into()),
        }
    }

    /// Asks for the present state and every change of it. The stream ends with the connection.
    pub async fn watch(&mut self, service: &str) -> Result<Watch, HealthError> {
        let changes = self.client.watch(request(service)).await?.into_inner();
        Ok(Watch { changes })
    }
}

impl Watch {
    /// Waits for the present state, then for each change. Nothing is lost when the future is
    /// dropped.
    pub async fn next(&mut self) -> Result<Serving, HealthError> {
        match self.changes.message().await? {
            Some(answer) => Ok(Serving::from(answer)),
            None => Err(HealthError::Ended),
        }
    }
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// The code, what the server said or tonic thinks, and what was at the bottom of it.
fn describe(status: &Status) -> String {
    let mut text = format!("{:?}", status.code());
    let mut cause = status.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    let cause = cause.map(ToString::to_string);
    for part in [Some(status.message().to_owned()), cause].into_iter().flatten() {
        if !part.is_empty() && !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

impl From<Status> for HealthError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Unimplemented,
            _ => Self::Failed(Box::new(status)),
        }
    }
}

impl From<HealthCheckResponse> for Serving {
    fn from(answer: HealthCheckResponse) -> Self {
        use health_check_response::ServingStatus;
        match answer.status() {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
            ServingStatus::Unknown => Self::Unknown,
            ServingStatus::ServiceUnknown => Self::ServiceUnknown,
        }
    }
}
