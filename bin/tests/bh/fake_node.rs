//! A control server with one fixed state, in the test's own process.

use std::{
    os::unix::net::UnixListener,
    path::Path,
    pin::Pin,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use blackhole_protocol::control::v1::{
    self as proto, InstanceState, InstanceStatus, LastExit, NodeState, ServiceKind,
    control_service_server::{ControlService, ControlServiceServer},
};
use prost_types::{Duration, Timestamp};
use tokio::sync::oneshot;
use tokio_stream::{Stream, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status};

/// 2026-11-21T08:00:00Z.
const AT: i64 = 1_795_248_000;

/// The server, until it is dropped.
pub(crate) struct FakeNode {
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    node: Answers,
}

/// What it answers, and what it was asked.
#[derive(Clone)]
struct Answers {
    requests: Arc<Mutex<Vec<String>>>,
    /// Stands for the guardian: a process that the test owns.
    guardian: Arc<Mutex<Child>>,
}

impl FakeNode {
    /// Listens in `dir`.
    pub(crate) fn listen(dir: &Path) -> Self {
        let guardian = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let node = Answers { requests: Arc::default(), guardian: Arc::new(Mutex::new(guardian)) };
        let listener = UnixListener::bind(dir.join("control.sock")).expect("a free path");
        let (stop, stopped) = oneshot::channel();
        let served = node.clone();
        let server = thread::spawn(move || serve(served, listener, stopped));
        Self { stop: Some(stop), server: Some(server), node }
    }

    /// The requests that changed something, in their order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.node.requests.lock().expect("no test panicked").clone()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.node.end_guardian();
        // A server that has ended by itself has panicked, which `join` tells.
        let _ = self.stop.take().expect("dropped once").send(());
        let ended = self.server.take().expect("dropped once").join();
        assert!(ended.is_ok() || thread::panicking(), "the server panicked");
    }
}

fn serve(node: Answers, listener: UnixListener, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::UnixListener::from_std(listener).expect("a socket");
        let server = tonic::transport::Server::builder()
            .add_service(ControlServiceServer::new(node))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::select! {
            served = server => served.expect("it serves until it is stopped"),
            _ = stopped => {}
        }
    });
}

impl Answers {
    fn note(&self, request: String) {
        self.requests.lock().expect("no test panicked").push(request);
    }

    fn end_guardian(&self) {
        let mut guardian = self.guardian.lock().expect("no test panicked");
        // It may have been ended before.
        let _ = guardian.kill();
        guardian.wait().expect("a child can be waited for");
    }
}

fn duration(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 250_000_000 })
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: AT + seconds, nanos: 7_000_000 })
}

/// Two hours before the table is printed: its width must not depend on the day.
fn two_hours_ago() -> Option<Timestamp> {
    let ago = std::time::Duration::from_secs(2 * 3600 + 30);
    Some((std::time::SystemTime::now() - ago).into())
}

fn instance(service: &str, instance: u32, state: InstanceState) -> InstanceStatus {
    InstanceStatus {
        service: service.into(),
        instance,
        kind: ServiceKind::Command.into(),
        state: state.into(),
        ready: state == InstanceState::Ready,
        generation: 1,
        ..InstanceStatus::default()
    }
}

/// As of an instance with a control group of both versions.
fn usage() -> proto::Usage {
    proto::Usage {
        scope: proto::UsageScope::Group.into(),
        memory_bytes: 8_493_466,
        memory_peak_bytes: Some(9 << 20),
        memory_max_bytes: Some(64 << 20),
        swap_bytes: None,
        cpu: duration(2),
        throttled: duration(1),
        throttled_periods: Some(12),
        io_read_bytes: Some(4096),
        io_written_bytes: Some(0),
        processes: 2,
        threads: 7,
        descriptors: Some(21),
        connections: Some(3),
        cpu_pressure: Some(proto::Pressure { some_percent: 1.5, full_percent: 0.0 }),
        memory_pressure: Some(proto::Pressure::default()),
        io_pressure: None,
    }
}

