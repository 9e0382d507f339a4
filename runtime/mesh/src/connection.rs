//! One connection to one server: opened, encrypted if asked, and nothing more. Who connects again,
//! and when, is the caller's business; so are deadlines.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    task,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls, rustls::pki_types::ServerName};

use crate::{Target, TlsError, TlsFiles};

/// What will be spoken over the connection; TLS agrees on it during the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, and so gRPC.
    Http2,
}

/// An open connection.
#[derive(Debug)]
pub enum Connection {
    /// In clear, over TCP.
    Tcp(TcpStream),
    /// In clear, over a Unix socket.
    Unix(UnixStream),
    /// Encrypted, over either.
    Tls(Box<TlsStream<Connection>>),
}

/// Why there is no connection. The texts are for people.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("connection refused by {0}")]
    Refused(Target),
    /// The path of a Unix socket does not exist.
    #[error("there is no socket at `{}`", .0.display())]
    NoSocket(PathBuf),
    /// The server does not accept connections as fast as they come.
    #[error("the queue of connections of {0} is full")]
    QueueFull(Target),
    /// Anything else that the kernel said.
    #[error("could not connect to {target}")]
    Failed {
        /// Where to.
        target: Target,
        /// Why.
        source: io::Error,
    },
    /// The files could not be used.
    #[error("could not prepare TLS for {target}")]
    Files {
        /// Where to.
        target: Target,
        /// Why.
        source: TlsError,
    },
    /// The name to be found in the certificate is none.
    #[error("`{0}` cannot be the name in a certificate\nhint: set `tls.server_name`")]
    ServerName(String),
    /// The server answers, and not in TLS.
    #[error("{0} does not speak TLS")]
    NotTls(Target),
    /// One of both sides refused the other.
    #[error("could not agree on TLS with {target}")]
    Handshake {
        /// Where to.
        target: Target,
        /// Why.
        source: io::Error,
    },
    /// The server spoke TLS, then something else than was agreed.
    #[error("could not agree on HTTP with {target}")]
    Http {
        /// Where to.
        target: Target,
        /// Why.
        source: hyper::Error,
    },
}

/// Connects to a server; encrypted when there are `tls` files.
///
/// It has no deadline of its own: drop the future to give up.
pub async fn connect(
    target: &Target,
    tls: Option<&TlsFiles>,
    protocol: Protocol,
) -> Result<Connection, ConnectError> {
    let failed = |source| explain(target, source);
    let connection = match target {
        Target::Unix(path) => Connection::Unix(UnixStream::connect(path).await.map_err(failed)?),
        Target::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            Connection::Tcp(stream)
        }
    };
    match tls {
        None => Ok(connection),
        Some(files) => encrypt(target, files, protocol, connection).await,
    }
}

async fn encrypt(
    target: &Target,
    files: &TlsFiles,
    protocol: Protocol,
    connection: Connection,
) -> Result<Connection, ConnectError> {
    let name = files.server_name.as_deref().unwrap_or(target.host()).to_owned();
    let name = ServerName::try_from(name.clone()).map_err(|_| ConnectError::ServerName(name))?;
    let files = files.clone();
    let config = task::spawn_blocking(move || files.read(protocol.alpn()))
        .await
        .expect("reading certificates does not panic and is never aborted")
        .map_err(|source| ConnectError::Files { target: target.clone(), source })?;
    let stream = TlsConnector::from(config)
        .connect(name, connection)
        .await
        .map_err(|source| explain_handshake(target, source))?;
    Ok(Connection::Tls(Box::new(stream)))
}

fn explain(target: &Target, source: io::Error) -> ConnectError {
    match (source.kind(), target) {
        (io::ErrorKind::ConnectionRefused, _) => ConnectError::Refused(target.clone()),
        (io::ErrorKind::NotFound, Target::Unix(path)) => ConnectError::NoSocket(path.clone()),
        (io::ErrorKind::WouldBlock, Target::Unix(_)) => ConnectError::QueueFull(target.clone()),
        _ => ConnectError::Failed { target: target.clone(), source },
    }
}

fn explain_handshake(target: &Target, source: io::Error) -> ConnectError {
    let cause = source.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => ConnectError::NotTls(target.clone()),
        _ => ConnectError::Handshake { target: target.clone(), source },
    }
}

impl Protocol {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
