//! The client of a node's control API: connects, calls, and turns refusals into errors.
//!
//! It prints nothing and does not know what the answers are for.

mod error;
mod records;

use std::time::Duration;

use blackhole_protocol::control::v1::{
    Event, GetHistoryRequest, GetStatusRequest, GetStatusResponse, HistoryEntry, InstanceStatus,
    LogRecord, RecordRequest, RecordResponse, RestartRequest, ScaleRequest, ShutdownRequest,
    StartRequest, StopRequest, StreamEventsRequest, StreamLogsRequest,
    control_service_client::ControlServiceClient,
};
use tonic::{
    Response,
    transport::{Channel, Endpoint},
};

pub(crate) use self::{error::ClientError, records::Records};
use self::{
    error::{is_broken, refused},
    records::End,
};
use crate::locate::NodeAddress;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For calls that the node answers from memory. Starting and stopping have deadlines of their own
/// in the node, and may be without any.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The history of many services is the largest answer, in bytes.
const ANSWER_LENGTH_MAX: usize = 64 << 20;

/// A connection to one node.
#[derive(Debug, Clone)]
pub(crate) struct Client(ControlServiceClient<Channel>);

/// Whether a change is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    UntilDone,
    No,
}

/// How many instances a service shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    To(u32),
    /// As the service's own rule says.
    ByRule,
}

impl Wait {
    /// From the flag `--no-wait`.
    pub(crate) fn unless(no_wait: bool) -> Self {
        if no_wait { Self::No } else { Self::UntilDone }
    }
}

impl Client {
    /// Finds the node and connects to it.
    pub(crate) async fn connect(address: &NodeAddress) -> Result<Self, ClientError> {
        let socket = address.socket()?;
        let Some(path) = socket.to_str() else {
            return Err(ClientError::Path(socket));
        };
        let endpoint = Endpoint::from_shared(format!("unix:{path}"));
        let connection = match endpoint {
            Ok(endpoint) => endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await,
            Err(error) => Err(error),
        };
        let channel = connection.map_err(|source| ClientError::Connect { socket, source })?;
        let client =
            ControlServiceClient::new(channel).max_decoding_message_size(ANSWER_LENGTH_MAX);
        Ok(Self(client))
    }

    pub(crate) async fn status(
        &mut self,
        names: &[String],
    ) -> Result<GetStatusResponse, ClientError> {
        let request = bounded(GetStatusRequest { names: names.to_vec() });
        let answer = self.0.get_status(request).await;
        answer.map(Response::into_inner).map_err(refused("read the status"))
    }

    pub(crate) async fn history(
        &mut self,
        names: &[String],
    ) -> Result<Vec<HistoryEntry>, ClientError> {
        let request = bounded(GetHistoryRequest { names: names.to_vec() });
        let answer = self.0.get_history(request).await.map_err(refused("read the history"))?;
        Ok(answer.into_inner().entries)
    }

    pub(crate) async fn events(
        &mut self,
        request: StreamEventsRequest,
    ) -> Result<Records<Event>, ClientError> {
        let end = End::of(!request.no_follow);
        let answer = self.0.stream_events(request).await.map_err(refused("read events"))?;
        Ok(Records { stream: answer.into_inner(), doing: "read events", end })
    }

    pub(crate) async fn record(&mut self) -> Result<Records<RecordResponse>, ClientError> {
        let answer = self.0.record(RecordRequest {}).await.map_err(refused("record"))?;
        Ok(Records { stream: answer.into_inner(), doing: "record", end: End::of(true) })
    }

    pub(crate) async fn logs(
        &mut self,
        request: StreamLogsRequest,
    ) -> Result<Records<LogRecord>, ClientError> {
        let end = End::of(request.follow);
        let answer = self.0.stream_logs(request).await.map_err(refused("read logs"))?;
        Ok(Records { stream: answer.into_inner(), doing: "read logs", end })
    }

    pub(crate) async fn start(
        &mut self,
        names: &[String],
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let request = StartRequest { names: names.to_vec(), no_wait: wait == Wait::No };
        let answer = self.0.start(request).await.map_err(refused(doing("start", names)))?;
        Ok(answer.into_inner().instances)
    }

    pub(crate) async fn stop(
        &mut self,
        names: &[String],
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let request = StopRequest { names: names.to_vec(), no_wait: wait == Wait::No };
        let answer = self.0.stop(request).await.map_err(refused(doing("stop", names)))?;
        Ok(answer.into_inner().instances)
    }

    pub(crate) async fn restart(
        &mut self,
        names: &[String],
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let request = RestartRequest { names: names.to_vec(), no_wait: wait == Wait::No };
        let answer = self.0.restart(request).await.map_err(refused(doing("restart", names)))?;
        Ok(answer.into_inner().instances)
    }

    pub(crate) async fn scale(
        &mut self,
        service: &str,
        wanted: Scale,
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let (doing, instances) = match wanted {
            Scale::To(instances) => (format!("scale `{service}` to {instances}"), instances),
            Scale::ByRule => (format!("leave `{service}` to its rule"), 0),
        };
        let (service, automatic) = (service.to_owned(), wanted == Scale::ByRule);
        let request = ScaleRequest { service, instances, no_wait: wait == Wait::No, automatic };
        let answer = self.0.scale(request).await.map_err(refused(doing))?;
        Ok(answer.into_inner().instances)
    }

    /// Asks the node to stop everything and to end. The connection may break before the answer.
    pub(crate) async fn shutdown(&mut self) -> Result<(), ClientError> {
        match self.0.shutdown(ShutdownRequest {}).await {
            Ok(_) => Ok(()),
            Err(status) if is_broken(&status) => Ok(()),
            Err(status) => Err(refused("stop the node")(status)),
        }
    }
}

fn bounded<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT);
    request
}

fn doing(verb: &str, names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{verb} {}", quoted.join(", "))
}