/// One instance in each of the usual situations.
pub(crate) fn instances() -> Vec<InstanceStatus> {
    let identity = InstanceStatus {
        kind: ServiceKind::Native.into(),
        pid: Some(4250),
        uptime: duration(192),
        memory_bytes: Some(8_493_466),
        cpu_percent: Some(0.25),
        usage: Some(usage()),
        ..instance("identity", 1, InstanceState::Ready)
    };
    let api = InstanceStatus {
        group: "web".into(),
        pid: Some(4260),
        generation: 4,
        restarts: 3,
        uptime: duration(7),
        memory_bytes: Some(1_288_490_188),
        cpu_percent: Some(99.96),
        last_exit: Some(LastExit {
            at: two_hours_ago(),
            reason: "oom".into(),
            code: None,
            signal: Some("SIGKILL".into()),
        }),
        ..instance("api", 1, InstanceState::Ready)
    };
    let second = InstanceStatus {
        group: "web".into(),
        generation: 6,
        restarts: 5,
        last_exit: Some(LastExit {
            at: two_hours_ago(),
            reason: "exit".into(),
            code: Some(1),
            signal: None,
        }),
        note: "restarts in 4 s\u{1b}[31m".into(),
        ..instance("api", 2, InstanceState::BackingOff)
    };
    vec![identity, api, second, instance("cron", 1, InstanceState::Disabled)]
}

fn event(sequence: u64, event: &str) -> proto::Event {
    proto::Event {
        at: at(sequence.cast_signed()),
        event: event.into(),
        sequence,
        ..Default::default()
    }
}

fn events() -> Vec<proto::Event> {
    vec![
        event(1, "node_started"),
        proto::Event {
            service: "api".into(),
            instance: 1,
            generation: 4,
            pid: Some(4260),
            ..event(2, "spawned")
        },
        proto::Event {
            service: "api".into(),
            instance: 2,
            generation: 6,
            pid: Some(4261),
            reason: "exit".into(),
            message: "exited with 1".into(),
            ..event(3, "exited")
        },
    ]
}

fn history() -> Vec<proto::HistoryEntry> {
    let died = proto::HistoryEntry {
        at: at(0),
        service: "api".into(),
        instance: 1,
        generation: 3,
        pid: Some(4255),
        reason: "oom".into(),
        signal: Some("SIGKILL".into()),
        uptime: duration(61),
        stderr: "loading\n".into(),
        message: "the kernel killed it: out of memory".into(),
        ..Default::default()
    };
    let missing = proto::HistoryEntry {
        at: at(1),
        service: "worker".into(),
        instance: 1,
        generation: 1,
        reason: "spawn".into(),
        stage: Some("executing".into()),
        message: "could not start `worker` while executing `/srv/worker`".into(),
        ..Default::default()
    };
    vec![died, missing]
}

fn log_records() -> Vec<proto::LogRecord> {
    let record = |seconds, instance, message: &str| proto::LogRecord {
        at: at(seconds),
        node: "dev".into(),
        service: "api".into(),
        instance,
        generation: 4,
        pid: 4260,
        level: "info".into(),
        message: message.into(),
        fields: String::new(),
        stream: proto::Stream::Stdout.into(),
    };
    let structured =
        proto::LogRecord { fields: r#"{"port":8000}"#.into(), ..record(1, 2, "listening") };
    vec![record(0, 1, "hello"), structured]
}

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn stream<T: Send + 'static>(items: Vec<T>) -> Streamed<T> {
    Box::pin(tokio_stream::iter(items.into_iter().map(Ok)))
}

fn known(names: &[String]) -> Result<(), Status> {
    let unknown = names.iter().find(|name| !["identity", "api", "web", "cron"].contains(&&***name));
    unknown.map_or(Ok(()), |name| {
        Err(Status::not_found(format!(
            "no service or group is called `{name}`\nhint: known are api, cron, identity, web"
        )))
    })
}

const MIB: f64 = 1048576.0;

/// A supervisor without children is asked to start, and is up at once.
const RECORDING: [&str; 3] = [
    r#"{"incident":{"version":1,"node":"dev"}}"#,
    r#"{"checkpoint":{"supervisor":"root #1","remembers":{"spec":{"strategy":"one_for_one","discipline":"concurrent","counting":"per_child","auto_shutdown":"never"},"template":null,"children":[],"restarts":[],"groups":[],"course":"unstarted","generation_floor":0,"generation_max":0}}}"#,
    r#"{"decided":{"supervisor":"root #1","at_ns":5,"event":"start_requested","commands":["Up"],"deadline_ns":null}}"#,
];

