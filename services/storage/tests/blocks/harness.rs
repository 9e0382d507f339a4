//! A served store, and the usual ways to talk to it.

use std::{
    fs,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use blackhole_protocol::storage::v1::{
    Block, DeleteRequest, DownloadRequest, HashAlgorithm, ListRequest, ListResponse, StatRequest,
    UploadHeader, UploadRequest, UploadResponse, storage_service_client::StorageServiceClient,
    upload_request::Message,
};
use blackhole_storage::{BlockService, Settings, Store};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::{Stream, wrappers::UnixListenerStream};
use tonic::{
    Status,
    transport::{Channel, Endpoint, Server},
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) type Client = StorageServiceClient<Channel>;

/// A store in a folder of its own, served by a task of the test's runtime.
pub(crate) struct Served {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) client: Client,
}

impl Served {
    pub(crate) async fn begin() -> Self {
        Self::begin_with(Settings::default()).await
    }

    pub(crate) async fn begin_with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), settings.size_max.0).unwrap();
        let listener = UnixListener::bind(directory.path().join("grpc.sock")).unwrap();
        let service = BlockService::new(store, &settings).into_server();
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        let (client, _) = connect(directory.path().join("grpc.sock")).await;
        Self { directory, client }
    }

    /// A client with a connection of its own, and a handle on that connection.
    pub(crate) async fn connect(&self) -> (Client, StdUnixStream) {
        connect(self.directory.path().join("grpc.sock")).await
    }

    pub(crate) async fn store(&mut self, bytes: &[u8]) -> UploadResponse {
        self.upload(messages(UploadHeader::default(), bytes)).await.unwrap()
    }

    pub(crate) async fn upload(
        &mut self,
        messages: Vec<UploadRequest>,
    ) -> Result<UploadResponse, Status> {
        upload(&mut self.client, tokio_stream::iter(messages)).await
    }

    /// What came before the end, and how it ended.
    pub(crate) async fn download(&mut self, request: DownloadRequest) -> (Vec<u8>, Option<Status>) {
        let mut bytes = Vec::new();
        let mut pieces = match bounded(self.client.download(request)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return (bytes, Some(status)),
        };
        loop {
            match bounded(pieces.message()).await {
                Ok(Some(piece)) => bytes.extend(piece.data),
                Ok(None) => return (bytes, None),
                Err(status) => return (bytes, Some(status)),
            }
        }
    }

    pub(crate) async fn download_whole(&mut self, cid: &str) -> Vec<u8> {
        let (bytes, error) = self.download(whole(cid)).await;
        assert!(error.is_none(), "{error:?}");
        bytes
    }

    pub(crate) async fn stat(&mut self, cid: &str) -> Result<Block, Status> {
        let answer = bounded(self.client.stat(StatRequest { cid: cid.into() })).await?;
        Ok(answer.into_inner().block.expect("a block"))
    }

    pub(crate) async fn delete(&mut self, cid: &str) -> Result<(), Status> {
        bounded(self.client.delete(DeleteRequest { cid: cid.into() })).await.map(|_| ())
    }

    pub(crate) async fn list(
        &mut self,
        page_size: u32,
        token: &str,
    ) -> Result<ListResponse, Status> {
        let request = ListRequest { page_size, page_token: token.into() };
        Ok(bounded(self.client.list(request)).await?.into_inner())
    }

    /// Every block's file.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let shards = paths(&self.directory.path().join("blocks"));
        shards.iter().flat_map(|shard| paths(shard)).collect()
    }

    /// Every file that is being written.
    pub(crate) fn incoming(&self) -> Vec<PathBuf> {
        paths(&self.directory.path().join("incoming"))
    }

    /// Waits until nothing is being written any more; nothing must have been kept.
    pub(crate) async fn nothing_is_left(&self) {
        self.nothing_is_left_but(&[]).await;
    }

    /// Waits until nothing is being written any more; only this must have been kept.
    pub(crate) async fn nothing_is_left_but(&self, blocks: &[PathBuf]) {
        until("nothing is left in `incoming`", || self.incoming().is_empty()).await;
        assert_eq!(self.files(), blocks);
    }
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(crate) async fn connect(socket: PathBuf) -> (Client, StdUnixStream) {
    let stream = StdUnixStream::connect(socket).unwrap();
    let handle = stream.try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = Some(UnixStream::from_std(stream).unwrap());
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("connected once only"));
        std::future::ready(stream.map(TokioIo::new))
    });
    let endpoint = Endpoint::from_static("http://storage");
    let channel = bounded(endpoint.connect_with_connector(connector)).await.unwrap();
    (StorageServiceClient::new(channel), handle)
}

pub(crate) async fn upload(
    client: &mut Client,
    messages: impl Stream<Item = UploadRequest> + Send + 'static,
) -> Result<UploadResponse, Status> {
    Ok(bounded(client.upload(messages)).await?.into_inner())
}

/// Fails the test, rather than waiting for ever.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within the deadline")
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

pub(crate) fn header(header: UploadHeader) -> UploadRequest {
    UploadRequest { message: Some(Message::Header(header)) }
}

pub(crate) fn data(bytes: impl Into<Vec<u8>>) -> UploadRequest {
    UploadRequest { message: Some(Message::Data(bytes.into())) }
}

pub(crate) fn messages(announced: UploadHeader, bytes: &[u8]) -> Vec<UploadRequest> {
    let pieces = bytes.chunks(100_000).map(data);
    std::iter::once(header(announced)).chain(pieces).collect()
}

pub(crate) fn expecting(cid: &str, size: Option<u64>) -> UploadHeader {
    UploadHeader { cid: cid.into(), size, ..UploadHeader::default() }
}

pub(crate) fn by(algorithm: HashAlgorithm) -> UploadHeader {
    UploadHeader { hash_algorithm: algorithm.into(), ..UploadHeader::default() }
}

pub(crate) fn whole(cid: &str) -> DownloadRequest {
    DownloadRequest { cid: cid.into(), offset: 0, length: None }
}

/// Bytes that repeat at no power of two.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}
