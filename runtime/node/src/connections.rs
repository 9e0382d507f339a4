//! Connections that clients open to the node: not too many, and where that is wanted not for ever.
//!
//! The node needs descriptors to start services. A client that opens connections and forgets them
//! must not use them up; who serves the connections is not decided here.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};

/// The pause after a failed accept: the usual reason is that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// How many connections there may be at a time, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Doorman {
    free: Arc<Semaphore>,
    age_max: Option<Duration>,
}

/// A connection that counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    too_old: Option<Pin<Box<Sleep>>>,
    _counted: OwnedSemaphorePermit,
}

impl Doorman {
    pub(crate) fn new(connections_max: usize, age_max: Option<Duration>) -> Self {
        Self { free: Arc::new(Semaphore::new(connections_max)), age_max }
    }

    /// Counts a connection that was accepted; one too many is closed at once, so that its client
    /// learns it.
    pub(crate) fn admit<S>(&self, stream: S) -> Option<Connection<S>> {
        let Ok(counted) = self.free.clone().try_acquire_owned() else {
            tracing::debug!("closed a connection: there are too many");
            return None;
        };
        let too_old = self.age_max.map(|age| Box::pin(tokio::time::sleep(age)));
        Some(Connection { stream, too_old, _counted: counted })
    }

    /// After an accept that failed.
    pub(crate) async fn pause(&self, error: &io::Error) {
        tracing::warn!(%error, "could not accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

impl<S> Connection<S> {
    /// What it is made of.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    fn check_age(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(too_old) = &mut self.too_old
            && too_old.as_mut().poll(context).is_ready()
        {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_age(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_age(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_age(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_too_many_is_closed_until_another_has_gone() {
        let doorman = Doorman::new(1, None);
        let first = doorman.admit(duplex(8).0);
        assert!(first.is_some());
        let (mut client, server) = duplex(8);
        assert!(doorman.admit(server).is_none());
        assert_eq!(client.read(&mut [0]).await.expect("it is told"), 0);
        drop(first);
        assert!(doorman.admit(duplex(8).0).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_too_old_ends() {
        let doorman = Doorman::new(1, Some(Duration::from_secs(30)));
        let (_silent, server) = duplex(8);
        let mut connection = doorman.admit(server).expect("it is the first");
        let read = tokio::time::timeout(Duration::from_secs(60), connection.read_u8()).await;
        let error = read.expect("it ends in time").expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
