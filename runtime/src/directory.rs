//! What the node knows of its processes, for references to actors in them.

use std::num::NonZeroU32;

use blackhole_node::registry::Registry;
use blackhole_policy::supervision::Generation;
use blackhole_protocol::InstanceId;
use blackhole_sdk::{Boxed, Directory, ExitReason, Standing};

/// Reads the node's registry.
pub(crate) struct Known(pub(crate) Registry);

impl Directory for Known {
    fn standing(&self, instance: &InstanceId) -> Boxed<Standing> {
        let row = self.0.entries(|entry| entry.instance == *instance).pop();
        let standing = match row {
            None => Standing::Unknown,
            Some(row) if row.pid.is_some() => Standing::Running,
            Some(row) => Standing::Away(row.state.as_str().to_owned()),
        };
        Box::pin(std::future::ready(standing))
    }

    fn exit(&self, instance: &InstanceId, generation: u64) -> Boxed<ExitReason> {
        let (registry, instance) = (self.0.clone(), instance.clone());
        Box::pin(async move {
            let ended = |registry: &Registry| {
                let ends = registry.history(|entry| entry.instance == instance);
                ends.into_iter().find(|end| end.generation == Generation(generation))
            };
            let is_over = |registry: &Registry| {
                let rows = registry.entries(|entry| entry.instance == instance);
                // A later incarnation, or none that could come: its end was forgotten.
                rows.first().is_none_or(|row| row.generation.0 > generation)
                    || ended(registry).is_some()
            };
            registry.wait_until(is_over).await;
            match ended(&registry) {
                None => ExitReason::Unknown,
                Some(end) => ExitReason::Process {
                    reason: end.exited.reason.to_string(),
                    message: end.exited.message,
                },
            }
        })
    }
}

/// One process of a service.
pub(crate) fn instance(service: &blackhole_protocol::Name, index: NonZeroU32) -> InstanceId {
    InstanceId { service: service.clone(), index }
}
