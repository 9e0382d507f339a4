//! A node's part of one service, for the tests of services: no node is needed to try one.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    os::fd::AsFd,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use blackhole_actors::link::{LinkError, NodeSide, accept};
use blackhole_process::{
    snapshot::{self, SnapshotFile},
    sockets::{EmbeddedEnds, NativeListeners},
};
use blackhole_protocol::{
    InstanceId,
    link::{Assignment, ToChild, ToNode},
};
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use crate::{Embedded, Ending, Service, embed};

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// An embedded service and its node's end of the link.
#[derive(Debug)]
pub struct Host {
    /// The node's end.
    pub link: NodeSide,
    /// The service.
    pub service: Embedded,
    socket: PathBuf,
}

/// A service's ends: of this link, and for its records the standard error.
///
/// # Panics
/// If there are no descriptors left.
pub fn ends(link: UnixStream) -> EmbeddedEnds {
    let records = std::io::stderr().as_fd().try_clone_to_owned();
    EmbeddedEnds { link, records: records.expect("there are descriptors") }
}

impl Host {
    /// Starts `S` with this directory for its data and its socket, and waits for the handshake.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn start<S: Service>(directory: &Path, settings: &str, grace: Duration) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("there are descriptors");
        let service = S::NAME.parse().expect("a service's name is a name");
        let instance = InstanceId { service, index: NonZeroU32::MIN };
        let socket = directory.join(instance.socket_file_name());
        let listeners = listeners(directory, &instance);
        let service = embed::<S>(&instance, listeners, ends(theirs)).expect("there are threads");
        let assignment = Assignment {
            node: "test".to_owned(),
            instance,
            generation: 1,
            data_dir: directory.to_owned(),
            runtime_dir: directory.to_owned(),
            sockets: BTreeMap::new(),
            settings: settings.to_owned(),
            grace_ms: u64::try_from(grace.as_millis()).expect("a grace is short"),
        };
        ours.set_nonblocking(true).expect("sockets can be non-blocking");
        let ours = tokio::net::UnixStream::from_std(ours).expect("a runtime runs the test");
        let link = bounded(accept(ours, assignment)).await.expect("the service is there");
        Self { link, service, socket }
    }

    /// What the service says next.
    pub async fn hear(&mut self) -> Result<ToNode, LinkError> {
        bounded(self.link.receive()).await
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// If it says anything else.
    pub async fn ready(mut self) -> Self {
        let heard = self.hear().await;
        assert!(matches!(heard, Ok(ToNode::Ready)), "not ready: {heard:?}");
        self
    }

    /// Its listening socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A new connection to it.
    pub fn channel(&self) -> impl Future<Output = Channel> + Send + 'static {
        let socket = self.socket.clone();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        async move {
            endpoint
                .connect_with_connector(connector)
                .await
                .expect("the service accepts connections")
        }
    }

    /// Asks it to stop.
    pub async fn ask_to_stop(&mut self) {
        bounded(self.link.send(&ToChild::Stop)).await.expect("the service is there");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> Ending {
        self.ask_to_stop().await;
        self.ended().await
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> Ending {
        bounded(self.service.ended()).await
    }
}

/// The sockets of an instance, in this directory.
///
/// # Panics
/// If it cannot hold them.
pub fn listeners(directory: &Path, instance: &InstanceId) -> NativeListeners {
    let bind = |file: String| {
        let path = directory.join(file);
        // A node holds the socket over generations; here each one binds it again.
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path).expect("the directory can hold a socket")
    };
    let (grpc, gateway) = (bind(instance.socket_file_name()), bind(instance.link_file_name()));
    let memory = snapshot::memory_file("test").expect("there is memory");
    let snapshot = SnapshotFile::open(memory).expect("it can be read");
    NativeListeners { grpc, gateway, snapshot }
}

/// Fails the test, rather than waiting for ever.
///
/// # Panics
/// After half a minute.
pub async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("the test's deadline was kept")
}