#[tonic::async_trait]
impl ControlService for Answers {
    async fn get_status(
        &self,
        request: Request<proto::GetStatusRequest>,
    ) -> Answer<proto::GetStatusResponse> {
        let names = request.into_inner().names;
        known(&names)?;
        let guardian_pid = self.guardian.lock().expect("no test panicked").id();
        let node = proto::NodeStatus {
            name: "dev".into(),
            pid: 4242,
            guardian_pid,
            uptime: duration(200_000),
            version: "0.1.0".into(),
            state: NodeState::Running.into(),
        };
        let chosen = |status: &InstanceStatus| names.is_empty() || names.contains(&status.service);
        let instances = instances().into_iter().filter(chosen).collect();
        let budget = proto::Budget {
            cpu: Some(proto::BudgetShare {
                total: 1.8,
                guaranteed: 0.5,
                wanted: 0.123,
                squeezed: Vec::new(),
            }),
            memory: Some(proto::BudgetShare {
                total: 120.0 * MIB,
                guaranteed: 40.0 * MIB,
                wanted: 150.5 * MIB,
                squeezed: vec!["cron-1".into()],
            }),
        };
        Ok(Response::new(proto::GetStatusResponse {
            node: Some(node),
            instances,
            budget: Some(budget),
        }))
    }

    async fn start(&self, request: Request<proto::StartRequest>) -> Answer<proto::StartResponse> {
        let request = request.into_inner();
        known(&request.names)?;
        self.note(format!("start {:?} no_wait={}", request.names, request.no_wait));
        let instances =
            instances().into_iter().filter(|it| request.names.contains(&it.service)).collect();
        Ok(Response::new(proto::StartResponse { instances }))
    }

    async fn stop(&self, request: Request<proto::StopRequest>) -> Answer<proto::StopResponse> {
        let request = request.into_inner();
        known(&request.names)?;
        self.note(format!("stop {:?} no_wait={}", request.names, request.no_wait));
        let stopped = |name: &String| instance(name, 1, InstanceState::Stopped);
        let instances = request.names.iter().map(stopped).collect();
        Ok(Response::new(proto::StopResponse { instances }))
    }

    async fn restart(
        &self,
        request: Request<proto::RestartRequest>,
    ) -> Answer<proto::RestartResponse> {
        let request = request.into_inner();
        known(&request.names)?;
        self.note(format!("restart {:?} no_wait={}", request.names, request.no_wait));
        let instances =
            instances().into_iter().filter(|it| request.names.contains(&it.service)).collect();
        Ok(Response::new(proto::RestartResponse { instances }))
    }

    async fn scale(&self, request: Request<proto::ScaleRequest>) -> Answer<proto::ScaleResponse> {
        let request = request.into_inner();
        known(std::slice::from_ref(&request.service))?;
        let wanted = match request.automatic {
            true => "auto".to_owned(),
            false => request.instances.to_string(),
        };
        self.note(format!("scale {} {wanted}", request.service));
        let ready = |number| instance(&request.service, number, InstanceState::Ready);
        let instances = (1..=request.instances).map(ready).collect();
        Ok(Response::new(proto::ScaleResponse { instances }))
    }

    async fn shutdown(
        &self,
        _request: Request<proto::ShutdownRequest>,
    ) -> Answer<proto::ShutdownResponse> {
        self.note("shutdown".into());
        self.end_guardian();
        Ok(Response::new(proto::ShutdownResponse {}))
    }

    async fn get_history(
        &self,
        request: Request<proto::GetHistoryRequest>,
    ) -> Answer<proto::GetHistoryResponse> {
        known(&request.into_inner().names)?;
        Ok(Response::new(proto::GetHistoryResponse { entries: history() }))
    }

    type StreamEventsStream = Streamed<proto::Event>;

    async fn stream_events(
        &self,
        request: Request<proto::StreamEventsRequest>,
    ) -> Answer<Self::StreamEventsStream> {
        known(&request.into_inner().names)?;
        Ok(Response::new(stream(events())))
    }

    type RecordStream = Streamed<proto::RecordResponse>;

    async fn record(&self, _: Request<proto::RecordRequest>) -> Answer<Self::RecordStream> {
        let lines = RECORDING.iter().map(|line| proto::RecordResponse { line: (*line).to_owned() });
        Ok(Response::new(stream(lines.collect())))
    }

    type StreamLogsStream = Streamed<proto::LogRecord>;

    async fn stream_logs(
        &self,
        request: Request<proto::StreamLogsRequest>,
    ) -> Answer<Self::StreamLogsStream> {
        let request = request.into_inner();
        known(&request.names)?;
        self.note(format!("logs {request:?}"));
        Ok(Response::new(stream(log_records())))
    }
}
