//! Connections that clients open to the node: not too many, and where that is wanted not for ever.
//!
//! The node needs descriptors to start services. A client that opens connections and forgets them
//! must not use them up, and what many at a time have needed is given back once all of them have gone. Who
//! serves the connections is not decided here.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use blackhole_process::let_go_of_free_memory;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};

/// The pause after a failed accept: the usual reason is that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// So many at a time are a burst, after which memory is given back.
const BURST_MIN: usize = 16;

/// How many connections there may be at a time, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Doorman {
    places: Arc<Places>,
    age_max: Option<Duration>,
}

/// A connection that counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    too_old: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    places_max: usize,
    /// The most that were taken at a time since all were free.
    taken_most: AtomicUsize,
}

#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        let taken = self.places_max - self.free.available_permits();
        self.taken_most.fetch_max(taken, Ordering::Relaxed);
        Some(Place { places: self.clone(), permit: Some(permit) })
    }

    /// Whether all are free again after many were taken; says so once.
    fn is_burst_over(&self) -> bool {
        self.free.available_permits() == self.places_max
            && self.taken_most.swap(0, Ordering::Relaxed) >= BURST_MIN
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        if self.places.is_burst_over() {
            let_go_of_free_memory();
        }
    }
}

impl Doorman {
    pub(crate) fn new(connections_max: usize, age_max: Option<Duration>) -> Self {
        let places = Places {
            free: Arc::new(Semaphore::new(connections_max)),
            places_max: connections_max,
            taken_most: AtomicUsize::new(0),
        };
        Self { places: Arc::new(places), age_max }
    }

    /// Counts a connection that was accepted; one too many is closed at once, so that its client
    /// learns it.
    pub(crate) fn admit<S>(&self, stream: S) -> Option<Connection<S>> {
        let Some(place) = self.places.take() else {
            tracing::debug!("closed a connection: there are too many");
            return None;
        };
        let too_old = self.age_max.map(|age| Box::pin(tokio::time::sleep(age)));
        Some(Connection { stream, too_old, _place: place })
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

    #[test]
    fn a_burst_is_over_once_when_all_have_gone() {
        let places = Doorman::new(64, None).places;
        let take = |count: usize| (0..count).filter_map(|_| places.take()).collect::<Vec<_>>();
        let mut many = take(BURST_MIN);
        // Their drop would ask as well, and be told.
        let permits: Vec<_> = many.iter_mut().map(|place| place.permit.take()).collect();
        assert!(!places.is_burst_over());
        drop(permits);
        assert!(places.is_burst_over());
        assert!(!places.is_burst_over());
        let few = take(BURST_MIN - 1).iter_mut().map(|place| place.permit.take()).count();
        assert_eq!(few, BURST_MIN - 1);
        assert!(!places.is_burst_over());
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
