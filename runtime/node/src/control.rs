//! The control API on `<runtime_dir>/control.sock`.
//!
//! Answers only peers that run as the node's own user or as root, which the kernel vouches for.
//! Reads come from the registry, wishes go to the [`Operator`]; nothing is decided here.

mod peer;
mod wire;

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime},
};

use blackhole_protocol::control::v1::{
    self as proto,
    control_service_server::{ControlService, ControlServiceServer},
};
use futures::{Stream, StreamExt, stream};
use regex::Regex;
use tokio::net::UnixListener;
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status};

use crate::{
    adapting::Adapting,
    incident::{RecordError, Recorder},
    logs::{Filter, Logs, Query, Selector},
    operator::{Operator, OperatorError, Selection, Wait},
    registry::Registry,
    usage::Sampler,
};

/// Everything that the API is made of.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) registry: Registry,
    pub(crate) operator: Operator,
    pub(crate) logs: Logs,
    pub(crate) sampler: std::sync::Arc<Sampler>,
    pub(crate) adapting: Adapting,
    pub(crate) recorder: Recorder,
    pub(crate) identity: Identity,
}

/// What the node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) guardian_pid: u32,
}

/// Serves the API until `ended`; then nobody new is let in, and it comes back when everybody who asked for
/// something has an answer. What the server is made of is made for the first who connects: a node that
/// nobody speaks to starts sooner, and is smaller.
pub(crate) async fn serve(
    listener: UnixListener,
    control: Control,
    ended: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let mut connections = std::pin::pin!(peer::trusted(listener));
    let mut ended = std::pin::pin!(ended);
    let first = tokio::select! {
        first = connections.next() => first,
        () = &mut ended => return Ok(()),
    };
    let connections = stream::iter(first).chain(connections);
    let descriptors = blackhole_protocol::descriptors::ALL;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
    };
    tonic::transport::Server::builder()
        .http2_keepalive_interval(None::<Duration>)
        .add_service(reflection().build_v1().expect("the committed descriptors are valid"))
        .add_service(reflection().build_v1alpha().expect("the committed descriptors are valid"))
        .add_service(ControlServiceServer::new(control))
        .serve_with_incoming_shutdown(connections, ended)
        .await
}

type EventStream = Pin<Box<dyn Stream<Item = Result<proto::Event, Status>> + Send>>;
type RecordStream = Pin<Box<dyn Stream<Item = Result<proto::RecordResponse, Status>> + Send>>;
type LogStream = Pin<Box<dyn Stream<Item = Result<proto::LogRecord, Status>> + Send>>;

impl Control {
    fn select(&self, names: &[String]) -> Result<Selection, Status> {
        Ok(self.operator.select(names)?)
    }

    fn query(&self, request: &proto::StreamLogsRequest) -> Result<Query, Status> {
        let instances = if request.names.is_empty() {
            Filter::all()
        } else {
            let selection = self.select(&request.names)?;
            Filter::only(selection.services().cloned().map(Selector::Service))
        };
        let since = request.since.map(SystemTime::try_from).transpose();
        let grep = (!request.grep.is_empty()).then(|| Regex::new(&request.grep)).transpose();
        Ok(Query {
            instances,
            since: since.map_err(|_| Status::invalid_argument("`since` is no time"))?,
            grep: grep.map_err(|error| Status::invalid_argument(format!("`grep`: {error}")))?,
            tail: usize::try_from(request.tail).ok().filter(|tail| *tail > 0),
        })
    }

    /// What processes use is read off the node's thread: no restart waits for it.
    async fn rows(&self, selection: Selection) -> Result<Vec<proto::InstanceStatus>, Status> {
        let (registry, sampler) = (self.registry.clone(), self.sampler.clone());
        let look = move || {
            let entries = registry.entries(|entry| selection.contains(&entry.instance.service));
            let mut look = sampler.look();
            entries.iter().map(|entry| wire::status(entry, &mut look)).collect()
        };
        let rows = tokio::task::spawn_blocking(look).await;
        rows.map_err(|error| Status::internal(format!("could not look at processes: {error}")))
    }
}

