//! The client of a node's control API: connects, calls, and turns refusals into errors.
//!
//! It prints nothing and does not know what the answers are for.

use std::{error::Error as _, fmt, io, path::PathBuf, time::Duration};

use blackhole_protocol::control::v1::{
    Event, GetHistoryRequest, GetStatusRequest, GetStatusResponse, HistoryEntry, InstanceStatus,
    LogRecord, RestartRequest, ScaleRequest, ShutdownRequest, StartRequest, StopRequest,
    StreamEventsRequest, StreamLogsRequest, control_service_client::ControlServiceClient,
};
use tonic::{
    Code, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    exit_code::ExitCode,
    locate::{LocateError, NodeAddress},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For calls that the node answers from memory. Starting and stopping have deadlines of their own
/// in the node, and may be without any.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The history of many services is the largest answer, in bytes.
const ANSWER_LENGTH_MAX: usize = 64 << 20;

/// A connection to one node.
#[derive(Debug, Clone)]
pub(crate) struct Client(ControlServiceClient<Channel>);

/// Why the node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("the path of the node's socket is not text: `{}`", .0.display())]
    Path(PathBuf),
    #[error("could not connect to the node at `{}`", .socket.display())]
    Connect {
        socket: PathBuf,
        source: tonic::transport::Error,
    },
    #[error("could not wait for the end of the node's process")]
    Watch(#[source] io::Error),
    #[error("could not {doing}")]
    Call { doing: String, source: Refusal },
}

/// The node's answer when it is no: its text, without gRPC's decoration.
#[derive(Debug)]
pub(crate) struct Refusal(Status);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.code() {
            Code::Unimplemented => write!(
                formatter,
                "the node does not know this request\n\
                 hint: it runs another version than this `bh`; compare `bh version` and `bh status`"
            ),
            Code::DeadlineExceeded | Code::Cancelled if self.0.message().contains("imeout") => {
                write!(formatter, "the node did not answer in time")
            }
            Code::Unavailable | Code::Unknown => {
                write!(
                    formatter,
                    "the connection to the node broke: {}",
                    self.0.message()
                )
            }
            _ => formatter.write_str(self.0.message()),
        }
    }
}

impl std::error::Error for Refusal {}

impl ClientError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Locate(error) => error.exit_code(),
            Self::Path(_) => ExitCode::Usage,
            Self::Watch(_) => ExitCode::Io,
            Self::Connect { .. } => ExitCode::Unavailable,
            Self::Call {
                source: Refusal(status),
                ..
            } => match status.code() {
                Code::InvalidArgument => ExitCode::Usage,
                Code::PermissionDenied | Code::Unauthenticated => ExitCode::NoPermission,
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Unimplemented => {
                    ExitCode::Unavailable
                }
                Code::Internal | Code::DataLoss => ExitCode::Internal,
                _ => ExitCode::Failed,
            },
        }
    }
}

fn refused(doing: impl Into<String>) -> impl FnOnce(Status) -> ClientError {
    let doing = doing.into();
    move |status| ClientError::Call {
        doing,
        source: Refusal(status),
    }
}

/// Whether a change is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    UntilDone,
    No,
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
        let request = bounded(GetStatusRequest {
            names: names.to_vec(),
        });
        let answer = self.0.get_status(request).await;
        answer
            .map(Response::into_inner)
            .map_err(refused("read the status"))
    }

    pub(crate) async fn history(
        &mut self,
        names: &[String],
    ) -> Result<Vec<HistoryEntry>, ClientError> {
        let request = bounded(GetHistoryRequest {
            names: names.to_vec(),
        });
        let answer = self
            .0
            .get_history(request)
            .await
            .map_err(refused("read the history"))?;
        Ok(answer.into_inner().entries)
    }

    pub(crate) async fn events(
        &mut self,
        request: StreamEventsRequest,
    ) -> Result<Records<Event>, ClientError> {
        let answer = self
            .0
            .stream_events(request)
            .await
            .map_err(refused("read events"))?;
        Ok(Records {
            stream: answer.into_inner(),
            doing: "read events",
        })
    }

    pub(crate) async fn logs(
        &mut self,
        request: StreamLogsRequest,
    ) -> Result<Records<LogRecord>, ClientError> {
        let answer = self
            .0
            .stream_logs(request)
            .await
            .map_err(refused("read logs"))?;
        Ok(Records {
            stream: answer.into_inner(),
            doing: "read logs",
        })
    }

    pub(crate) async fn start(
        &mut self,
        names: &[String],
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let request = StartRequest {
            names: names.to_vec(),
            no_wait: wait == Wait::No,
        };
        let answer = self
            .0
            .start(request)
            .await
            .map_err(refused(doing("start", names)))?;
        Ok(answer.into_inner().instances)
    }

    pub(crate) async fn stop(
        &mut self,
        names: &[String],
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let request = StopRequest {
            names: names.to_vec(),
            no_wait: wait == Wait::No,
        };
        let answer = self
            .0
            .stop(request)
            .await
            .map_err(refused(doing("stop", names)))?;
        Ok(answer.into_inner().instances)
    }

    pub(crate) async fn restart(
        &mut self,
        names: &[String],
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let request = RestartRequest {
            names: names.to_vec(),
            no_wait: wait == Wait::No,
        };
        let answer = self
            .0
            .restart(request)
            .await
            .map_err(refused(doing("restart", names)))?;
        Ok(answer.into_inner().instances)
    }

    pub(crate) async fn scale(
        &mut self,
        service: &str,
        instances: u32,
        wait: Wait,
    ) -> Result<Vec<InstanceStatus>, ClientError> {
        let doing = format!("scale `{service}` to {instances}");
        let request = ScaleRequest {
            service: service.to_owned(),
            instances,
            no_wait: wait == Wait::No,
        };
        let answer = self.0.scale(request).await.map_err(refused(doing))?;
        Ok(answer.into_inner().instances)
    }

    /// Asks the node to stop everything and to end. The connection may break before the answer.
    pub(crate) async fn shutdown(&mut self) -> Result<(), ClientError> {
        match self.0.shutdown(ShutdownRequest {}).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::Unavailable => Ok(()),
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

/// What the node sends one after the other.
pub(crate) struct Records<T> {
    stream: Streaming<T>,
    doing: &'static str,
}

impl<T> Records<T> {
    /// The next one; `None` when there are no more, also because the node has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, ClientError> {
        match self.stream.message().await {
            Err(status) if is_node_gone(&status) => Ok(None),
            answer => answer.map_err(refused(self.doing)),
        }
    }
}

/// A node that ends closes its connections without a farewell to each stream.
fn is_node_gone(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown) && status.source().is_some()
}
