//! What happens on a node, as a stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use blackhole_node::registry::{Event, Registry};
use futures::{Stream, StreamExt, stream};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

/// What happened, or that the reader was too slow to see it.
#[derive(Debug, Clone)]
pub enum Happening {
    /// Something happened to a process or to the node.
    Event(Arc<Event>),
    /// This many events came faster than they were read, and are lost to this reader.
    Missed(u64),
}

impl Happening {
    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::Missed(_) => None,
        }
    }
}

/// The events of a node: first those that it still holds, then new ones, until it ends.
pub struct Events(stream::BoxStream<'static, Happening>);

impl Events {
    /// `ended` resolves when nothing more will happen.
    pub(crate) fn of(
        registry: &Registry,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (held, coming) = registry.subscribe();
        let held = stream::iter(held.into_iter().map(Happening::Event));
        let source = Source { coming, ended: Box::pin(ended), is_over: false };
        let coming = stream::unfold(source, |mut source| async {
            let happening = source.next().await?;
            Some((happening, source))
        });
        Self(held.chain(coming).boxed())
    }

    /// The next one; `None` when the node is gone.
    pub async fn next(&mut self) -> Option<Happening> {
        self.0.next().await
    }
}

/// Events to come, and how to know that there will be none.
struct Source {
    coming: broadcast::Receiver<Arc<Event>>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
}

impl Source {
    async fn next(&mut self) -> Option<Happening> {
        while !self.is_over {
            tokio::select! {
                biased;
                event = self.coming.recv() => return match event {
                    Ok(event) => Some(Happening::Event(event)),
                    Err(RecvError::Lagged(count)) => Some(Happening::Missed(count)),
                    Err(RecvError::Closed) => None,
                },
                () = &mut self.ended => self.is_over = true,
            }
        }
        match self.coming.try_recv() {
            Ok(event) => Some(Happening::Event(event)),
            Err(TryRecvError::Lagged(count)) => Some(Happening::Missed(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

impl Stream for Events {
    type Item = Happening;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Happening>> {
        self.0.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Events").finish_non_exhaustive()
    }
}