#[tonic::async_trait]
impl ControlService for Control {
    async fn get_status(
        &self,
        request: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Status> {
        let selection = self.select(&request.into_inner().names)?;
        Ok(Response::new(proto::GetStatusResponse {
            node: Some(wire::node(&self.registry, &self.identity)),
            instances: self.rows(selection).await?,
            budget: self.adapting.standings().map(|standings| wire::budget(&standings)),
        }))
    }

    async fn start(
        &self,
        request: Request<proto::StartRequest>,
    ) -> Result<Response<proto::StartResponse>, Status> {
        let request = request.into_inner();
        let selection = self.operator.select_some(&request.names)?;
        self.operator.start(&selection, Wait::from(request.no_wait)).await?;
        Ok(Response::new(proto::StartResponse { instances: self.rows(selection).await? }))
    }

    async fn stop(
        &self,
        request: Request<proto::StopRequest>,
    ) -> Result<Response<proto::StopResponse>, Status> {
        let request = request.into_inner();
        let selection = self.operator.select_some(&request.names)?;
        self.operator.stop(&selection, Wait::from(request.no_wait)).await?;
        Ok(Response::new(proto::StopResponse { instances: self.rows(selection).await? }))
    }

    async fn restart(
        &self,
        request: Request<proto::RestartRequest>,
    ) -> Result<Response<proto::RestartResponse>, Status> {
        let request = request.into_inner();
        let selection = self.operator.select_some(&request.names)?;
        self.operator.restart(&selection, Wait::from(request.no_wait)).await?;
        Ok(Response::new(proto::RestartResponse { instances: self.rows(selection).await? }))
    }

    async fn scale(
        &self,
        request: Request<proto::ScaleRequest>,
    ) -> Result<Response<proto::ScaleResponse>, Status> {
        let request = request.into_inner();
        let selection = self.operator.select_some(std::slice::from_ref(&request.service))?;
        let wait = Wait::from(request.no_wait);
        if request.automatic {
            self.operator.scale_automatically(&request.service)?;
        } else {
            self.operator.scale(&request.service, request.instances, wait).await?;
        }
        Ok(Response::new(proto::ScaleResponse { instances: self.rows(selection).await? }))
    }

    async fn shutdown(
        &self,
        _: Request<proto::ShutdownRequest>,
    ) -> Result<Response<proto::ShutdownResponse>, Status> {
        self.operator.shut_down();
        Ok(Response::new(proto::ShutdownResponse {}))
    }

    async fn get_history(
        &self,
        request: Request<proto::GetHistoryRequest>,
    ) -> Result<Response<proto::GetHistoryResponse>, Status> {
        let selection = self.select(&request.into_inner().names)?;
        let entries = self
            .registry
            .complete_history(|entry| selection.contains(&entry.instance.service))
            .await
            .into_iter()
            .map(wire::history)
            .collect();
        Ok(Response::new(proto::GetHistoryResponse { entries }))
    }

    type StreamEventsStream = EventStream;

    async fn stream_events(
        &self,
        request: Request<proto::StreamEventsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        let request = request.into_inner();
        let selection = self.select(&request.names)?;
        let everything = request.names.is_empty();
        let (held, live) = self.registry.subscribe();
        // A subscriber that lags sees a gap in the sequence; the channel then goes on with the
        // oldest event that is left.
        let live = BroadcastStream::new(live).filter_map(async |event| event.ok());
        let live = if request.no_follow { live.take(0).left_stream() } else { live.right_stream() };
        let events = futures::stream::iter(held).chain(live).filter_map(move |event| {
            let wanted = match &event.instance {
                Some(instance) => selection.contains(&instance.service),
                None => everything,
            };
            std::future::ready(wanted.then(|| Ok(wire::event(&event))))
        });
        Ok(Response::new(events.boxed()))
    }

    type RecordStream = RecordStream;

    async fn record(
        &self,
        _: Request<proto::RecordRequest>,
    ) -> Result<Response<RecordStream>, Status> {
        let lines = self.recorder.record(&self.identity.name).map_err(|error| match error {
            RecordError::AlreadyRecorded => Status::failed_precondition(error.to_string()),
            RecordError::FellBehind => Status::data_loss(error.to_string()),
        })?;
        let lines = lines.map(|line| match line {
            Ok(line) => Ok(proto::RecordResponse { line }),
            Err(error) => Err(Status::data_loss(error.to_string())),
        });
        Ok(Response::new(lines.boxed()))
    }

    type StreamLogsStream = LogStream;

    async fn stream_logs(
        &self,
        request: Request<proto::StreamLogsRequest>,
    ) -> Result<Response<LogStream>, Status> {
        let request = request.into_inner();
        let query = self.query(&request)?;
        let records =
            if request.follow { self.logs.read_and_follow(query) } else { self.logs.read(query) };
        let records = records.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        let records = records.map(|entry| match entry {
            Ok(entry) => Ok(proto::LogRecord::from(&entry)),
            Err(error) => Err(Status::data_loss(chain(&error))),
        });
        Ok(Response::new(records.boxed()))
    }
}

impl From<OperatorError> for Status {
    fn from(error: OperatorError) -> Self {
        let text = error.to_string();
        match error {
            OperatorError::UnknownName { .. } => Self::not_found(text),
            OperatorError::NoName
            | OperatorError::NoInstances { .. }
            | OperatorError::TooManyInstances { .. } => Self::invalid_argument(text),
            OperatorError::Disabled { .. }
            | OperatorError::NotScalable { .. }
            | OperatorError::GroupDown { .. } => Self::failed_precondition(text),
            OperatorError::Superseded { .. } | OperatorError::StartFailed { .. } => {
                Self::aborted(text)
            }
            OperatorError::InsufficientResources(_) => Self::resource_exhausted(text),
            OperatorError::NodeStopping => Self::unavailable(text),
        }
    }
}

/// An error with everything that led to it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
