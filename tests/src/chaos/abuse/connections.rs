//! Clients that misbehave: silent ones, senseless ones, very many, and sockets whose files are broken.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use blackhole_protocol::{
    identity::v1::{ResolveDidRequest, identity_service_client::IdentityServiceClient},
    storage::v1::{StatRequest, storage_service_client::StorageServiceClient},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

use super::Scene;
use crate::{
    chaos::{
        action::{Breakage, Socket},
        calls::{connect, within},
    },
    random::Random,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a senseless client waits for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// Connections over which a flood of requests comes.
const FLOOD_CONNECTIONS: usize = 8;
/// With it the bytes after it reach the parser of frames.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// With it the bytes after it are the head of a request.
const HTTP1_LINE: &[u8] = b"GET /health HTTP/1.1\r\n";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Scene {
    pub(super) async fn hold_connections(
        &self,
        socket: Socket,
        count: u64,
        ms: u64,
    ) -> Result<String> {
        let mut held = Vec::new();
        for _ in 0..count {
            match self.open(socket).await {
                Ok(stream) => held.push(stream),
                Err(_) => break,
            }
        }
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(format!("held {} connections to {socket:?} for {ms} ms", held.len()))
    }

    pub(super) async fn garbage(&self, socket: Socket, length: u64, seed: u64) -> Result<String> {
        let mut random = Random::new(seed);
        let bytes = random.bytes(usize::try_from(length).context("a length")?);
        if socket == Socket::Notify {
            return self.garbage_datagrams(&bytes);
        }
        let mut stream = self.open(socket).await?;
        let preface = match (random.between(0, 2), socket) {
            (0, _) => &[][..],
            (_, Socket::Http) => HTTP1_LINE,
            (_, _) => HTTP2_PREFACE,
        };
        let sent = async {
            stream.write_all(preface).await?;
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        };
        let sent = tokio::time::timeout(ANSWER_TIMEOUT, sent).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let ended = tokio::time::timeout(ANSWER_TIMEOUT, read).await.is_ok();
        let sent = matches!(sent, Ok(Ok(())));
        let answered = answer.len();
        Ok(format!(
            "sent {length} senseless bytes to {socket:?}: all taken {sent}, answered {answered} \
             bytes, connection ended {ended}"
        ))
    }

    fn garbage_datagrams(&self, bytes: &[u8]) -> Result<String> {
        let directory = self.place.runtime().join("notify");
        let sender = std::os::unix::net::UnixDatagram::unbound().context("could not send")?;
        sender.set_nonblocking(true).context("could not send")?;
        let mut sent = 0;
        for entry in std::fs::read_dir(directory).context("nobody is notified")?.flatten() {
            for piece in bytes.chunks(700) {
                sent += usize::from(sender.send_to(piece, entry.path()).is_ok());
            }
        }
        Ok(format!("sent {sent} senseless notifications"))
    }

    pub(super) async fn flood_requests(&self, service: &str, count: u64) -> Result<String> {
        let path = self.place.serving(service);
        let channels: Vec<_> = (0..FLOOD_CONNECTIONS).map(|_| connect(&path)).collect();
        let mut calls = JoinSet::new();
        for (channel, number) in channels.iter().cycle().zip(0..count) {
            let channel = channel.clone();
            if service == "storage" {
                let cid = format!("no block {number}");
                let mut client = StorageServiceClient::new(channel);
                calls.spawn(async move {
                    within(client.stat(StatRequest { cid })).await.err().map(|error| error.code())
                });
            } else {
                let did = format!("did:key:{number}");
                let mut client = IdentityServiceClient::new(channel);
                calls.spawn(async move {
                    let answer = within(client.resolve_did(ResolveDidRequest { did })).await;
                    answer.err().map(|error| error.code())
                });
            }
        }
        let answers = calls.join_all().await;
        let right = answers.iter().filter(|code| **code == Some(tonic::Code::InvalidArgument));
        Ok(format!("{} of {count} requests to {service} were answered", right.count()))
    }

    pub(super) fn break_socket(&self, service: &str, how: Breakage) -> Result<String> {
        let path = self.place.serving(service);
        std::fs::remove_file(&path).context("could not remove the socket's file")?;
        if how == Breakage::Replaced {
            // Dropped at once: a file is left on which nobody listens.
            std::os::unix::net::UnixListener::bind(&path).context("could not replace it")?;
        }
        Ok(format!("the socket of {service} was {how:?}"))
    }

    async fn open(&self, socket: Socket) -> Result<Box<dyn Stream>> {
        let opened = match self.place.file_of(socket) {
            Some(path) => timed(open_unix(path)).await?,
            None => {
                let address = ("127.0.0.1", self.place.http_port);
                let stream = timed(async { Ok(TcpStream::connect(address).await?) }).await?;
                Box::new(stream) as Box<dyn Stream>
            }
        };
        Ok(opened)
    }
}

async fn open_unix(path: PathBuf) -> Result<Box<dyn Stream>> {
    Ok(Box::new(UnixStream::connect(path).await?))
}

async fn timed<T>(opening: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.context("could not connect in time")?
}
