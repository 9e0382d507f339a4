//! A service that does as it is told, and the node's side of it.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use blackhole_actors::link::{LinkError, NodeSide, accept};
use blackhole_protocol::{
    InstanceId,
    link::{Assignment, ToNode},
    storage::v1::{
        Block, DeleteRequest, DeleteResponse, DownloadRequest, DownloadResponse, ListRequest,
        ListResponse, StatRequest, StatResponse, UploadRequest, UploadResponse,
        storage_service_client::StorageServiceClient,
        storage_service_server::{StorageService, StorageServiceServer},
    },
};
use blackhole_sdk::{Context, Draining, Embedded, Ending, Routes, Service, ServiceError, embed};
use hyper_util::rt::TokioIo;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::{v1, v1alpha};

const DEADLINE: Duration = Duration::from_secs(20);

/// Longer than any test may take: a stop that waits for it fails the test.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

/// Fails the test, rather than waiting for ever.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within the deadline")
}

/// The node's side of one embedded service.
pub(crate) struct Node {
    pub(crate) link: NodeSide,
    pub(crate) service: Embedded,
    pub(crate) ended: Option<Pin<Box<dyn Future<Output = Ending> + Send>>>,
    entered: Arc<Notify>,
    directory: tempfile::TempDir,
}

impl Node {
    pub(crate) async fn begin(settings: &str) -> Self {
        let mut node = Self::begin_with(settings, GRACE).await;
        assert_eq!(node.hear().await.expect("heard"), ToNode::Ready);
        node
    }

    pub(crate) async fn begin_with(settings: &str, grace: Duration) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("grpc.sock")).expect("bound");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let instance =
            InstanceId { service: "storage".parse().expect("a name"), index: NonZeroU32::MIN };
        let service = embed::<Obedient>(&instance, listener, theirs).expect("a thread");
        let assignment = Assignment {
            node: "test".into(),
            instance,
            generation: 1,
            data_dir: directory.path().into(),
            runtime_dir: directory.path().into(),
            sockets: BTreeMap::new(),
            settings: settings.into(),
            grace_ms: grace.as_millis().try_into().expect("not that long"),
        };
        ours.set_nonblocking(true).expect("non-blocking");
        let ours = tokio::net::UnixStream::from_std(ours).expect("registered");
        let link = bounded(accept(ours, assignment)).await.expect("a handshake");
        let ended = Some(Box::pin(service.ended()) as _);
        let entered = Arc::default();
        Self { link, service, ended, entered, directory }
    }

    pub(crate) async fn hear(&mut self) -> Result<ToNode, LinkError> {
        bounded(self.link.receive()).await
    }

    pub(crate) async fn ended(&mut self) -> Ending {
        bounded(self.ended.take().expect("once")).await
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("grpc.sock")
    }

    pub(crate) fn channel(&self) -> impl Future<Output = Channel> + Send + 'static {
        channel(self.socket())
    }

    /// Asks the service to do what `order` says.
    pub(crate) fn stat(
        &self,
        order: &str,
    ) -> impl Future<Output = Result<String, Status>> + Send + 'static {
        let (channel, cid, entered) = (self.channel(), order.to_owned(), self.entered.clone());
        async move {
            let mut client = StorageServiceClient::new(channel.await);
            entered.notify_one();
            let answer = bounded(client.stat(StatRequest { cid })).await?;
            Ok(answer.into_inner().block.expect("a block").cid)
        }
    }

    /// Waits until a request has been sent and whatever was sent before it has been answered.
    pub(crate) async fn entered(&self) {
        bounded(self.entered.notified()).await;
        self.stat("ready").await.expect("answered");
    }

    /// What both versions of reflection list, which has to be the same.
    pub(crate) async fn reflected(&self) -> Vec<String> {
        let mut client =
            v1::server_reflection_client::ServerReflectionClient::new(self.channel().await);
        let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
        let request =
            v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let answer = client.server_reflection_info(once(request)).await.expect("answered");
        let answer = answer.into_inner().message().await.expect("open").expect("an answer");
        let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
            answer.message_response
        else {
            panic!("no list")
        };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();

        let mut client =
            v1alpha::server_reflection_client::ServerReflectionClient::new(self.channel().await);
        let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
        let request =
            v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let answer = client.server_reflection_info(once(request)).await.expect("answered");
        let answer = answer.into_inner().message().await.expect("open").expect("an answer");
        let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
            answer.message_response
        else {
            panic!("no list")
        };
        let other: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        assert_eq!(names, other);
        names.sort();
        names
    }
}

fn once<T: Send + 'static>(item: T) -> impl tonic::IntoStreamingRequest<Message = T> {
    Request::new(tonic::codegen::tokio_stream::once(item))
}

async fn channel(socket: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connector).await.expect("connected")
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    start: Option<String>,
}

#[derive(Clone)]
struct Obedient {
    draining: Draining,
    fragile: ActorRef<()>,
}

impl Service for Obedient {
    const NAME: &'static str = "storage";
    type Settings = Settings;

    async fn start(context: Context<Settings>) -> Result<Self, ServiceError> {
        if context.settings.start.as_deref() == Some("panic") {
            panic!("as asked");
        }
        let fragile = context.spawn("fragile", Fragile, ()).await?;
        Ok(Self { draining: context.draining(), fragile })
    }

    fn register(&self, routes: &mut Routes) {
        routes.add(StorageServiceServer::new(self.clone()));
    }
}

/// Fails at its first message.
struct Fragile;

impl Actor for Fragile {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("had enough".into())
    }
}

fn unimplemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not part of the test"))
}

#[tonic::async_trait]
impl StorageService for Obedient {
    type DownloadStream = tonic::codegen::BoxStream<DownloadResponse>;

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let cid = request.into_inner().cid;
        match cid.as_str() {
            "until draining" => self.draining.begun().await,
            "for ever" => std::future::pending().await,
            "panic" => panic!("as asked"),
            "end actor" => self.fragile.cast(()).expect("it lives"),
            _ => {}
        }
        Ok(Response::new(StatResponse { block: Some(Block { cid, ..Block::default() }) }))
    }

    async fn upload(
        &self,
        _: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        unimplemented()
    }

    async fn download(
        &self,
        _: Request<DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        unimplemented()
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        unimplemented()
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        unimplemented()
    }
}
