//! Who may speak on the control socket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use tokio::net::{UnixListener, UnixStream};

/// Connections of peers that run as this process's own user or as root; others are closed unread.
pub(crate) struct TrustedPeers {
    listener: UnixListener,
    own_uid: u32,
}

impl TrustedPeers {
    pub(crate) fn of(listener: UnixListener) -> Self {
        Self { listener, own_uid: rustix::process::geteuid().as_raw() }
    }

    fn trusts(&self, stream: &UnixStream) -> bool {
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.own_uid || peer.uid() == 0 => true,
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
}

impl Stream for TrustedPeers {
    type Item = io::Result<UnixStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.listener.poll_accept(context) {
                Poll::Ready(Ok((stream, _))) if self.trusts(&stream) => {
                    return Poll::Ready(Some(Ok(stream)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
