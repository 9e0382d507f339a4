//! Actors that have numbers on a connection, and wishes for one.

use std::sync::{Arc, atomic::Ordering};

use blackhole_protocol::link::gateway::ExitReason;
use tokio::sync::oneshot;

use super::Connection;
use crate::remote::pending::{Agreement, Bound};

/// An actor that has a number on a connection; the number is given back when this is dropped.
pub(in crate::remote) struct Binding {
    pub(in crate::remote) connection: Arc<Connection>,
    pub(super) bound: Bound,
}

impl Binding {
    pub(in crate::remote) fn target(&self) -> u32 {
        self.bound.target
    }

    /// Neither the actor nor its process is known to be gone.
    pub(in crate::remote) fn is_usable(&self) -> bool {
        self.bound.usable.load(Ordering::Acquire)
    }

    /// Resolves when the actor is gone: why, or nothing if its process went with it.
    pub(in crate::remote) async fn ended(&self) -> Option<ExitReason> {
        let mut ended = self.bound.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_lost) => None,
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.connection.give_back(self.bound.target);
    }
}

/// Once more wishes than this were given up before the gateway answered them, the connection is cut.
pub(super) const UNANSWERED_MAX: i32 = 64;

/// The wish to bind an actor. If it is given up after the gateway has agreed to it, but before anybody has
/// noticed, the number is given back.
pub(super) struct Wish<'a> {
    pub(super) connection: &'a Connection,
    pub(super) agreement: oneshot::Receiver<Agreement>,
    pub(super) answered: bool,
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.agreement.close();
        match self.agreement.try_recv() {
            Ok(Ok(unheard)) => self.connection.give_back(unheard.target),
            Ok(Err(_refused)) => {}
            Err(_unanswered) => self.connection.forgo(),
        }
    }
}
