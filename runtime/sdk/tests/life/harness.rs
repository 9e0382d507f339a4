//! A service that does as it is told, and the node's side of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use blackhole_protocol::storage::v1::{
    Block, DeleteRequest, DeleteResponse, DownloadRequest, DownloadResponse, ListRequest,
    ListResponse, StatRequest, StatResponse, UploadRequest, UploadResponse,
    storage_service_client::StorageServiceClient,
    storage_service_server::{StorageService, StorageServiceServer},
};
use blackhole_sdk::{
    ActorSpec, Context, Draining, Message, Reply, Routes, Service, ServiceError, Tree, TreeSpec,
    testing::{Host, bounded},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::{v1, v1alpha};

/// Longer than any test may take: a stop that waits for it fails the test.
pub(crate) const GRACE: Duration = Duration::from_secs(600);

/// One service.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) directory: tempfile::TempDir,
}

impl Node {
    pub(crate) async fn begin(settings: &str) -> Self {
        Self::begin_with(settings, GRACE).await.ready().await
    }

    pub(crate) async fn begin_with(settings: &str, grace: Duration) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let host = Host::start::<Obedient>(directory.path(), settings, grace).await;
        Self { host, directory }
    }

    pub(crate) async fn ready(mut self) -> Self {
        self.host = self.host.ready().await;
        self
    }

    /// Asks the service to do what `order` says.
    pub(crate) fn stat(
        &self,
        order: &str,
    ) -> impl Future<Output = Result<String, Status>> + Send + 'static {
        let (channel, cid) = (self.host.channel(), order.to_owned());
        async move {
            let mut client = StorageServiceClient::new(channel.await);
            let answer = bounded(client.stat(StatRequest { cid })).await?;
            Ok(answer.into_inner().block.expect("a block").cid)
        }
    }

    /// Waits until the service holds a request that it does not answer yet.
    pub(crate) async fn entered(&self) {
        self.stat("when one is held").await.expect("answered");
    }

    /// What both versions of reflection list, which has to be the same.
    pub(crate) async fn reflected(&self) -> Vec<String> {
        let mut client =
            v1::server_reflection_client::ServerReflectionClient::new(self.host.channel().await);
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

        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(
            self.host.channel().await,
        );
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

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    start: Option<String>,
}

#[derive(Clone)]
struct Obedient {
    draining: Draining,
    fragile: ActorRef<()>,
    held: Arc<Notify>,
    tree: Tree,
    starts: Arc<AtomicU32>,
}

impl Service for Obedient {
    const NAME: &'static str = "storage";
    type Settings = Settings;

    async fn start(context: Context<Settings>) -> Result<Self, ServiceError> {
        if context.settings.start.as_deref() == Some("panic") {
            panic!("as asked");
        }
        let fragile = context.spawn("fragile", Fragile::default(), ()).await?;
        if context.settings.start.as_deref() == Some("beside a failure") {
            context.spawn("bystander", Bystander(fragile.clone()), ()).await?;
        }
        let starts = Arc::<AtomicU32>::default();
        let counted = Fragile(starts.clone());
        let workers = TreeSpec::one_for_one()
            .restarts(1, GRACE)
            .child(ActorSpec::new("worker", move || (counted.clone(), ())));
        context.tree().add(ActorSpec::tree("workers", workers)).await?;
        context.host("patient", Patient(context.draining()), ()).await?;
        let (draining, tree) = (context.draining(), context.tree().clone());
        Ok(Self { draining, fragile, held: Arc::default(), tree, starts })
    }

    fn register(&self, routes: &mut Routes) {
        routes.add(StorageServiceServer::new(self.clone()));
    }
}

/// Fails at its first message, and counts its starts.
#[derive(Clone, Default)]
struct Fragile(Arc<AtomicU32>);

impl Actor for Fragile {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("had enough".into())
    }
}

/// Sees another actor fail before it has started itself.
struct Bystander(ActorRef<()>);

impl Actor for Bystander {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        self.0.cast(())?;
        self.0.wait(None).await?;
        Ok(())
    }
}

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_sdk")]
pub(crate) enum PatientMessage {
    /// To be answered some time after the stop has begun.
    UntilDraining(Reply<u64>),
    Get(Reply<u64>),
}

/// Is asked by other processes.
struct Patient(Draining);

impl Actor for Patient {
    type Msg = PatientMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<PatientMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<PatientMessage>,
        message: PatientMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PatientMessage::Get(reply) => reply.send(1),
            PatientMessage::UntilDraining(reply) => {
                let draining = self.0.clone();
                tokio::spawn(async move {
                    draining.begun().await;
                    for _ in 0..TURNS {
                        tokio::task::yield_now().await;
                    }
                    reply.send(2);
                });
            }
        }
        Ok(())
    }
}

/// Longer than it takes to stop a service that nobody asks anything.
const TURNS: u32 = 10_000;

fn unimplemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not part of the test"))
}

#[tonic::async_trait]
impl StorageService for Obedient {
    type DownloadStream = tonic::codegen::BoxStream<DownloadResponse>;

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let mut cid = request.into_inner().cid;
        match cid.as_str() {
            "until draining" => {
                self.held.notify_one();
                self.draining.begun().await;
            }
            "for ever" => {
                self.held.notify_one();
                std::future::pending().await
            }
            "when one is held" => self.held.notified().await,
            "panic" => panic!("as asked"),
            "end actor" => self.fragile.cast(()).expect("it lives"),
            "end worker" => {
                let workers = self.tree.tree("workers").expect("they are up");
                workers.actor("worker").expect("it is up").cast(()).expect("it lives");
            }
            "worker starts" => cid = self.starts.load(Ordering::SeqCst).to_string(),
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
