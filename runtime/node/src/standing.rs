//! What the node knows of its processes, for those who refer to their actors: the node's own program
//! asks the table, children ask over their links.

use blackhole_actors::{Boxed, Directory, ExitReason, Standing};
use blackhole_policy::supervision::Generation;
use blackhole_protocol::{InstanceId, link::Query};

use crate::registry::{Entry, Registry, State};

/// The table, as those see it who refer to actors.
#[derive(Debug, Clone)]
pub(crate) struct Standings(Registry);

impl Standings {
    pub(crate) fn of(registry: Registry) -> Self {
        Self(registry)
    }

    /// What a child is to be told.
    pub(crate) async fn answer(self, query: Query) -> blackhole_protocol::link::Answer {
        use blackhole_protocol::link::Answer;
        match query {
            Query::Standing { instance } => match standing(&self.0, &instance) {
                Standing::Running => Answer::Running,
                Standing::Away(state) => Answer::Away { state },
                Standing::Unknown => Answer::Unknown,
            },
            Query::Exit { instance, generation } => {
                Answer::Exited { reason: exit(self.0, instance, Generation(generation)).await }
            }
        }
    }
}

impl Directory for Standings {
    fn standing(&self, instance: &InstanceId) -> Boxed<Standing> {
        let standing = standing(&self.0, instance);
        Box::pin(async move { standing })
    }

    fn exit(&self, instance: &InstanceId, generation: u64) -> Boxed<ExitReason> {
        Box::pin(exit(self.0.clone(), instance.clone(), Generation(generation)))
    }
}

fn standing(registry: &Registry, instance: &InstanceId) -> Standing {
    let state = registry.look(instance, |entry| entry.state);
    match state {
        Some(State::Starting | State::Ready | State::Unready | State::Stopping) => {
            Standing::Running
        }
        Some(state) => Standing::Away(state.as_str().to_owned()),
        None => Standing::Unknown,
    }
}

async fn exit(registry: Registry, instance: InstanceId, generation: Generation) -> ExitReason {
    let known = || registry.look(&instance, |entry| ended(entry, generation));
    registry.wait_until(|_| !matches!(known(), Some(None))).await;
    known().flatten().unwrap_or(ExitReason::Unknown)
}

/// Why an incarnation ended; nothing while it lives.
fn ended(entry: &Entry, generation: Generation) -> Option<ExitReason> {
    let end = entry.ends().find(|end| end.generation == generation);
    match end {
        Some(end) => Some(ExitReason::Process {
            reason: end.exited.reason.as_str().to_owned(),
            message: end.exited.message.clone(),
        }),
        None if entry.generation == generation => None,
        // Its end is no longer remembered, or it never was: who waited for one that is only claimed would do so
        // for as long as the node lives.
        None => Some(ExitReason::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;
    use crate::registry::{Change, Kind};

    #[tokio::test]
    async fn the_end_of_an_incarnation_that_never_was_is_not_waited_for() {
        let registry = Registry::new();
        let service = "a".parse().expect("a name");
        let instance = InstanceId { service, index: NonZeroU32::MIN };
        registry.add(instance.clone(), None, Kind::Command, State::Pending);
        registry.record(&instance, Generation(1), Change::Spawned { pid: 1 });
        let claimed = exit(registry, instance, Generation(u64::MAX));
        let told = tokio::time::timeout(Duration::from_secs(30), claimed).await;
        assert_eq!(told.expect("it is told"), ExitReason::Unknown);
    }
}
