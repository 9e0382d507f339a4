//! The service's supervisor: the root of its actors.
//!
//! Its strategy is the smallest there is. No actor of a service is restarted inside it: when one
//! ends unasked, the service has failed, and the node restarts the process by the file's rules.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::mpsc;

/// An actor of the service that ended without having been asked to.
#[derive(Debug, thiserror::Error)]
#[error("actor `{actor}` {how}")]
pub struct ActorEnded {
    actor: String,
    how: String,
}

/// What the actors are called. ractor's own names are unique in a process, which may hold several
/// nodes with several services each.
type Names = Arc<Mutex<HashMap<ActorId, String>>>;

/// The supervisor and the actors below it. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    supervisor: ActorCell,
    names: Names,
}

impl Family {
    /// A supervisor without children, and where it reports that one of them ended.
    pub(crate) async fn begin() -> Result<(Self, mpsc::Receiver<ActorEnded>), SpawnErr> {
        let (failures, failed) = mpsc::channel(1);
        let names = Names::default();
        let state = State { failures, names: names.clone() };
        let (supervisor, _) = Actor::spawn(None, Supervisor, state).await?;
        Ok((Self { supervisor: supervisor.get_cell(), names }, failed))
    }

    /// Adds an actor.
    pub(crate) async fn spawn<A: Actor>(
        &self,
        name: &str,
        actor: A,
        arguments: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, SpawnErr> {
        let supervisor = self.supervisor.clone();
        let (actor, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(actor.get_id(), name.to_owned());
        Ok(actor)
    }

    /// Starts an actor of another crate that reports its end as ours do.
    pub(crate) async fn adopt<T>(
        &self,
        name: &str,
        start: impl AsyncFnOnce(ActorCell) -> Result<(T, ActorId), SpawnErr>,
    ) -> Result<T, SpawnErr> {
        let (started, id) = start(self.supervisor.clone()).await?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(id, name.to_owned());
        Ok(started)
    }

    /// Ends the actors, and then the supervisor.
    pub(crate) async fn end(self) {
        self.supervisor.stop_children_and_wait(None, None).await;
        self.supervisor.stop(None);
    }
}

struct Supervisor;

struct State {
    /// Of which the first one counts.
    failures: mpsc::Sender<ActorEnded>,
    names: Names,
}

impl Actor for Supervisor {
    type Msg = Infallible;
    type State = State;
    type Arguments = State;

    async fn pre_start(
        &self,
        _: ActorRef<Infallible>,
        state: State,
    ) -> Result<State, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Infallible>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, how) = match event {
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                (actor, reason.map_or("ended".to_owned(), |reason| format!("ended: {reason}")))
            }
            SupervisionEvent::ActorFailed(actor, error) => (actor, format!("failed: {error}")),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let id = actor.get_id();
        let name = state.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let actor = name.unwrap_or_else(|| id.to_string());
        // Full: an earlier failure is on its way. Closed: the service is ending already.
        let _ = state.failures.try_send(ActorEnded { actor, how });
        Ok(())
    }
}
