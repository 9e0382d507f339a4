//! Learning of the end of an actor.

use std::{fmt, sync::Arc, time::Duration};

use blackhole_protocol::link::gateway::ExitReason;

use super::{Patience, Remote, Unreachable, connection::Binding, tries::Tries};
use crate::Message;

/// One of the waits that together have no end.
const WAIT: Duration = Duration::from_secs(3600);

/// An actor, or its process, is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Which incarnation of the process it was in.
    pub generation: u64,
    /// Why: the actor's own end if its process lived on, else the process's.
    pub reason: ExitReason,
}

/// Watches one actor across the restarts of its process.
pub struct Monitor<M> {
    // Goes before the reference: what it gives back is said before the goodbye.
    watched: Option<Arc<Binding>>,
    remote: Remote<M>,
}

impl<M> fmt::Debug for Monitor<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Monitor({:?})", self.remote)
    }
}

impl<M: Message> Monitor<M> {
    pub(super) fn new(remote: Remote<M>) -> Self {
        let watched = remote.usable();
        Self { remote, watched }
    }

    /// Waits for the next end of the actor. If it is not there now, waits for it first, for as long as
    /// that takes.
    ///
    /// It is watched from when the monitor was made, if the reference had been used by then, else from when this
    /// is first awaited; after an end, from when this is awaited again. Ends in between are not told one by one:
    /// [`Down::generation`] has gone on further.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When there cannot be such an actor: the process has none of that name and type.
    pub async fn down(&mut self) -> Result<Down, Unreachable> {
        let binding = match &self.watched {
            Some(binding) => binding.clone(),
            None => self.find().await?,
        };
        self.watched = Some(binding.clone());
        let reason = binding.ended().await;
        let generation = binding.connection.generation;
        let reason = match reason {
            Some(reason) => reason,
            None => self.remote.inner.peer.exit(generation).await,
        };
        self.watched = None;
        Ok(Down { generation, reason })
    }

    async fn find(&self) -> Result<Arc<Binding>, Unreachable> {
        loop {
            match self.remote.binding(&mut Tries::new(Patience::WaitFor(WAIT))).await {
                Err(Unreachable::NotThere { .. } | Unreachable::Lost(_)) => {}
                outcome => return outcome,
            }
        }
    }
}
