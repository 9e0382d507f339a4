//! The service's supervisor: the root of its actors.
//!
//! Its strategy is the smallest there is. No actor of a service is restarted inside it: when one
//! ends unasked, the service has failed, and the node restarts the process by the file's rules.

use std::convert::Infallible;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::mpsc;

/// An actor of the service that ended without having been asked to.
#[derive(Debug, thiserror::Error)]
#[error("actor `{actor}` {how}")]
pub struct ActorEnded {
    actor: String,
    how: String,
}

/// The actor; its argument is where failures are reported, of which the first one counts.
pub(crate) struct Supervisor;

impl Actor for Supervisor {
    type Msg = Infallible;
    type State = mpsc::Sender<ActorEnded>;
    type Arguments = mpsc::Sender<ActorEnded>;

    async fn pre_start(
        &self,
        _: ActorRef<Infallible>,
        failures: mpsc::Sender<ActorEnded>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(failures)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Infallible>,
        event: SupervisionEvent,
        failures: &mut Self::State,
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
        let actor = actor.get_name().unwrap_or_else(|| actor.get_id().to_string());
        // Full: an earlier failure is on its way. Closed: the service is ending already.
        let _ = failures.try_send(ActorEnded { actor, how });
        Ok(())
    }
}
