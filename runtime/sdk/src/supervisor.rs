//! The service's supervisor: the root of its actors.
//!
//! It is the supervisor of every other tree, with the smallest count there is. No actor at the root is
//! restarted inside the service: when one ends unasked, the service has failed, and the node restarts the
//! process by the file's rules. What is to be restarted inside is a tree below it.

use std::time::Duration;

use blackhole_actors::{Tree, TreeSpec, tree::SupervisorExit};

/// What the gateway is called among the service's actors.
pub(crate) const GATEWAY: &str = "gateway";
/// What the gRPC server is called there.
pub(crate) const SERVER: &str = "grpc";

/// An actor of the service that ended without having been asked to.
#[derive(Debug, thiserror::Error)]
#[error("actor `{actor}` {how}")]
pub struct ActorEnded {
    actor: String,
    how: String,
}

impl ActorEnded {
    /// For whose end the tree has ended.
    pub(crate) fn of(tree: &Tree, exit: &SupervisorExit<String>) -> Self {
        let actor = match exit {
            SupervisorExit::RestartedTooOften(actor)
            | SupervisorExit::AutoShutdown(actor)
            | SupervisorExit::StartFailed(actor) => actor.clone(),
            SupervisorExit::Stopped => "supervisor".to_owned(),
        };
        let how = tree.how_ended(&actor).unwrap_or_else(|| "ended".to_owned());
        Self { actor, how }
    }
}

/// A tree without children.
pub(crate) fn spec() -> TreeSpec {
    // Of no restarts none is too long ago to count.
    TreeSpec::one_for_one().restarts(0, Duration::from_secs(1))
}
