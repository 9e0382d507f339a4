//! Who may speak on the control socket.

use std::io;

use futures::{Stream, stream};
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::server::{Connected, UdsConnectInfo};

use crate::connections::{Connection, Doorman};

/// Connections at a time: many people that follow logs, and not yet too many descriptors.
const CONNECTIONS_MAX: usize = 256;

/// Connections of peers that run as this process's own user or as root; others are closed unread.
pub(crate) fn trusted(
    listener: UnixListener,
) -> impl Stream<Item = io::Result<Connection<UnixStream>>> {
    let own_uid = rustix::process::geteuid().as_raw();
    let doorman = Doorman::new(CONNECTIONS_MAX, None);
    stream::unfold((listener, doorman), move |(listener, doorman)| async move {
        let connection = next(&listener, &doorman, own_uid).await;
        Some((Ok(connection), (listener, doorman)))
    })
}

async fn next(listener: &UnixListener, doorman: &Doorman, own_uid: u32) -> Connection<UnixStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if trusts(own_uid, &stream) => {
                if let Some(connection) = doorman.admit(stream) {
                    return connection;
                }
            }
            Ok(_) => {}
            Err(error) => doorman.pause(&error).await,
        }
    }
}

fn trusts(own_uid: u32, stream: &UnixStream) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own_uid || peer.uid() == 0 => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "refused a control connection");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "could not ask who opened a control connection");
            false
        }
    }
}

impl Connected for Connection<UnixStream> {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream().connect_info()
    }
}
