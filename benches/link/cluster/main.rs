//! The family *link*, of `ractor_cluster`: an actor that both nodes know by its group, over the same kind of
//! socket.

#[path = "../contender.rs"]
mod contender;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use contender::{Contender, Payload, runtime};
use ractor::{Actor, ActorProcessingErr, ActorRef, BytesConvertable, RpcReplyPort};
use ractor_cluster::{
    BoxRead, BoxWrite, ClusterBidiStream, NodeServer, NodeServerMessage, RactorClusterMessage,
    client_connect_external,
};
use tokio::net::{UnixListener, UnixStream};

const GROUP: &str = "echo";
const WITHIN: Duration = Duration::from_secs(60);

impl BytesConvertable for Payload {
    fn into_bytes(self) -> Vec<u8> {
        bincode::serde::encode_to_vec(self, bincode::config::standard()).expect("it is encoded")
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).expect("it is one").0
    }
}

#[derive(RactorClusterMessage)]
enum EchoMessage {
    #[rpc]
    Call(Payload, RpcReplyPort<Payload>),
    #[rpc]
    Put(Payload, RpcReplyPort<u64>),
    Cast(Payload),
}

struct Echo;

impl Actor for Echo {
    type Msg = EchoMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<EchoMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        ractor::pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<EchoMessage>,
        message: EchoMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EchoMessage::Call(payload, reply) => reply.send(payload)?,
            EchoMessage::Put(_, reply) => reply.send(0)?,
            EchoMessage::Cast(_) => {}
        }
        Ok(())
    }
}

struct Unix(UnixStream);

impl ClusterBidiStream for Unix {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = self.0.into_split();
        (Box::new(read), Box::new(write))
    }

    fn peer_label(&self) -> Option<String> {
        None
    }

    fn local_label(&self) -> Option<String> {
        None
    }
}

async fn node(name: &str) -> ActorRef<NodeServerMessage> {
    let server = NodeServer::new(0, "cookie".into(), name.into(), "localhost".into(), None, None);
    let server = server.with_listen_addr([127, 0, 0, 1].into());
    Actor::spawn(None, server, ()).await.expect("it starts").0
}

fn serve(path: PathBuf) {
    runtime().block_on(async {
        let node = node("server").await;
        Actor::spawn(None, Echo, ()).await.expect("it starts");
        let listener = UnixListener::bind(path).expect("the path is free");
        loop {
            let (stream, _) = listener.accept().await.expect("a socket");
            let stream = Box::new(Unix(stream));
            let opened = NodeServerMessage::ConnectionOpenedExternal { stream, is_server: true };
            node.cast(opened).expect("the node lives");
        }
    });
}

#[derive(Clone)]
struct Cluster(ActorRef<EchoMessage>);

impl Contender for Cluster {
    async fn connect(path: &Path) -> Self {
        let node = node("client").await;
        let stream = Box::new(Unix(contender::stream(path).await));
        client_connect_external(&node, stream).await.expect("the node lives");
        loop {
            if let Some(actor) = ractor::pg::get_members(&GROUP.to_owned()).into_iter().next() {
                return Self(actor.into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn call(&self, payload: Payload) {
        let ask = |reply| EchoMessage::Call(payload, reply);
        self.0.call(ask, Some(WITHIN)).await.expect("it lives").expect("an answer");
    }

    async fn put(&self, payload: Payload) {
        let ask = |reply| EchoMessage::Put(payload, reply);
        self.0.call(ask, Some(WITHIN)).await.expect("it lives").expect("an answer");
    }

    async fn cast(&self, payload: Payload) {
        self.0.cast(EchoMessage::Cast(payload)).expect("it lives");
        tokio::task::coop::consume_budget().await;
    }
}

fn main() -> ExitCode {
    contender::main::<Cluster>(serve)
}
